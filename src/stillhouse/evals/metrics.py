"""The metrics that scores have columns for: a fixed list, and families with one a field."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from stillhouse.core.errors import InputError
from stillhouse.evals import (
    christian,
    hallucination,
    improvement,
    memorised,
    preference,
    rubric,
    self_bleu,
    spread,
    styles,
    without_right,
)
from stillhouse.evals.agreement import (
    AGREEMENT_METRICS,
    FIELD_AGREEMENT_METRICS,
    HOLDOUTS_OWN,
)
from stillhouse.evals.alike import CONSISTENCY_METRICS, FIELD_CONSISTENCY_METRICS
from stillhouse.evals.bootstrap import Sums, of_sums, ratio
from stillhouse.evals.calibration import CALIBRATION_METRICS, FIELD_CALIBRATION_METRICS
from stillhouse.evals.classes import CLASS_METRICS
from stillhouse.evals.classification import LABEL_METRICS
from stillhouse.evals.diversity import word_metrics
from stillhouse.evals.embeddings import embedding_metrics
from stillhouse.evals.error_categories import error_metrics
from stillhouse.evals.hallucination import hallucination_metrics
from stillhouse.evals.harness import harness_metrics
from stillhouse.evals.label_sets import LABEL_SET_AVERAGE, LABEL_SET_METRICS, label_set_averages
from stillhouse.evals.metric import SHARE, Metric
from stillhouse.evals.numbers import NUMBER_METRICS, number_metrics
from stillhouse.evals.probes import probe_metrics
from stillhouse.evals.scores import COUNT, Scores
from stillhouse.evals.speed import SIZE_METRICS, SPEED_METRICS
from stillhouse.evals.tags import tag_metrics
from stillhouse.evals.templates import of_fields
from stillhouse.evals.texts import TEXT_METRICS
from stillhouse.evals.votes import VOTE_METRICS


def _exp_of_ratio(sums: Sums) -> NDArray[np.float64]:
    grown: NDArray[np.float64] = np.exp(ratio(sums))
    return grown


def _in_bits(sums: Sums) -> NDArray[np.float64]:
    found: NDArray[np.float64] = ratio(sums) / np.log(2.0)
    return found


_GOLD = HOLDOUTS_OWN

FIXED = (
    Metric(
        "exact_match",
        "Exact match",
        "higher",
        "Share of answers that are the reference; JSON whatever the order of its keys.",
        ("exact", COUNT),
        is_fraction=True,
    ),
    Metric(
        "field_accuracy",
        "Field accuracy",
        "higher",
        "Share of the references' JSON fields that are right.",
        ("fields_right", "fields"),
        counted="fields",
        scale=SHARE,
    ),
    Metric(
        "kl_to_teacher",
        "KL to the teacher",
        "lower",
        f"KL(teacher || student) a token, on {_GOLD}.",
        ("kl", "tokens"),
        unit="nats per token",
        source="Hinton, Vinyals & Dean 2015, arXiv:1503.02531, section 2",
    ),
    Metric(
        "cross_entropy",
        "Cross-entropy",
        "lower",
        f"Negative log-likelihood a token, on {_GOLD}.",
        ("nll", "tokens"),
        unit="nats per token",
    ),
    Metric(
        "agreement",
        "Same answer as the teacher",
        "higher",
        "Share of answers that are the teacher's.",
        ("agreement", COUNT),
        is_fraction=True,
    ),
    Metric(
        "top1_agreement",
        "Most likely token as the teacher's",
        "higher",
        f"Share of tokens where both find the same token likeliest, on {_GOLD}.",
        ("top1", "tokens"),
        scale=SHARE,
    ),
    Metric(
        "valid_json",
        "Valid JSON",
        "higher",
        "Share of answers that are one JSON object.",
        ("valid_json", COUNT),
        is_fraction=True,
    ),
    Metric(
        "perplexity",
        "Perplexity",
        "lower",
        "exp of the cross-entropy; comparable within one tokenizer only.",
        ("nll", "tokens"),
        of_sums(_exp_of_ratio),
    ),
    Metric(
        "bits_per_byte",
        "Bits per byte",
        "lower",
        f"Negative log-likelihood of {_GOLD}, in bits, by their UTF-8 bytes; it compares models "
        "whatever their tokenizers.",
        ("nll", "bytes"),
        of_sums(_in_bits),
        unit="bits per byte",
        source="Gao et al. 2020, arXiv:2101.00027, section 3.1",
    ),
    Metric(
        "answer_token_accuracy",
        "Answer tokens that are likeliest",
        "higher",
        f"Share of tokens that the candidate finds likeliest, on {_GOLD}.",
        ("tokens_right", "tokens"),
        scale=SHARE,
    ),
    Metric(
        "schema_valid",
        "Valid by its schema",
        "higher",
        "Share of answers that are JSON and keep the recipe's JSON Schema.",
        ("schema_valid", COUNT),
        is_fraction=True,
        source="JSON Schema 2020-12; jsonschema",
    ),
    *AGREEMENT_METRICS,
    *without_right.METRICS,
    *CALIBRATION_METRICS,
    *CLASS_METRICS,
    *VOTE_METRICS,
    *CONSISTENCY_METRICS,
    *SPEED_METRICS,
    *SIZE_METRICS,
    *christian.METRICS,
    *improvement.METRICS,
    *hallucination.METRICS,
    *styles.METRICS,
    *spread.METRICS,
    *self_bleu.METRICS,
    *memorised.METRICS,
    *preference.METRICS,
    *rubric.METRICS,
)
"""The metrics in the order in which people read them."""

_FIELD_ACCURACY = Metric(
    "field_accuracy.{field}",
    "Field {field}",
    "higher",
    "Share of answers whose field {field} is the reference's, as JSON; of a field that is declared "
    "as a label, `accuracy` stands in its place.",
    ("field:{field}", "field_asked:{field}"),
    counted="field_asked:{field}",
    is_fraction=True,
)

_UNREADABLE = Metric(
    "unreadable.{field}",
    "Unreadable {field}",
    "lower",
    "Share of answers whose {field} is missing, of another kind, or off its scale; they count "
    "as wrong in every other metric of the field.",
    ("unreadable:{field}", "asked:{field}"),
    counted="asked:{field}",
    is_fraction=True,
)

FIELD_TEMPLATES: Mapping[str, tuple[Metric, ...]] = {
    "any field of a JSON answer": (_FIELD_ACCURACY,),
    "any field that is declared": (_UNREADABLE,),
    "a field that is a label": LABEL_METRICS,
    "a field that is a set of labels": (*LABEL_SET_METRICS, LABEL_SET_AVERAGE),
    "a field that is a number": NUMBER_METRICS,
    "a field that is a text": TEXT_METRICS,
    "the field that names the class": FIELD_CALIBRATION_METRICS,
    "a field of two models": FIELD_AGREEMENT_METRICS,
    "a field of answers given twice": FIELD_CONSISTENCY_METRICS,
}
"""What is measured of a field of the answers, with the field left open."""


def _json_fields(scores: Scores) -> Iterator[Metric]:
    for metric in of_fields((_FIELD_ACCURACY,))(scores):
        if not scores.has(metric.needs[0].replace("field:", "right:", 1)):
            yield metric


_OF_DECLARED = tuple(
    template
    for templates in FIELD_TEMPLATES.values()
    for template in templates
    if template not in (_FIELD_ACCURACY, LABEL_SET_AVERAGE, *NUMBER_METRICS)
)

FAMILIES: tuple[Callable[[Scores], Iterable[Metric]], ...] = (
    _json_fields,
    of_fields(_OF_DECLARED),
    number_metrics,
    label_set_averages,
    hallucination_metrics,
    error_metrics,
    probe_metrics,
    word_metrics,
    embedding_metrics,
    tag_metrics,
    harness_metrics,
)
"""What measures one thing for each field, class or kind that the scores have columns for."""


def metrics_of(scores: Scores) -> list[Metric]:
    """The metrics that these scores have columns for, in a fixed order."""
    fixed = [metric for metric in FIXED if all(map(scores.has, metric.needs))]
    return fixed + [metric for family in FAMILIES for metric in family(scores)]


def in_reading_order(names: Iterable[str]) -> list[str]:
    """Metric names as people read them, what counts most first; single fields last."""
    places = {metric.name: place for place, metric in enumerate(FIXED)}
    return sorted(dict.fromkeys(names), key=lambda name: (places.get(name, len(places)), name))


def metric_by_name(name: str, scores: Scores) -> Metric:
    """The metric of that name.

    Args:
        name: as rules call it.
        scores: whose columns it needs.

    Returns:
        The metric.

    Raises:
        InputError: no such metric for these scores; names the nearest.
    """
    known = {metric.name: metric for metric in metrics_of(scores)}
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1)
    guess = f'did you mean "{near[0]}"? ' if near else ""
    raise InputError(f"no metric {name!r} was measured", f"{guess}measured: {', '.join(known)}")
