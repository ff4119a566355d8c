"""Rules that compare with a candidate whose text alone is known, by what its text does not tell."""

from __future__ import annotations

from collections.abc import Iterator

from stillhouse.recipes.metric_names import OF_CLASS_FIELD, OF_VOTES, UNREAD
from stillhouse.recipes.problem import Problem
from stillhouse.recipes.schema import Recipe
from stillhouse.recipes.watched import LOGIT_METRICS

_OF_WEIGHTS = (
    *LOGIT_METRICS, UNREAD, *OF_CLASS_FIELD, *OF_VOTES,
    "answer_token_accuracy", "bits_per_byte", "cross_entropy", "latency_", "load_s",
    "num_parameters", "peak_memory_bytes", "perplexity", "size_bytes", "throughput_per_minute",
)  # fmt: skip
_OF_CONFIDENCE = ("adaptive_ece", "auroc_confidence", "brier", "ece")
"""What an answer may tell of itself, under `evaluate.confidence_field`."""


def text_alone_problems(recipe: Recipe) -> Iterator[Problem]:
    """Every rule of the gate that would find no number to compare with."""
    speakers = {
        one.name: "it gives text alone" for one in recipe.evaluate.baselines if not one.model
    }
    if recipe.teacher.api:
        speakers["teacher"] = "an API does not tell it"
    hidden = _OF_WEIGHTS if recipe.evaluate.confidence_field else _OF_WEIGHTS + _OF_CONFIDENCE
    for number, rule in enumerate(recipe.gate.rules if recipe.gate else ()):
        if rule.against in speakers and rule.metric.startswith(hidden):
            yield Problem(
                f"gate.rules.{number}",
                f"there is no {rule.metric} of the {rule.against} to compare with: "
                f"{speakers[rule.against]}; compare with another, or write against: absolute",
            )
