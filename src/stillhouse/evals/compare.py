"""Two candidates on the same examples: the difference or ratio with its interval and p value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stillhouse.core.errors import InputError
from stillhouse.evals.bootstrap import Estimate, Resampling, bootstrap, ratio
from stillhouse.evals.estimates import clip, counts_units, estimate_metric, widen
from stillhouse.evals.metric import Metric
from stillhouse.evals.metrics import metric_by_name
from stillhouse.evals.proportions import Pairs, difference_interval, ratio_interval
from stillhouse.evals.scores import Scores
from stillhouse.evals.significance import McNemar, mcnemar, swap_test

Relation = Literal["difference", "ratio"]
Correction = Literal["holm", "benjamini-hochberg"]
Word = Literal["superior", "non-inferior", "inferior", "undecided", "not enough data"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What one candidate is worth beside another, by one metric.

    Attributes:
        metric: its name.
        first: the candidate.
        second: whom it is compared with.
        effect: first minus second, or first over second, with its interval.
        relation: which of the two the effect is.
        p_value: two-sided, of no difference; NaN where there are too few examples to judge.
        test: how the p value was found.
        word: `superior` when the whole interval is better than equal, `non-inferior` when all of
            it is within the margin, `inferior` when all of it is worse than the margin allows,
            else `undecided`; `not enough data` below the least number of examples.
        margin: how much worse still counts as not worse.
    """

    metric: str
    first: str
    second: str
    effect: Estimate
    relation: Relation
    p_value: float
    test: str
    word: Word
    margin: float


@dataclass(frozen=True, slots=True)
class Asking:
    """How candidates are compared.

    Attributes:
        relation: first minus second, or first over second.
        margin: how much worse still counts as not worse, >= 0: of the difference, or of the
            ratio's distance from 1.
        min_n: with fewer counted units nothing is judged.
        correction: of p values of several parts or metrics: `holm` keeps the chance of a single
            false finding, `benjamini-hochberg` the share of false ones among the findings.
    """

    relation: Relation = "difference"
    margin: float = 0.0
    min_n: int = 10
    correction: Correction = "holm"


_ASKING = Asking()
_TOKENS = "tokens"
"""The column that counts them."""


def compare_candidates(
    metric_name: str,
    candidates: Mapping[str, Scores],
    names: tuple[str, str],
    resampling: Resampling,
    asking: Asking = _ASKING,
) -> Comparison:
    """One record of how two of several candidates differ.

    Args:
        metric_name: what is compared.
        candidates: name to scores; teacher, student, twin, baseline, production, exported or any.
        names: the candidate, and whom it is compared with.
        resampling: how the interval is made, and the swaps of the test.
        asking: difference or ratio, the margin, the least n.

    Returns:
        The effect with its interval, the p value and one word.

    Raises:
        InputError: a candidate or a metric is not there, or they saw different examples.
    """
    for name in names:
        if name not in candidates:
            raise InputError(f"no candidate {name!r}", f"candidates: {', '.join(candidates)}")
    own, other = (candidates[name] for name in names)
    metric = metric_by_name(metric_name, own)
    metric_by_name(metric_name, other)
    effect = compare(metric, own, other, asking.relation, resampling)
    if effect.n < asking.min_n:
        p_value, test = math.nan, "none"
    else:
        p_value, test = p_value_of(metric, own, other, resampling)
    return Comparison(
        metric=metric_name,
        first=names[0],
        second=names[1],
        effect=effect,
        relation=asking.relation,
        p_value=p_value,
        test=test,
        word=word_for(metric, effect, asking),
        margin=asking.margin,
    )


def compare(
    metric: Metric, own: Scores, other: Scores, relation: Relation, resampling: Resampling
) -> Estimate:
    """A metric of one candidate minus or over another's, paired by example.

    Args:
        metric: what is compared.
        own: the candidate's scores.
        other: whom it is compared with.
        relation: candidate minus other, or candidate over other.
        resampling: how the interval is made.

    Returns:
        The difference or the ratio, with its interval. For fractions of the same units it is the
        score interval, for fractions of different units (such as two precisions) it joins both
        exact intervals, else it is the paired bootstrap, cut to what the metric's scale lets be.
        The smaller of both n.

    Raises:
        InputError: the two were measured on different examples.
    """
    if own.example_ids != other.example_ids:
        raise InputError(
            "the two candidates were measured on different examples",
            "measure both on one holdout: run the recipe again",
        )
    if not _same_tokens(metric, own, other):
        raise InputError(
            f"{metric.name} is a mean over tokens, and the two candidates cut the same answers "
            "into different ones",
            "compare bits_per_byte",
        )
    pairs = paired_counts(metric, own, other)
    if pairs:
        return _compare_pairs(pairs, relation, resampling)
    columns = [metric.columns(one) for one in (own, other)]
    if all(counts_units(metric, each) for each in columns):
        return _join(metric, own, other, relation, resampling)
    return _resample(metric, own, other, relation, resampling)


def shares_unit(metric_name: str, own: Scores, other: Scores) -> bool:
    """Whether two candidates' values are means over the same units.

    Args:
        metric_name: what is compared; both have it.
        own: one candidate's scores.
        other: the other's, of the same examples.

    Returns:
        False for a mean over tokens where two tokenizers cut a text into more and fewer. Into
        equally many, such as one a class, both are that text's nats over one number.
    """
    return _same_tokens(metric_by_name(metric_name, own), own, other)


def _same_tokens(metric: Metric, own: Scores, other: Scores) -> bool:
    return _TOKENS not in metric.needs or np.array_equal(own.column(_TOKENS), other.column(_TOKENS))


def paired_counts(metric: Metric, own: Scores, other: Scores) -> Pairs | None:
    """How often both, one or neither was right; None for other metrics than such fractions.

    Args:
        metric: what is compared.
        own: one candidate's scores.
        other: the other's, of the same examples.

    Returns:
        Counts over the units of both, where they have the same.
    """
    first, second = metric.columns(own), metric.columns(other)
    if not counts_units(metric, first) or not counts_units(metric, second):
        return None
    units = first[:, 1] > 0
    if not np.array_equal(first[:, 1], second[:, 1]):
        return None
    one, two = first[units, 0] > 0, second[units, 0] > 0
    counts = (one & two, one & ~two, ~one & two, ~one & ~two)
    return Pairs(*(float(np.count_nonzero(each)) for each in counts))


def _compare_pairs(pairs: Pairs, relation: Relation, resampling: Resampling) -> Estimate:
    n = round(pairs.n)
    right, other = pairs.both + pairs.first, pairs.both + pairs.second
    if n == 0:
        edges = (-1.0, 1.0) if relation == "difference" else (0.0, math.inf)
        return Estimate(math.nan, *edges, 0)
    if relation == "difference":
        value = (right - other) / n
        return Estimate(value, *difference_interval(pairs, resampling.confidence), n)
    value = float(ratio(np.array([[right, other]]))[0])
    return Estimate(value, *ratio_interval(pairs, resampling.confidence), n)


def _join(
    metric: Metric, own: Scores, other: Scores, relation: Relation, resampling: Resampling
) -> Estimate:
    """Both alone, each with half of the doubt: it holds however the two hang together."""
    halved = replace(resampling, confidence=(1.0 + resampling.confidence) / 2.0)
    one, two = (estimate_metric(metric, scores, halved) for scores in (own, other))
    n = min(one.n, two.n)
    if relation == "difference":
        return Estimate(one.value - two.value, one.low - two.high, one.high - two.low, n)
    value, low, high = ratio(
        np.array([[one.value, two.value], [one.low, two.high], [one.high, two.low]])
    ).tolist()
    return Estimate(value, low, high, n)


def _resample(
    metric: Metric, own: Scores, other: Scores, relation: Relation, resampling: Resampling
) -> Estimate:
    num_columns = len(metric.needs)
    columns = np.concatenate([metric.columns(own), metric.columns(other)], axis=1)
    halves: dict[int, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}

    def statistic(
        columns_NS: NDArray[np.float64], weights_RN: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        # The same views each time, by which a statistic knows a table that it has looked at.
        cut = columns_NS[:, :num_columns], columns_NS[:, num_columns:]
        first_NS, second_NS = halves.setdefault(id(columns_NS), cut)
        first = metric.statistic(first_NS, weights_RN)
        second = metric.statistic(second_NS, weights_RN)
        if relation == "difference":
            return first - second
        return ratio(np.stack([first, second], axis=1))

    found = bootstrap(columns, statistic, resampling)
    least, greatest = metric.reach
    if relation == "difference":
        reach = (least - greatest, greatest - least)
        found = widen(found, reach, resampling) if metric.bounds else found
    else:
        reach = (0.0 if least >= 0.0 else -math.inf, math.inf)
    if relation == "ratio" and metric.bounds and found.low == found.high:
        unlike = 1.0 - resampling.tail ** (1.0 / max(found.n, 1))
        found = replace(found, low=found.value * (1.0 - unlike), high=found.value / (1.0 - unlike))
    n = min(metric.num_counted(own), metric.num_counted(other))
    return replace(clip(found, reach), n=n)


def p_value_of(
    metric: Metric, own: Scores, other: Scores, resampling: Resampling
) -> tuple[float, str]:
    """How surprising the difference is if the two candidates were exchangeable.

    Args:
        metric: what is compared.
        own: one candidate's scores.
        other: the other's, of the same examples.
        resampling: number and seed of the swaps.

    Returns:
        The two-sided p value, and the name of the test: the mid-p form of McNemar's for fractions
        of the same units, else random swaps of the two candidates' examples.
    """
    pairs = paired_counts(metric, own, other)
    if pairs:
        found: McNemar = mcnemar(round(pairs.first), round(pairs.second))
        return found.mid_p, "McNemar, mid-p"
    columns = (metric.columns(own), metric.columns(other))
    p_value = swap_test(*columns, metric.statistic, resampling)
    return p_value, "paired permutation"


def word_for(metric: Metric, effect: Estimate, asking: Asking) -> Word:
    """What an effect's interval says, in one word.

    Args:
        metric: whose direction decides what is better.
        effect: with its interval.
        asking: with the margin and the least n.

    Returns:
        As `Comparison.word` tells.
    """
    if effect.n < asking.min_n or not math.isfinite(effect.value):
        return "not enough data"
    equal = 0.0 if asking.relation == "difference" else 1.0
    gains = sorted(
        (bound - equal if metric.better == "higher" else equal - bound)
        for bound in (effect.low, effect.high)
    )
    if gains[0] > 0.0:
        return "superior"
    if asking.margin > 0.0 and gains[0] > -asking.margin:
        return "non-inferior"
    return "inferior" if gains[1] < -asking.margin else "undecided"
