"""The names of metrics that a recipe may use, each with the scale of its values."""

from __future__ import annotations

import math
from typing import Literal

Scale = tuple[float, float]

_FRACTION = (0.0, 1.0)
_PERCENT = (0.0, 100.0)
_SIGNED = (-1.0, 1.0)
_AMOUNT = (0.0, math.inf)

FIXED: dict[str, Scale] = {
    "accuracy": _FRACTION,
    "agreement": _FRACTION,
    "auroc_confidence": _FRACTION,
    "bleu": _PERCENT,
    "christian_accuracy": _FRACTION,
    "chrf": _PERCENT,
    "context_fidelity": (1.0, 5.0),
    "cost_per_thousand_usd": _AMOUNT,
    "cross_entropy": _AMOUNT,
    "distinct_1": _FRACTION,
    "distinct_2": _FRACTION,
    "ece": _FRACTION,
    "entropy": _AMOUNT,
    "exact_match": _FRACTION,
    "field_accuracy": _FRACTION,
    "hallucination_rate": _FRACTION,
    "improved_share": _FRACTION,
    "kl_to_teacher": _AMOUNT,
    "latency_mean_s": _AMOUNT,
    "latency_p95_s": _AMOUNT,
    "load_s": _AMOUNT,
    "peak_memory_bytes": _AMOUNT,
    "perplexity": (1.0, math.inf),
    "preference": _FRACTION,
    "repeat_range": _FRACTION,
    "rouge_l": _FRACTION,
    "schema_valid": _FRACTION,
    "score_verdict_agreement": _FRACTION,
    "self_bleu": _PERCENT,
    "size_bytes": _AMOUNT,
    "style_reference_rate": _FRACTION,
    "throughput_per_minute": _AMOUNT,
    "top1_agreement": _FRACTION,
    "valid_json": _FRACTION,
    "verdict_flip_rate": _FRACTION,
    "worsened_share": _FRACTION,
}
"""Metrics of one name."""

FAMILIES: dict[str, Scale] = {
    "accuracy.": _FRACTION,
    "error.": _FRACTION,
    "f1.": _FRACTION,
    "false_negative_rate.": _FRACTION,
    "false_positive_rate.": _FRACTION,
    "field_accuracy.": _FRACTION,
    "kappa.": _SIGNED,
    "macro_f1.": _FRACTION,
    "mae.": _AMOUNT,
    "micro_f1.": _FRACTION,
    "precision.": _FRACTION,
    "recall.": _FRACTION,
    "within.": _FRACTION,
}
"""What stands before the dot of metrics with one for each field or category."""

WAITING = frozenset(FIXED) - {
    "agreement",
    "cross_entropy",
    "exact_match",
    "field_accuracy",
    "kl_to_teacher",
    "perplexity",
    "top1_agreement",
    "valid_json",
}
"""Of both, those that no evaluation measures yet."""

WAITING_FAMILIES = frozenset(FAMILIES) - {"field_accuracy."}


def is_measured(name: str) -> bool:
    """Whether an evaluation may measure a metric of that name."""
    if name in FIXED:
        return name not in WAITING
    family = _family(name)
    return family is not None and family not in WAITING_FAMILIES


def scale_of(name: str) -> Scale | None:
    """The least and the greatest value of a metric; None for a name that is not known."""
    family = _family(name)
    return FIXED.get(name) or (FAMILIES[family] if family else None)


def _family(name: str) -> str | None:
    head, dot, rest = name.partition(".")
    return head + dot if rest and head + dot in FAMILIES else None


def misfit_of(
    name: str,
    limit: float,
    bound: Literal["at_least", "at_most"],
    compared_as: Literal["value", "difference", "ratio"],
) -> str:
    """Why a limit cannot be meant for a metric, in words; empty when it can.

    Args:
        name: of the metric.
        limit: what a rule demands of it.
        bound: which side of the limit is refused.
        compared_as: what the limit is a limit of.

    Returns:
        A reason where no value keeps the rule, where every value does, or where a share was
        written for a metric in percent.
    """
    scale = scale_of(name)
    return misfit_with(name, scale, limit, bound, compared_as) if scale else ""


def misfit_with(name: str, scale: Scale, limit: float, bound: str, compared_as: str) -> str:
    """As `misfit_of`, of a metric whose scale is given."""
    low, high = _reach(scale, compared_as)
    what = {"value": "", "difference": "the difference of ", "ratio": "the ratio of "}[compared_as]
    span = f"{what}{name} lies from {low:g} to {high:g}"
    word = bound.replace("_", " ")
    if limit > high:
        effect = "no value keeps" if bound == "at_least" else "every value keeps"
        return f"{span}: {effect} {word} {limit:g}{_rescaled(scale, limit)}"
    if limit < low:
        effect = "every value keeps" if bound == "at_least" else "no value keeps"
        return f"{span}: {effect} {word} {limit:g}"
    if compared_as == "value" and high >= 100.0 and math.isfinite(high) and 0.0 < limit <= 1.0:
        return f"{span}: {limit:g} looks like a share of 1, write {100 * limit:g}"
    return ""


def _reach(scale: Scale, compared_as: str) -> Scale:
    low, high = scale
    if compared_as == "value":
        return scale
    if compared_as == "difference":
        return low - high, high - low
    return (0.0, math.inf) if low >= 0.0 else (-math.inf, math.inf)


def _rescaled(scale: Scale, limit: float) -> str:
    return f"; write {limit / 100:g}" if scale == _FRACTION and 1.0 < limit <= 100.0 else ""
