"""Which of two candidates a judge prefers, asked in both orders.

A preference counts where both orders name the same candidate. Everything else is a tie: a judge
that always takes the first answer has no preference at all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Example
from stillhouse.evals.judge import Asked, Judge, ask_judge, schema_of, told
from stillhouse.evals.metric import Metric
from stillhouse.evals.scores import COUNT, Scores

SCHEMA = schema_of("better", {"enum": ["A", "B", "tie"]})
LEAST_CONSISTENCY = 0.5
"""assumption: a coin names the same candidate in both orders half of the time."""
_ORDERS = ("own first", "other first")
_ASKED, _JUDGED = "judge_asked", "judge_judged"

Decision = Literal["better", "worse", "no evidence"]
Said = dict[str, Any] | None


def ask_preferences(
    judge: Judge, examples: Sequence[Example], own: Sequence[str], other: Sequence[str]
) -> Scores:
    """A judge's preferences between two candidates.

    Args:
        judge: with `own_prompt("preference")` or a prompt of the same form.
        examples: whose prompts were answered.
        own: the candidate's answers, in that order.
        other: the answers of whom it is compared with.

    Returns:
        One row an example. Two equal answers are a tie that nobody is asked about.
        `judge_asked`: 1 where the answers differ. `judge_judged`: 1 where both orders were judged,
        or nobody had to be asked. `judge_missing`: 1 where a judgement is missing. `judge_won`,
        `judge_lost`: 1 where both orders name the candidate, the other. `judge_half`: 1 for a win,
        a half for a tie. `judge_consistent`: 1 where both orders say the same. `judge_both`: 1
        where both orders were asked and judged. `judge_first`, `judge_picked`: how often the first
        answer, and any answer, was preferred.

    Raises:
        InputError: not one answer of each candidate an example.
    """
    if not len(examples) == len(own) == len(other):
        raise InputError(
            f"{len(examples)} examples have {len(own)} and {len(other)} answers",
            "give one answer of each candidate an example",
        )
    pairs = list(zip(examples, own, other, strict=True))
    differing = [number for number, (_, one, two) in enumerate(pairs) if one != two]
    questions = [question for number in differing for question in _both_orders(*pairs[number])]
    said = ask_judge(judge, questions, SCHEMA)
    judged = {number: (said[2 * at], said[2 * at + 1]) for at, number in enumerate(differing)}
    rows = [_row(judged.get(number)) for number in range(len(pairs))]
    columns = {name: np.array([row[name] for row in rows]) for name in _row(None)}
    return Scores(tuple(example.example_id for example in examples), columns)


def _both_orders(example: Example, own: str, other: str) -> list[Asked]:
    return [
        Asked(
            f"{example.example_id}: {order}",
            {"Task": told(example), "Answer A": first, "Answer B": second},
        )
        for order, first, second in zip(_ORDERS, (own, other), (other, own), strict=True)
    ]


def _row(said: tuple[Said, Said] | None) -> dict[str, float]:
    row = dict.fromkeys(_COLUMNS, 0.0)
    if said is None:  # equal answers
        return row | {_JUDGED: 1.0, "judge_half": 0.5}
    row[_ASKED] = 1.0
    first, second = said
    if first is None or second is None:
        return row | {"judge_missing": 1.0}
    picks = (first["better"], second["better"])
    own = (_NAMED[picks[0]], -_NAMED[picks[1]])
    won, lost = own == (1, 1), own == (-1, -1)
    return row | {
        _JUDGED: 1.0,
        "judge_both": 1.0,
        "judge_won": float(won),
        "judge_lost": float(lost),
        "judge_half": 0.5 + 0.5 * (won - lost),
        "judge_consistent": float(own[0] == own[1]),
        "judge_first": float(picks.count("A")),
        "judge_picked": float(2 - picks.count("tie")),
    }


_NAMED = {"A": 1, "tie": 0, "B": -1}
_COLUMNS = (
    _ASKED,
    _JUDGED,
    "judge_missing",
    "judge_both",
    "judge_won",
    "judge_lost",
    "judge_half",
    "judge_consistent",
    "judge_first",
    "judge_picked",
)

METRICS = (
    Metric(
        "win_rate",
        "Preferred by the judge",
        "higher",
        "Share of examples whose answer the judge prefers in both orders, with half of the ties; "
        "missing judgements are left out and counted.",
        ("judge_half", _JUDGED),
        counted=_JUDGED,
        scale=(0.0, 1.0),
        source="Zheng et al. 2023, arXiv:2306.05685, section 3.4",
    ),
    Metric(
        "judge_consistency",
        "The judge agrees with itself",
        "higher",
        "Share of compared examples where both orders of the answers are judged alike.",
        ("judge_consistent", "judge_both"),
        counted="judge_both",
        is_fraction=True,
    ),
    Metric(
        "judge_first_share",
        "The judge takes the first answer",
        "lower",
        "Share of the first answer in all preferences, ties left out: 0.5 for a judge that does "
        "not look at the order.",
        ("judge_first", "judge_picked"),
        counted="judge_picked",
        scale=(0.0, 1.0),
    ),
    Metric(
        "judge_missing",
        "Missing judgements",
        "lower",
        "Share of examples that the judge left without a judgement that can be read.",
        ("judge_missing", COUNT),
        is_fraction=True,
    ),
)


@dataclass(frozen=True, slots=True)
class PreferenceVerdict:
    """What the judgements show.

    Attributes:
        decision: better, worse, or no evidence for either.
        wins: examples won in both orders.
        ties: of examples that were judged.
        losses: examples lost in both orders.
        missing: examples without a judgement.
        share_low: lower bound of wins among wins and losses, exact; NaN without any.
        share_high: its upper bound.
        p_value: of the sign test, ties left out; 1 without wins and losses.
        consistency: share of compared examples where both orders are judged alike.
        first_share: of the first answer among the preferences.
        reason: why, in words.
        warnings: what people should know of the judge.
    """

    decision: Decision
    wins: int
    ties: int
    losses: int
    missing: int
    share_low: float
    share_high: float
    p_value: float
    consistency: float
    first_share: float
    reason: str
    warnings: tuple[str, ...] = ()


def weigh_preferences(
    scores: Scores, confidence: float = 0.95, warnings: tuple[str, ...] = ()
) -> PreferenceVerdict:
    """Whether the judgements show that the candidate is better or worse.

    Args:
        scores: of `ask_preferences`.
        confidence: of the interval and of the sign test, two-sided.
        warnings: such as those of `self_preference`.

    Returns:
        No evidence where the judge agrees with itself less than a coin, where the sign test does
        not tell, or where the missing judgements could turn it.

    Source: Dixon & Mood 1946, The statistical sign test; Clopper & Pearson 1934 for the interval.
    """
    # measured: 0.3 s to import, which every command would wait for.
    from scipy.stats import binomtest

    sums = Counter({name: int(scores.column(name).sum()) for name in _COLUMNS})
    wins, losses, missing = sums["judge_won"], sums["judge_lost"], sums["judge_missing"]
    ties = sums[_JUDGED] - wins - losses
    test = binomtest(wins, wins + losses) if wins + losses else None
    bounds = test.proportion_ci(confidence) if test else None
    p_value = float(test.pvalue) if test else 1.0
    consistency = _share(sums, "judge_consistent", "judge_both")
    first_share = _share(sums, "judge_first", "judge_picked")
    decision, reason = _decide(sums, p_value, consistency, 1.0 - confidence)
    return PreferenceVerdict(
        decision=decision,
        wins=wins,
        ties=ties,
        losses=losses,
        missing=missing,
        share_low=float(bounds.low) if bounds else float("nan"),
        share_high=float(bounds.high) if bounds else float("nan"),
        p_value=p_value,
        consistency=consistency,
        first_share=first_share,
        reason=reason,
        warnings=warnings,
    )


def _share(sums: Mapping[str, int], part: str, whole: str) -> float:
    return sums[part] / sums[whole] if sums[whole] else float("nan")


def _decide(
    sums: Mapping[str, int], p_value: float, consistency: float, level: float
) -> tuple[Decision, str]:
    wins, losses, missing = sums["judge_won"], sums["judge_lost"], sums["judge_missing"]
    told_counts = f"{wins} won and {losses} lost in both orders (sign test p = {p_value:.3g})"
    if sums["judge_both"] and consistency < LEAST_CONSISTENCY:
        return "no evidence", (
            f"the judge says the same in both orders of only {consistency:.0%} of the pairs, and "
            f"takes the first answer in {_share(sums, 'judge_first', 'judge_picked'):.0%} of its "
            "preferences: it judges the order"
        )
    if p_value >= level:
        return "no evidence", told_counts
    from scipy.stats import binomtest

    # The missing ones may be missing because of what would have been said.
    against = (wins, losses + missing) if wins > losses else (wins + missing, losses)
    turned = binomtest(against[0], sum(against))
    keeps_side = (against[0] > against[1]) == (wins > losses)
    if not keeps_side or turned.pvalue >= level:
        return "no evidence", f"{told_counts}, but {missing} missing judgements could turn it"
    return ("better" if wins > losses else "worse"), told_counts
