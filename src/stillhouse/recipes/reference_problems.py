"""What a recipe asks for that needs gold answers, where it measures against the teacher's."""

from __future__ import annotations

from collections.abc import Iterator

from stillhouse.recipes.problem import Problem
from stillhouse.recipes.schema import Recipe

_RIGHT = (
    "adaptive_ece", "auroc_confidence", "brier", "christian_", "ece", "exact_match",
    "field_accuracy", "improve", "worsened_share",
)  # fmt: skip
"""What says how often an answer is right; of people's votes nothing, which are their own truth."""
_RIGHT_OF_A_FIELD = (
    "accuracy.", "error.", "f1.", "false_negative_rate.", "false_positive_rate.", "kappa.",
    "macro_", "micro_", "precision.", "recall.", "subset_accuracy.", "within.",
)  # fmt: skip
_OF_VOTES = "_to_votes"
NEARNESS = ("bleu.", "chrf.", "rouge_l.", "mae.", "rmse.", "field_agreement")
"""How near an answer is to the reference, which the teacher itself is."""


def needs_gold(metric: str) -> bool:
    """Whether a metric says what is right, which nobody knows without gold answers."""
    return metric.startswith((*_RIGHT, *_RIGHT_OF_A_FIELD)) and not metric.endswith(_OF_VOTES)


def reference_problems(recipe: Recipe) -> Iterator[Problem]:
    """Every such demand; none of a recipe that measures against gold answers.

    Args:
        recipe: as written.

    Yields:
        The key, and the way out.
    """
    if recipe.evaluate.reference == "gold":
        return
    for key, metric in _named(recipe):
        if needs_gold(metric):
            yield Problem(key, f"{metric} {_why(metric)}")
    yield from _sections(recipe)
    for number, rule in enumerate(recipe.gate.rules if recipe.gate else ()):
        if rule.against == "teacher" and rule.metric.startswith(NEARNESS):
            yield Problem(
                f"gate.rules.{number}.against",
                f"the teacher's answers are what {rule.metric} is measured against, so it has "
                "none of its own: write absolute, or baseline",
            )


def _why(metric: str) -> str:
    head, dot, field = metric.partition(".")
    instead = f"agreement.{field}" if dot else "agreement"
    if head == "field_accuracy" and not dot:
        instead = "field_agreement"
    return (
        "says what is right, and evaluate.reference: teacher measures against the teacher's "
        f"answers, right or wrong: take {instead}, or give the measured rows gold answers and "
        "write evaluate.reference: gold"
    )


def _named(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """Every metric that is named, with its key; a teacher's own gate asks about gold answers."""
    for place, name in enumerate(recipe.evaluate.metrics):
        yield f"evaluate.metrics.{place}", name
    for place, rule in enumerate(recipe.gate.rules if recipe.gate else ()):
        yield f"gate.rules.{place}", rule.metric
    for place, name in enumerate(recipe.train.validation.metrics):
        yield f"train.validation.metrics.{place}", name
    if recipe.train.early_stopping:
        yield "train.early_stopping.metric", recipe.train.early_stopping.metric


def _sections(recipe: Recipe) -> Iterator[Problem]:
    settings, twin = recipe.evaluate, recipe.train.twin
    lacks = "needs to know what is right, and evaluate.reference is teacher: remove it"
    if settings.confidence_field:
        yield Problem("evaluate.confidence_field", lacks)
    if "songs" in settings.measures:
        yield Problem(f"evaluate.measures.{settings.measures.index('songs')}", lacks)
    watches = recipe.train.validation.metrics or (
        recipe.train.early_stopping and recipe.train.early_stopping.metric != "loss"
    )
    if watches and twin and twin.text == "gold":
        yield Problem(
            "train.twin.text",
            "gold, so that the twin never hears the teacher whose answers train.validation is "
            "measured against: write labelled, or watch the loss alone",
        )
