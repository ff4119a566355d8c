"""Settings of an optimizer that cannot hold together, or that do less than they seem to."""

from __future__ import annotations

from collections.abc import Iterator

from stillhouse.recipes.problem import Problem
from stillhouse.recipes.schema import Recipe
from stillhouse.recipes.training import Galore, Training


def optimizer_problems(recipe: Recipe) -> Iterator[Problem]:
    """Every contradiction of that kind."""
    for name, training in (("finetune", recipe.finetune), ("train", recipe.train)):
        if training and training.optimizer.name == "galore_adamw":
            yield from _of_galore(name, training)
        elif training and training.optimizer.galore:
            yield Problem(
                f"{name}.optimizer.galore",
                "is read by galore_adamw alone, and optimizer.name is "
                f"{training.optimizer.name}: name that one, or remove the section",
            )


def _of_galore(name: str, training: Training) -> Iterator[Problem]:
    key, accumulation = f"{name}.optimizer.name", training.length.accumulation
    if training.lora:
        yield Problem(
            key, "galore_adamw trains the weights themselves, and lora freezes them: remove one"
        )
    if training.deepspeed:
        yield Problem(
            key, "galore_adamw needs whole matrices, which DeepSpeed lays out in one row: use adamw"
        )
    galore = training.optimizer.galore
    if galore and galore.layerwise and accumulation > 1:
        yield Problem(
            f"{name}.optimizer.galore.layerwise",
            f"moves a weight at each batch, and length.accumulation gathers {accumulation} of them "
            "first: set accumulation to 1, or remove layerwise",
        )


def optimizer_cautions(name: str, training: Training, steps: int) -> Iterator[str]:
    """What an optimizer's settings do not do in a training of that length.

    Args:
        name: of its section, `finetune` or `train`.
        training: the section.
        steps: of the optimizer.

    Yields:
        One sentence each, with its key.
    """
    optimizer = training.optimizer
    gap = (optimizer.galore or Galore()).update_gap
    if optimizer.name == "galore_adamw" and gap >= steps:
        yield (
            f"{name}.optimizer.galore.update_gap is {gap}, the training has {steps} steps: the "
            "projection is computed once and never renewed"
        )
    if optimizer.warmup_steps >= steps:
        yield (
            f"{name}.optimizer.warmup_steps is {optimizer.warmup_steps}, the training has {steps} "
            "steps: the learning rate never reaches its top"
        )
