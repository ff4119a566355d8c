"""What would lower the peak of an instance that does not fit, and by how much."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from stillhouse.recipes.models import ModelSource
from stillhouse.recipes.plan import Instance
from stillhouse.recipes.schema import Recipe
from stillhouse.recipes.training import Lora, Training
from stillhouse.runner.pricing import Pricer

_SMALLEST = 0.02
"""assumption: what saves less than this share of the peak is not worth a line."""


@dataclass(frozen=True, slots=True)
class Saving:
    """One change of the recipe.

    Attributes:
        change: as `--set` takes it.
        saved_bytes: of the peak of process and device together.
    """

    change: str
    saved_bytes: int


def savings(pricer: Pricer, instance: Instance) -> tuple[Saving, ...]:
    """Every single change that lowers an instance's peak, the most helpful first.

    Args:
        pricer: of the recipe as it is.
        instance: what does not fit.

    Returns:
        Empty for stages without a model.
    """
    before = _peak(pricer, instance)
    found = []
    for change, recipe in _changes(pricer.recipe, instance):
        saved = before - _peak(pricer.of(recipe), instance)
        if saved > _SMALLEST * before:
            found.append(Saving(change, saved))
    return tuple(sorted(found, key=lambda one: -one.saved_bytes))


def _peak(pricer: Pricer, instance: Instance) -> int:
    cost = pricer.price(instance)
    return cost.memory_bytes + cost.device_bytes


def _changes(recipe: Recipe, instance: Instance) -> Iterator[tuple[str, Recipe]]:
    name = instance.stage
    if name in ("finetune", "train"):
        source = "teacher" if name == "finetune" else "student"
        training = recipe.finetune if name == "finetune" else recipe.train
        assert training is not None
        yield from _of_training(recipe, name, source, training)
    elif name in ("label", "evaluate"):
        source = "teacher" if name == "label" else str(instance.config["of"])
        section = getattr(recipe, name)
        if section.batch_size > 1:
            smaller = section.model_copy(update={"batch_size": 1})
            yield f"{name}.batch_size=1", recipe.model_copy(update={name: smaller})
        if source == "teacher":
            yield from _in_few_bits(recipe, source)


def _of_training(
    recipe: Recipe, name: str, source: str, training: Training
) -> Iterator[tuple[str, Recipe]]:
    def having(**update: object) -> Recipe:
        return recipe.model_copy(update={name: training.model_copy(update=update)})

    length = training.length
    if training.lora is None:
        plain = training.optimizer.model_copy(update={"name": "adamw", "galore": None})
        yield f"{name}.lora={{rank: 16}}", having(lora=Lora(rank=16), optimizer=plain)
    else:
        yield from _in_few_bits(recipe, source)
    if training.optimizer.name == "adamw":
        small = training.optimizer.model_copy(update={"name": "adamw_8bit"})
        yield f"{name}.optimizer.name=adamw_8bit", having(optimizer=small)
    if not training.gradient_checkpointing:
        yield f"{name}.gradient_checkpointing=true", having(gradient_checkpointing=True)
    if length.batch_size > 1:
        whole = length.batch_size * length.accumulation
        one = length.model_copy(update={"batch_size": 1, "accumulation": whole})
        change = f"{name}.length.batch_size=1 with {name}.length.accumulation={whole}"
        yield change, having(length=one)


def _in_few_bits(recipe: Recipe, source: str) -> Iterator[tuple[str, Recipe]]:
    model: ModelSource = getattr(recipe, source)
    if model.quantization == "none" and not model.scratch:
        quantised = model.model_copy(update={"quantization": "nf4"})
        yield f"{source}.quantization=nf4", recipe.model_copy(update={source: quantised})
