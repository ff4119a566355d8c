"""The gate: rules on a candidate's scores that give pass, fail, or not enough data.

A rule against the version in production is not asked while there is none: it lets nobody pass and
refuses nobody, and every verdict names it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict

from stillhouse.core.errors import InputError
from stillhouse.evals.bootstrap import Estimate, Resampling
from stillhouse.evals.compare import compare, paired_counts
from stillhouse.evals.estimates import counts_units, estimate_metric
from stillhouse.evals.metric import Metric
from stillhouse.evals.metrics import metric_by_name
from stillhouse.evals.proportions import (
    difference_interval,
    exact_interval,
    examples_to_decide,
    ratio_interval,
)
from stillhouse.evals.scores import COUNT, Scores
from stillhouse.evals.slices import Slice, on_slice, slice_names
from stillhouse.recipes.gating import Gate, Rule
from stillhouse.recipes.measuring import Reference
from stillhouse.recipes.metric_names import misfit_with, scale_of

Decision = Literal["pass", "fail", "not enough data", "not asked"]
PRODUCTION = "production"
_NONE_IN_USE = "no version in production yet"
_HARMLESS = ("pass", "not asked")
OTHERS = {"teacher": "teacher", "baseline": "twin"}
"""What a rule's `against` calls a candidate of the run."""

_Bounds = Callable[[int], tuple[float, float]]
"""The interval that so many examples in the same shares would give."""


class RuleVerdict(BaseModel):
    """What one rule said.

    Attributes:
        text: the rule in words.
        value: the estimate that was compared; None where it cannot be computed.
        low: its interval's lower bound.
        high: its interval's upper bound.
        n: examples it rests on.
        decision: pass, fail, not enough data, or not asked.
        reason: why, in words.
        n_enough: about how many examples would decide; 0 when it is decided.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str
    metric: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    limit: float
    decision: Decision
    reason: str
    n_enough: int = 0


class Verdict(BaseModel):
    """The gate's answer about one candidate.

    Attributes:
        candidate: who was asked about.
        passed: every rule that was asked passed.
        rules: in the order of the recipe.
        fallback: what to use where it did not pass.
        reference: whose answers the numbers are measured against.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    candidate: str
    passed: bool
    rules: tuple[RuleVerdict, ...]
    fallback: str
    reference: Reference = "gold"

    @property
    def reasons(self) -> list[str]:
        """One line for each rule that keeps the candidate from passing."""
        return [
            f"{rule.text}: {rule.reason}" for rule in self.rules if rule.decision not in _HARMLESS
        ]

    @property
    def num_not_asked(self) -> int:
        """Rules that there was nobody to compare with for."""
        return sum(rule.decision == "not asked" for rule in self.rules)


def decide(
    gate: Gate, scores: Mapping[str, Scores], candidate: str, resampling: Resampling
) -> Verdict:
    """Ask every rule about a candidate.

    Args:
        gate: the recipe's rules.
        scores: of the candidate, and of every candidate that a rule compares it with.
        candidate: a name in `scores`.
        resampling: how the intervals are made.

    Returns:
        Passed when every rule passed that was asked. A rule on each slice is asked once a slice.

    Raises:
        InputError: no such candidate, metric or slice, a rule needs a candidate that was not
            measured, or demands what its metric cannot be.
    """
    if candidate not in scores:
        raise InputError(
            f"no candidate {candidate!r} in this run", f"candidates: {', '.join(scores)}"
        )
    asked = [one for rule in gate.rules for one in _each(rule, scores[candidate])]
    rules = tuple(_ask(rule, scores, candidate, resampling) for rule in asked)
    passed = all(rule.decision in _HARMLESS for rule in rules)
    is_missing = gate.fallback == PRODUCTION and PRODUCTION not in scores
    fallback = f"{PRODUCTION} ({_NONE_IN_USE})" if is_missing else gate.fallback
    return Verdict(candidate=candidate, passed=passed, rules=rules, fallback=fallback)


def _each(rule: Rule, own: Scores) -> Iterator[Rule]:
    if rule.each_slice is None:
        yield rule
        return
    for name in slice_names(own, rule.each_slice):
        yield rule.of_slice(rule.each_slice, name)


def _ask(
    rule: Rule, scores: Mapping[str, Scores], candidate: str, resampling: Resampling
) -> RuleVerdict:
    own = _cut(scores[candidate], rule)
    metric = metric_by_name(rule.metric, own)
    _refuse_misfit(rule, metric)
    if rule.against == "absolute":
        estimate = estimate_metric(metric, own, resampling)
        return _decide(rule, metric, rule.metric, estimate, _grown(metric, own, resampling))
    name = OTHERS.get(rule.against, rule.against)
    sign = "minus" if rule.relation == "difference" else "over"
    text = f"{rule.metric} {sign} the {rule.against}'s"
    if name == PRODUCTION and name not in scores:
        return _not_asked(rule, text)
    if name not in scores:
        raise InputError(
            f"a gate rule compares {rule.metric} with the {rule.against}, which was not measured",
            "the baseline is the twin: add train.twin to the recipe",
        )
    other = _cut(scores[name], rule)
    estimate = compare(metric, own, other, rule.relation, resampling)
    return _decide(rule, metric, text, estimate, _grown_pairs(metric, own, other, rule, resampling))


def _not_asked(rule: Rule, what: str) -> RuleVerdict:
    return RuleVerdict(
        text=_text(rule, what),
        metric=rule.metric,
        value=None,
        low=None,
        high=None,
        n=0,
        limit=rule.limit,
        decision="not asked",
        reason=_NONE_IN_USE,
    )


def _text(rule: Rule, what: str) -> str:
    where = f" {rule.where}" if rule.where else ""
    return f"{what}{where} {rule.bound.replace('_', ' ')} {rule.limit:g}"


def _cut(scores: Scores, rule: Rule) -> Scores:
    for kind, name in (rule.slice or {}).items():
        return on_slice(scores, Slice(kind, name))
    return scores


def _refuse_misfit(rule: Rule, metric: Metric) -> None:
    # A name that recipes know was looked at with the recipe; of errors of numbers this scale is
    # that of the references at hand, which may be none on a slice.
    if metric.bounds is None or scale_of(metric.name) is not None:
        return
    misfit = misfit_with(metric.name, metric.bounds, rule.limit, rule.bound, rule.compared_as)
    if misfit:
        raise InputError(f"a gate rule asks in vain: {misfit}")


def _grown(metric: Metric, own: Scores, resampling: Resampling) -> _Bounds | None:
    columns = metric.columns(own)
    if not counts_units(metric, columns):
        return None
    right, units = columns[:, 0].sum(), columns[:, 1].sum()
    return lambda n: exact_interval(float(n * right / units), n, resampling.confidence)


def _grown_pairs(
    metric: Metric, own: Scores, other: Scores, rule: Rule, resampling: Resampling
) -> _Bounds | None:
    pairs = paired_counts(metric, own, other)
    if pairs is None:
        return None
    interval = difference_interval if rule.relation == "difference" else ratio_interval
    return lambda n: interval(pairs.grown(n), resampling.confidence)


def _decide(
    rule: Rule, metric: Metric, what: str, estimate: Estimate, grown: _Bounds | None
) -> RuleVerdict:
    decision, reason, n_enough = _weigh(rule, metric, estimate, grown)
    return RuleVerdict(
        text=_text(rule, what),
        metric=rule.metric,
        value=_finite(estimate.value),
        low=_finite(estimate.low),
        high=_finite(estimate.high),
        n=estimate.n,
        limit=rule.limit,
        decision=decision,
        reason=reason,
        n_enough=n_enough,
    )


def _weigh(
    rule: Rule, metric: Metric, estimate: Estimate, grown: _Bounds | None
) -> tuple[Decision, str, int]:
    counted = "examples" if metric.counted == COUNT else "of what it counts"
    if estimate.n < rule.min_n:
        reason = f"n={estimate.n}, and the rule asks for at least {rule.min_n} {counted}"
        return "not enough data", reason, rule.min_n
    if not math.isfinite(estimate.value):
        return "fail", f"it cannot be computed on these {estimate.n} {counted}", 0
    shown = f"{estimate.value:.4g} [{estimate.low:.4g}, {estimate.high:.4g}], n={estimate.n}"
    room = _room(rule, estimate.value)
    if rule.decide_by == "point":
        return ("pass" if room >= 0 else "fail"), shown, 0
    if _shows(rule, room, (estimate.low, estimate.high)):
        return "pass", shown, 0
    if room < 0:
        return "fail", shown, 0
    n_enough = _enough(rule, estimate, room, grown)
    if n_enough:
        way = f"about {n_enough} {counted} would decide"
    elif room == 0:
        way = "more like these would not decide, because the estimate is the limit itself"
    else:
        way = "it has no end, so nobody can say how many would decide"
    return "not enough data", f"{shown}: the interval crosses the limit; {way}", n_enough


def _room(rule: Rule, value: float) -> float:
    """How far a value is from the limit, above 0 where the rule holds."""
    # 0.1 + 0.2 is not more than 0.3: what differs by rounding alone is equal.
    if math.isclose(value, rule.limit, rel_tol=1e-9, abs_tol=1e-12):
        return 0.0
    return value - rule.limit if rule.bound == "at_least" else rule.limit - value


def _shows(rule: Rule, room: float, interval: tuple[float, float]) -> bool:
    """Whether the whole interval keeps the rule."""
    low, high = interval
    room_of_bound = _room(rule, low if rule.bound == "at_least" else high)
    return room_of_bound > 0 or room == room_of_bound == 0


def _enough(rule: Rule, estimate: Estimate, room: float, grown: _Bounds | None) -> int:
    """About how many units would decide, in the shares that were seen; 0 when none would."""
    if room == 0:
        return 0
    if grown:
        return examples_to_decide(estimate.n, lambda n: _shows(rule, room, grown(n)))
    bound = estimate.low if rule.bound == "at_least" else estimate.high
    if not math.isfinite(bound):
        return 0
    # The half width shrinks as 1 / sqrt(n), so the room is reached at n * (width / room)^2.
    width = abs(estimate.value - bound)
    return math.ceil(estimate.n * (width / room) ** 2) + 1


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
