"""Which setting a metric needs: a rule on what is not measured would fail after all the work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from stillhouse.recipes.metric_names import (
    FAMILIES,
    OF_CLASS_FIELD,
    OF_CLASSES,
    OF_TAGS,
    OF_VOTES,
    UNREAD,
)
from stillhouse.recipes.schema import Recipe


@dataclass(frozen=True, slots=True)
class _Need:
    """Metrics whose name begins with one of these need a setting.

    Attributes:
        begins: of names.
        is_met: whether a recipe has the setting.
        add: the setting, as people write it.
    """

    begins: tuple[str, ...]
    is_met: Callable[[Recipe], bool]
    add: str


BUNDLE_BYTES = "bundle_bytes"
"""The metric that is measured of what ships alone."""

_DIVERSITY = ("distinct_", "entropy", "self_bleu", "style_reference_rate")
_SONGS = ("christian_", "error.", "hallucination", "improve", "unjudged_claims", "worsened_share")
_NEEDS = (
    _Need(
        ("latency_", "throughput_per_minute", "load_s", "peak_memory_bytes"),
        lambda r: r.evaluate.latency is not None,
        "evaluate.latency: {examples: 20}",
    ),
    _Need(
        ("repeat_", "flip_rate."),
        lambda r: r.evaluate.repeats is not None,
        "evaluate.repeats: {times: 5}",
    ),
    _Need((BUNDLE_BYTES,), lambda r: bool(r.export.evaluated), "export.evaluate: true"),
    _Need((UNREAD,), lambda r: r.label.class_field is not None, "label.class_field: FIELD"),
    _Need(OF_CLASSES, lambda r: bool(r.label.classes), "label.classes: [CLASS, CLASS]"),
    _Need(("batch_",), lambda r: r.evaluate.alone > 0, "evaluate.alone: 20"),
    _Need(
        ("paraphrase_",),
        lambda r: r.evaluate.paraphrases is not None,
        "evaluate.paraphrases: COLUMN",
    ),
    _Need(
        ("score_verdict_agreement",),
        lambda r: bool(r.evaluate.agree_together),
        "evaluate.agree_together: [score, verdict]",
    ),
    _Need(
        ("win_rate", "judge_"),
        lambda r: r.evaluate.judge is not None and r.evaluate.judge.against is not None,
        "evaluate.judge: {api: ...}",
    ),
    _Need(
        ("context_fidelity",),
        lambda r: r.evaluate.judge is not None and bool(r.evaluate.judge.rubrics),
        "evaluate.judge: {api: ..., rubrics: [context_fidelity]}",
    ),
    _Need(
        ("harness.",), lambda r: r.evaluate.harness is not None, "evaluate.harness: {tasks: [TASK]}"
    ),
    _Need(
        ("field_agreement",),
        lambda r: r.evaluate.reference == "teacher" and r.prepare.answer_format == "json",
        "evaluate.reference: teacher, and prepare.answer_format: json",
    ),
    _Need(("schema_valid",), lambda r: r.label.answer_schema is not None, "label.answer_schema"),
    _Need(
        _DIVERSITY, lambda r: "diversity" in r.evaluate.measures, "evaluate.measures: [diversity]"
    ),
    _Need(
        ("memorised_rate", "near_copy_rate"),
        lambda r: "memorised" in r.evaluate.measures,
        "evaluate.measures: [memorised]",
    ),
    _Need(
        (*OF_TAGS, "context_spread"),
        lambda r: r.evaluate.probes is not None,
        "evaluate.probes: FILE.yaml",
    ),
    _Need(_SONGS, lambda r: "songs" in r.evaluate.measures, "evaluate.measures: [songs]"),
)
_WITHOUT_A_DECLARATION = (
    "error.", "field_accuracy.", "hallucination.", "harness.", "probe.", *OF_TAGS,
)  # fmt: skip


_OF_MEMORY = (
    "win_rate",
    "judge_",
    "context_fidelity",
    "harness.",
    *OF_CLASSES,
    UNREAD,
    *OF_CLASS_FIELD,
)


def is_of_memory(metric: str) -> bool:
    """Whether a metric is measured of candidates in memory alone, not of a file for llama.cpp."""
    return metric.startswith(_OF_MEMORY) or metric in OF_VOTES


def lacking_setting(metric: str, recipe: Recipe) -> str:
    """What to add to a recipe so that a metric is measured.

    Args:
        metric: its name.
        recipe: the recipe.

    Returns:
        The setting; empty where nothing is lacking.
    """
    if metric in OF_VOTES:
        return "" if recipe.prepare.votes else "prepare.votes: COLUMN, and label.classes"
    for need in _NEEDS:
        if metric.startswith(need.begins) and not need.is_met(recipe):
            return need.add
    family, dot, field = metric.partition(".")
    if family + dot in OF_CLASS_FIELD:
        return "" if field == recipe.label.class_field else f"label.class_field: {field}"
    is_declared = family + dot in FAMILIES and not metric.startswith(_WITHOUT_A_DECLARATION)
    if dot and is_declared and field not in recipe.evaluate.fields:
        return f"evaluate.fields: {{{field}: ...}}"
    return ""
