"""Which metrics a training can measure while it runs, and what else it can stop by."""

from __future__ import annotations

import difflib

from stillhouse.recipes.labels import Label
from stillhouse.recipes.metric_names import FIXED, OF_CLASSES, UNREAD, is_measured
from stillhouse.recipes.training import EarlyStopping, LossWeights, Train, Training

LOGIT_METRICS = (
    "kl_to_teacher",
    "jsd_to_teacher",
    "acceptance_rate",
    "expected_acceptance",
    "top1_agreement",
    *OF_CLASSES,
)
"""Metrics that compare with the teacher's distribution."""

_TERMS = tuple(LossWeights.model_fields)
_OF_TEACHER = (
    *LOGIT_METRICS,
    *(name for name in _TERMS if name != "cross_entropy"),
    "agreement",
    "kappa_to_teacher.",
    "score_verdict_agreement",
)
_OF_FINISHED = (
    *OF_CLASSES,
    UNREAD,
    "acceptance_", "adaptive_ece", "auroc_confidence", "batch_", "bits_per_byte", "brier",
    "bundle_bytes", "classes_", "context_", "ece", "embedding_", "entropy_", "expected_acceptance",
    "flip_rate.",
    "harness.", "improve",
    "judge_", "kl_to_votes", "jsd_to_votes", "latency_", "load_s", "majority_", "memorised_rate",
    "near_copy_rate", "num_parameters", "paraphrase_", "peak_memory_", "probe.", "repeat_",
    "size_bytes", "throughput_", "traditions_", "win_rate", "worsened_share",
)  # fmt: skip
"""What the names of metrics begin with that ask a candidate more than its answers, or a judge."""


def is_of_teacher(metric: str) -> bool:
    """Whether a metric or a loss term is measured against the teacher."""
    return metric.startswith(_OF_TEACHER)


def metrics_without_teacher(train: Train) -> list[str]:
    """The metrics of a training's validation that need no teacher."""
    return [name for name in train.validation.metrics if not is_of_teacher(name)]


def stopping_without_teacher(stopping: EarlyStopping) -> EarlyStopping:
    """The same, by the loss where it would stop by a metric that needs a teacher."""
    metric = "loss" if is_of_teacher(stopping.metric) else stopping.metric
    return stopping.model_copy(update={"metric": metric})


def is_watched(metric: str) -> bool:
    """Whether a training can measure a metric of that name while it runs."""
    return is_measured(metric) and not metric.startswith(_OF_FINISHED)


def terms_of(training: Training) -> tuple[str, ...]:
    """The loss terms of a training; of one on gold answers the cross-entropy alone."""
    weights = getattr(training, "weights", None)
    return tuple(name for name, weight in weights if weight) if weights else ("cross_entropy",)


def misnamed(metric: str, training: Training, label: Label | None) -> str:
    """Why a training cannot measure a metric, with what to do; empty when it can.

    Args:
        metric: that is asked for.
        training: the recipe's section.
        label: what it learns from a teacher; None without one.

    Returns:
        A sentence without its subject.
    """
    if metric in ("loss", *terms_of(training)):
        return ""
    if metric in _TERMS and metric not in FIXED:
        return "is a loss term without a weight: give it one, or name another"
    if not is_watched(metric):
        known = ("loss", *terms_of(training), *filter(is_watched, FIXED))
        near = difflib.get_close_matches(metric, known, n=3)
        guess = f": did you mean {' or '.join(near)}?" if near else ""
        return f"is not measured while a model trains{guess}"
    if is_of_teacher(metric) and (lacking := _lacking_of_teacher(metric, training, label)):
        return lacking
    needs_asking = not (metric == "perplexity" and "cross_entropy" in terms_of(training))
    if needs_asking and not training.validation.examples:
        return "is measured by asking the model: add validation.examples: 50"
    return ""


def _lacking_of_teacher(metric: str, training: Training, label: Label | None) -> str:
    if label is None:
        return "compares with a teacher, and this training has none"
    if metric in LOGIT_METRICS:
        if not isinstance(training, Train) or training.mode != "cached":
            return "is measured while a model trains from stored targets alone: train.mode: cached"
        is_read = label.stores_tokens and label.targets != "sampled"
        if not is_read or not training.weights.needs_teacher:
            return "needs the teacher's distribution: label.targets: top_k, and a divergence of it"
        return ""
    if label.completions != "teacher":
        return "needs the teacher's own answers: label.completions: teacher"
    return ""
