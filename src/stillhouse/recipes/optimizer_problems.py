"""Settings of an optimizer that cannot hold together, or that do less than they seem to."""

from __future__ import annotations

from collections.abc import Iterator

from stillhouse.recipes.training import Galore, Training


def optimizer_problems(name: str, training: Training) -> Iterator[tuple[str, str]]:
    """Every contradiction of one training's optimizer.

    Args:
        name: of its section, `finetune` or `train`.
        training: the section.

    Yields:
        The dotted key that people would change, and what it contradicts.
    """
    optimizer, galore = training.optimizer, training.optimizer.galore
    if galore and optimizer.name != "galore_adamw":
        yield (
            f"{name}.optimizer.galore",
            f"is read by galore_adamw alone, and optimizer.name is {optimizer.name}: name that "
            "one, or remove the section",
        )
        return
    if optimizer.name == "galore_adamw" and training.lora:
        yield (
            f"{name}.optimizer.name",
            "galore_adamw trains the weights themselves, and lora freezes them: remove one of the "
            "two",
        )
    if galore and galore.layerwise and training.length.accumulation > 1:
        yield (
            f"{name}.optimizer.galore.layerwise",
            f"moves a weight at each batch, and length.accumulation gathers "
            f"{training.length.accumulation} of them first: set accumulation to 1, or remove "
            "layerwise",
        )


def optimizer_notices(name: str, training: Training, steps: int) -> Iterator[str]:
    """What an optimizer's settings do not do in a training of that length.

    Args:
        name: of its section, `finetune` or `train`.
        training: the section.
        steps: of the optimizer.

    Yields:
        One sentence each, with its key.
    """
    optimizer = training.optimizer
    if optimizer.name == "galore_adamw":
        gap = (optimizer.galore or Galore()).update_gap
        if gap >= steps:
            yield (
                f"{name}.optimizer.galore.update_gap is {gap}, the training has {steps} steps: the "
                "projection is computed once and never renewed"
            )
    if optimizer.warmup_steps >= steps:
        yield (
            f"{name}.optimizer.warmup_steps is {optimizer.warmup_steps}, the training has {steps} "
            "steps: the learning rate never reaches its top"
        )
