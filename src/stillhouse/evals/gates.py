"""The gate: rules on a candidate's scores that give pass, fail, or not enough data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from stillhouse.core.errors import InputError
from stillhouse.evals.bootstrap import (
    Estimate,
    Resampling,
    bootstrap,
    ratio,
    widen_fraction,
)
from stillhouse.evals.metric import Metric
from stillhouse.evals.metrics import metric_by_name
from stillhouse.evals.scores import Scores
from stillhouse.recipes.measuring import Gate, Rule

Decision = Literal["pass", "fail", "not enough data"]
OTHERS = {"teacher": "teacher", "baseline": "twin"}
"""What a rule's `against` calls a candidate of the run."""


class RuleVerdict(BaseModel):
    """What one rule said.

    Attributes:
        text: the rule in words.
        value: the estimate that was compared; None where it cannot be computed.
        low: its interval's lower bound.
        high: its interval's upper bound.
        n: examples it rests on.
        decision: pass, fail, or not enough data.
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
    """The gate's answer about one candidate."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    candidate: str
    passed: bool
    rules: tuple[RuleVerdict, ...]
    fallback: str

    @property
    def reasons(self) -> list[str]:
        """One line for each rule that did not pass."""
        return [f"{rule.text}: {rule.reason}" for rule in self.rules if rule.decision != "pass"]


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
        Passed when every rule passed.

    Raises:
        InputError: no such candidate, or a rule needs one that was not measured.
    """
    if candidate not in scores:
        raise InputError(
            f"no candidate {candidate!r} in this run", f"candidates: {', '.join(scores)}"
        )
    rules = tuple(_ask(rule, scores, candidate, resampling) for rule in gate.rules)
    passed = all(rule.decision == "pass" for rule in rules)
    return Verdict(candidate=candidate, passed=passed, rules=rules, fallback=gate.fallback)


def _ask(
    rule: Rule, scores: Mapping[str, Scores], candidate: str, resampling: Resampling
) -> RuleVerdict:
    own = scores[candidate]
    metric = metric_by_name(rule.metric, own)
    if rule.against == "absolute":
        estimate = estimate_metric(metric, own, resampling)
        text = rule.metric
    else:
        name = OTHERS.get(rule.against, rule.against)
        if name not in scores:
            raise InputError(
                f"a gate rule compares {rule.metric} with the {rule.against}, which was not "
                "measured",
                "the baseline is the twin: add train.twin to the recipe",
            )
        estimate = compare(metric, own, scores[name], rule.relation, resampling)
        sign = "minus" if rule.relation == "difference" else "over"
        text = f"{rule.metric} {sign} the {rule.against}'s"
    return _decide(rule, text, estimate)


def estimate_metric(metric: Metric, scores: Scores, resampling: Resampling) -> Estimate:
    """A metric of one candidate with its interval."""
    found = bootstrap(metric.columns(scores), metric.statistic, resampling)
    found = replace(found, n=metric.num_counted(scores))
    return widen_fraction(found, resampling.confidence) if metric.is_fraction else found


def compare(
    metric: Metric,
    own: Scores,
    other: Scores,
    relation: Literal["difference", "ratio"],
    resampling: Resampling,
) -> Estimate:
    """A metric of one candidate minus or over another's, paired by example.

    Args:
        metric: what is compared.
        own: the candidate's scores.
        other: whom it is compared with.
        relation: candidate minus other, or candidate over other.
        resampling: how the interval is made.

    Returns:
        The difference or the ratio, with its interval.

    Raises:
        InputError: the two were measured on different examples.
    """
    if own.example_ids != other.example_ids:
        raise InputError("the two candidates were measured on different examples")
    num_columns = len(metric.needs)
    columns = np.concatenate([metric.columns(own), metric.columns(other)], axis=1)

    def statistic(
        columns_NS: NDArray[np.float64], weights_RN: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        first = metric.statistic(columns_NS[:, :num_columns], weights_RN)
        second = metric.statistic(columns_NS[:, num_columns:], weights_RN)
        if relation == "difference":
            return first - second
        return ratio(np.stack([first, second], axis=1))

    found = bootstrap(columns, statistic, resampling)
    return replace(found, n=metric.num_counted(own))


def _decide(rule: Rule, what: str, estimate: Estimate) -> RuleVerdict:
    lower_is_fine = rule.at_most is not None
    limit = rule.at_most if rule.at_most is not None else (rule.at_least or 0.0)
    # Turned so that the room is above 0 where the rule holds.
    sign = 1.0 if lower_is_fine else -1.0
    room = sign * (limit - estimate.value)
    bound = estimate.high if lower_is_fine else estimate.low
    room_of_bound = sign * (limit - bound)
    word = "at most" if lower_is_fine else "at least"
    text = f"{what} {word} {limit:g}"
    decision, reason, n_enough = _weigh(rule, estimate, room, room_of_bound)
    return RuleVerdict(
        text=text,
        metric=rule.metric,
        value=_finite(estimate.value),
        low=_finite(estimate.low),
        high=_finite(estimate.high),
        n=estimate.n,
        limit=limit,
        decision=decision,
        reason=reason,
        n_enough=n_enough,
    )


def _weigh(
    rule: Rule, estimate: Estimate, room: float, room_of_bound: float
) -> tuple[Decision, str, int]:
    shown = f"{estimate.value:.4g} [{estimate.low:.4g}, {estimate.high:.4g}], n={estimate.n}"
    if not math.isfinite(estimate.value):
        return "fail", f"it cannot be computed on these {estimate.n} examples", 0
    if rule.decide_by == "point":
        return ("pass" if room >= 0 else "fail"), shown, 0
    if room_of_bound > 0 or room == room_of_bound == 0:
        return "pass", shown, 0
    if room < 0:
        return "fail", shown, 0
    if room == 0 or not math.isfinite(room_of_bound):
        return "not enough data", f"{shown}: the interval crosses the limit", 0
    # The half width shrinks as 1 / sqrt(n), so the room is reached at n * (width / room)^2.
    width = room - room_of_bound
    n_enough = math.ceil(estimate.n * (width / room) ** 2) + 1
    return (
        "not enough data",
        f"{shown}: the interval crosses the limit; about {n_enough} examples would decide",
        n_enough,
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
