"""The names of metrics that a recipe may use, each with the scale of its values."""

from __future__ import annotations

import math
from typing import Literal

Scale = tuple[float, float]

_FRACTION = (0.0, 1.0)
_PERCENT = (0.0, 100.0)
_SIGNED = (-1.0, 1.0)
_AMOUNT = (0.0, math.inf)
_ANY = (-math.inf, math.inf)

_FIXED: dict[Scale, str] = {
    _FRACTION: """
        acceptance_rate adaptive_ece agreement answer_token_accuracy auroc_confidence
        batch_equality brier christian_accuracy christian_sensitivity christian_specificity
        class_agreement class_unread classes_entropy classes_min_share classes_named
        classes_top_share context_fidelity_missing context_spread
        distinct_1 distinct_2 ece ece_to_votes exact_match
        field_accuracy field_agreement hallucination_rate improved_share judge_consistency
        judge_first_share judge_missing majority_accuracy memorised_rate near_copy_rate
        paraphrase_consistency paraphrase_pairs repeat_equality schema_valid
        score_verdict_agreement self_bleu
        style_reference_rate top1_agreement traditions_entropy traditions_min_share
        traditions_named traditions_top_share unjudged_claims valid_json win_rate worsened_share
    """,
    _SIGNED: "entropy_correlation entropy_correlation_linear",
    (0.0, 2.0): "brier_to_votes embedding_distance",
    (-2.0, 2.0): "improvement",
    (1.0, 5.0): "context_fidelity expected_acceptance",
    (1.0, math.inf): "perplexity",
    (0.0, math.log(2.0)): "class_jsd_to_teacher jsd_to_teacher jsd_to_votes",
    _AMOUNT: """
        bits_per_byte bundle_bytes class_kl_to_teacher classes_covered cross_entropy entropy
        kl_to_teacher kl_to_votes latency_mean_s
        latency_p50_s latency_p95_s load_s num_parameters peak_memory_bytes size_bytes
        throughput_per_minute traditions_covered
    """,
}

FIXED: dict[str, Scale] = {name: scale for scale, names in _FIXED.items() for name in names.split()}
"""Metrics of one name."""

_FAMILIES: dict[Scale, str] = {
    _FRACTION: """
        accuracy adaptive_ece agreement auroc_confidence brier classes_entropy classes_min_share
        classes_named classes_top_share ece error f1 false_negative_rate false_positive_rate
        field_accuracy flip_rate hallucination
        macro_f1 macro_precision macro_recall micro_f1 micro_precision micro_recall precision probe
        recall repeat_range rouge_l subset_accuracy traditions_entropy traditions_min_share
        traditions_named traditions_top_share unreadable within
    """,
    _SIGNED: "kappa kappa_to_teacher",
    _PERCENT: "bleu chrf",
    _AMOUNT: "batch_difference classes_covered mae rmse traditions_covered",
    _ANY: "harness",
}

FAMILIES: dict[str, Scale] = {
    f"{name}.": scale for scale, names in _FAMILIES.items() for name in names.split()
}
"""What stands before the dot of metrics with one for each field, class, category or probe."""

_SHARES_OF_TASKS = frozenset(("acc", "acc_bytes", "acc_mutual_info", "acc_norm", "exact_match"))
"""Measures of lm-evaluation-harness that are 0 or 1 for each document."""

OF_VOTES = (
    "brier_to_votes",
    "ece_to_votes",
    "entropy_correlation",
    "entropy_correlation_linear",
    "jsd_to_votes",
    "kl_to_votes",
    "majority_accuracy",
)
"""Metrics against people's votes."""
OF_CLASSES = ("class_agreement", "class_jsd_to_teacher", "class_kl_to_teacher")
"""Metrics of named answers against the teacher."""
UNREAD = "class_unread"
"""How many answers name none of them under `label.class_field`."""
OF_CLASS_FIELD = ("adaptive_ece.", "auroc_confidence.", "brier.", "ece.")
"""What stands before the dot of the calibration of that field."""

WAITING = frozenset({"embedding_distance"})
"""Of both, those that no evaluation of a run measures yet."""

WAITING_FAMILIES = frozenset({"probe."})


OF_TAGS = ("classes_", "traditions_")
"""What the names of metrics of declared probes begin with."""


def is_measured(name: str) -> bool:
    """Whether an evaluation may measure a metric of that name."""
    if name in FIXED:
        return name not in WAITING
    family = _family(name)
    return family is not None and family not in WAITING_FAMILIES


def scale_of(name: str) -> Scale | None:
    """The least and the greatest value of a metric; None for a name that is not known."""
    family = _family(name)
    if family == "harness." and _SHARES_OF_TASKS & set(name.split(".")[2:]):
        return _FRACTION
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
