"""Laws that hold for every metric there is."""

import numpy as np
import pytest

from stillhouse.evals.metrics import FIELD_TEMPLATES, FIXED, metrics_of
from stillhouse.evals.scores import COUNT, Scores
from stillhouse.evals.templates import fill

EVERY = (*FIXED, *(fill(one, "f") for templates in FIELD_TEMPLATES.values() for one in templates))


def random_columns(metric, num, generator):
    """Values that ties, zeros and every class appear in."""
    columns = []
    for need in metric.needs:
        if need == COUNT:
            columns.append(np.ones(num))
        elif "class" in need:
            columns.append(generator.integers(0, 5, num).astype(float))
        elif need.partition(":")[0] == "correct":
            columns.append(generator.integers(0, 2, num).astype(float))
        else:
            columns.append(generator.integers(0, 5, num) / 4.0)
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("metric", EVERY, ids=[f"{m.name} {m.needs[0]}" for m in EVERY])
def test_a_weight_is_a_row_that_stands_there_as_often(metric):
    generator = np.random.default_rng(0)
    for num in (1, 2, 7, 40):
        # given rows and three resamples of them
        columns = random_columns(metric, num, generator)
        weights = generator.multinomial(num, np.full(num, 1 / num), size=3)
        # when
        together = metric.statistic(columns, weights.astype(float))
        # then each is what its rows, written out, give alone
        alone = [
            metric.statistic(np.repeat(columns, own, axis=0), np.ones((1, num)))[0]
            for own in weights
        ]
        np.testing.assert_allclose(together, alone, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("metric", EVERY, ids=[f"{m.name} {m.needs[0]}" for m in EVERY])
def test_a_row_of_zeros_tells_nothing(metric):
    # The bootstrap leaves such rows out. Where examples are counted there is none.
    if COUNT in metric.needs:
        return
    columns = random_columns(metric, 12, np.random.default_rng(1))
    columns = columns[np.any(columns != 0.0, axis=1)]
    more = np.insert(columns, [0, 3, len(columns)], 0.0, axis=0)
    values = [metric.statistic(each, np.ones((1, len(each))))[0] for each in (columns, more)]
    np.testing.assert_allclose(*values, rtol=1e-12)


@pytest.mark.parametrize("metric", EVERY, ids=[f"{m.name} {m.needs[0]}" for m in EVERY])
def test_a_metric_says_what_it_is(metric):
    assert metric.definition.endswith(".")
    assert metric.title
    assert not metric.is_fraction or (len(metric.needs) == 2 and metric.counted == metric.needs[1])


def test_every_metric_is_found_where_its_columns_are():
    for metric in EVERY:
        names = {*metric.needs, metric.counted} - {COUNT}
        scores = Scores(("0",), {name: np.ones(1) for name in names})
        assert metric.name in {found.name for found in metrics_of(scores)}, metric.name
