"""The names that a recipe may use are those of the metrics that exist, on the same scales."""

import numpy as np
import pytest

from stillhouse.evals.diversity import score_words
from stillhouse.evals.embeddings import score_embeddings
from stillhouse.evals.metrics import FIELD_TEMPLATES, FIXED, metrics_of
from stillhouse.evals.scores import Scores
from stillhouse.evals.tags import CLASS, TRADITION, score_tags
from stillhouse.evals.templates import FIELD, fill
from stillhouse.recipes import metric_names

OF_COLUMNS = Scores(
    ("a", "b"),
    {
        **score_words(["one two", "three four"]),
        **score_embeddings(np.eye(2)),
        **score_tags([["x"], ["y"]], ["x", "y"], TRADITION),
        **score_tags([["x"], ["y"]], ["x", "y"], CLASS),
        **dict.fromkeys(
            ("category:theme_misclassification", "errors_asked", "hallucination:theme", "probe:x",
             "probe_asked:x", "harness_higher:sky.acc", "harness_lower:sky.perplexity"),
            np.ones(2)),
    },
)  # fmt: skip
"""With the columns of every family that is of no field."""
OF_PROBES = Scores(
    ("a", "b"),
    {
        name: column
        for probe in ("one", "other")
        for kind in (TRADITION, CLASS)
        for name, column in score_tags([["x"], ["y"]], ["x", "y"], kind, probe).items()
    },
)
"""With the columns of two probes of each kind."""


def defined():
    templates = [one for templates in FIELD_TEMPLATES.values() for one in templates]
    return [*FIXED, *(fill(one, "F") for one in templates),
            *metrics_of(OF_COLUMNS), *metrics_of(OF_PROBES)]  # fmt: skip


@pytest.mark.parametrize("metric", defined(), ids=lambda metric: metric.name)
def test_a_metric_that_exists_may_be_named_and_has_its_scale(metric):
    scale = metric_names.scale_of(metric.name)
    assert scale is not None
    if metric.is_fraction:
        assert scale == (0.0, 1.0)
    # A metric of declared things knows how many there are, the table does not.
    low, high = metric.scale or scale
    assert scale[0] <= low < high <= scale[1]


def test_a_name_that_a_recipe_may_use_is_a_metric_that_exists():
    names = {metric.name for metric in defined()}
    heads = {name.partition(".")[0] + "." for name in names if "." in name}
    assert set(metric_names.FIXED) - names == set()
    assert set(metric_names.FAMILIES) - heads == set()


def test_what_waits_is_named_in_the_table():
    assert set(metric_names.FIXED) >= metric_names.WAITING
    assert set(metric_names.FAMILIES) >= metric_names.WAITING_FAMILIES
    assert FIELD not in "".join(metric_names.FIXED)
