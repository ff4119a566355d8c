"""What would lower the peaks that do not fit a machine, and how far that goes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stillhouse.recipes.estimate import Cost
from stillhouse.recipes.models import ModelSource
from stillhouse.recipes.plan import Instance
from stillhouse.recipes.schema import Recipe
from stillhouse.recipes.training import Lora, Training
from stillhouse.runner.pricing import Pricer

_SMALLEST = 0.02
"""assumption: what saves less than this share of the peak is not worth a line."""
_ANSWERS_ALIKE = ("batch_size=1", "gradient_checkpointing=true")
"""Changes that cost time alone: what is learned and answered stays as it is."""


@dataclass(frozen=True, slots=True)
class Free:
    """Memory that a run may take, of the machine and of its CUDA device."""

    memory_bytes: int
    device_bytes: int

    def holds(self, cost: Cost) -> bool:
        """Whether there is enough of both."""
        fits = cost.needed_bytes <= self.memory_bytes
        return fits and cost.device_bytes <= self.device_bytes


@dataclass(frozen=True, slots=True)
class Saving:
    """One change of the recipe.

    Attributes:
        changes: as `--set` takes them, all of them together.
        saved_bytes: of the peak of process and device together.
    """

    changes: tuple[str, ...]
    saved_bytes: int


@dataclass(frozen=True, slots=True)
class Way:
    """What all changes together do.

    Attributes:
        changes: as `--set` takes them; empty where none helps.
        memory_bytes: the highest need that is left of the machine's memory.
        device_bytes: likewise in that of a CUDA device.
        largest: the instance of the higher of the two.
        fits: whether that is what the machine has.
    """

    changes: tuple[str, ...]
    memory_bytes: int
    device_bytes: int
    largest: str
    fits: bool


def savings(pricer: Pricer, instance: Instance) -> tuple[Saving, ...]:
    """Every single change that lowers an instance's peak, the most helpful first.

    Args:
        pricer: of the recipe as it is.
        instance: what does not fit.

    Returns:
        Empty for stages without a model.
    """
    return tuple(saving for saving, _ in _tried(pricer, instance))


def way_to_fit(pricer: Pricer, instances: Sequence[Instance], free: Free) -> Way:
    """The changes that bring a plan into a machine, or as near to it as they can.

    An instance that one change brings in takes the one that costs time alone, else the smallest;
    where no single one does, the most helpful, and then the next.

    Args:
        pricer: of the recipe as it is.
        instances: of the plan that are still to do.
        free: what the machine has.

    Returns:
        Peaks of the whole plan under all changes.
    """
    changes: list[str] = []
    for instance in instances:
        while not free.holds(pricer.price(instance)):
            tried = _tried(pricer, instance)
            if not tried:
                break
            saving, recipe = _best(tried, pricer, instance, free)
            changes.extend(saving.changes)
            pricer = pricer.of(recipe)
    costs = {one.key: pricer.price(one) for one in instances}
    largest = max(costs, key=lambda key: max(costs[key].needed_bytes, costs[key].device_bytes))
    return Way(
        tuple(changes),
        max(cost.needed_bytes for cost in costs.values()),
        max(cost.device_bytes for cost in costs.values()),
        largest,
        all(free.holds(cost) for cost in costs.values()),
    )


def _best(
    tried: list[tuple[Saving, Recipe]], pricer: Pricer, instance: Instance, free: Free
) -> tuple[Saving, Recipe]:
    enough = [one for one in tried if free.holds(pricer.of(one[1]).price(instance))]
    if not enough:
        return tried[0]
    alike = [one for one in enough if one[0].changes[0].endswith(_ANSWERS_ALIKE)]
    return (alike or enough)[-1]


def _tried(pricer: Pricer, instance: Instance) -> list[tuple[Saving, Recipe]]:
    before = _peak(pricer, instance)
    found = []
    for changes, recipe in _changes(pricer.recipe, instance):
        saved = before - _peak(pricer.of(recipe), instance)
        if saved > _SMALLEST * before:
            found.append((Saving(changes, saved), recipe))
    return sorted(found, key=lambda one: -one[0].saved_bytes)


def _peak(pricer: Pricer, instance: Instance) -> int:
    cost = pricer.price(instance)
    return cost.needed_bytes + cost.device_bytes


_Change = tuple[tuple[str, ...], Recipe]


def _changes(recipe: Recipe, instance: Instance) -> Iterator[_Change]:
    name = instance.stage
    if name in ("finetune", "train"):
        source = "teacher" if name == "finetune" else "student"
        training = recipe.finetune if name == "finetune" else recipe.train
        assert training is not None
        yield from _of_training(recipe, name, source, training)
    elif name in ("label", "evaluate", "speed"):
        source = "teacher" if name == "label" else str(instance.config["of"])
        section = "evaluate" if name == "speed" else name
        if getattr(recipe, section).batch_size > 1:
            smaller = getattr(recipe, section).model_copy(update={"batch_size": 1})
            yield (f"{section}.batch_size=1",), recipe.model_copy(update={section: smaller})
        yield from _in_few_bits(recipe, source)
    elif name == "export" and recipe.train.lora and "merged" in recipe.export.formats:
        if {*recipe.export.formats} - {"merged", "adapter"}:
            return
        small = recipe.export.model_copy(update={"formats": ("adapter",)})
        yield ("export.formats=[adapter]",), recipe.model_copy(update={"export": small})


def _of_training(recipe: Recipe, name: str, source: str, training: Training) -> Iterator[_Change]:
    def having(**update: object) -> Recipe:
        return recipe.model_copy(update={name: training.model_copy(update=update)})

    length = training.length
    if training.lora is None:
        yield (
            _with_lora(name, training),
            having(
                lora=Lora(rank=16),
                optimizer=training.optimizer.model_copy(update={"name": "adamw", "galore": None}),
            ),
        )
    yield from _in_few_bits(recipe, source)
    if training.optimizer.name == "adamw":
        small = training.optimizer.model_copy(update={"name": "adamw_8bit"})
        yield (f"{name}.optimizer.name=adamw_8bit",), having(optimizer=small)
    if not training.gradient_checkpointing:
        yield (f"{name}.gradient_checkpointing=true",), having(gradient_checkpointing=True)
    if length.batch_size > 1:
        whole = length.batch_size * length.accumulation
        one = length.model_copy(update={"batch_size": 1, "accumulation": whole})
        changes = (f"{name}.length.batch_size=1", f"{name}.length.accumulation={whole}")
        yield changes, having(length=one)


def _with_lora(name: str, training: Training) -> tuple[str, ...]:
    """An adapter in the place of all weights; an optimizer for those is not for it."""
    found = [f"{name}.lora.rank=16"]
    if training.optimizer.name != "adamw":
        found.append(f"{name}.optimizer.name=adamw")
    if training.optimizer.galore:
        found.append(f"{name}.optimizer.galore=null")
    return tuple(found)


def _in_few_bits(recipe: Recipe, source: str) -> Iterator[_Change]:
    """Frozen weights in 4 bits; those that are trained themselves cannot be."""
    model: ModelSource = getattr(recipe, source)
    training = recipe.finetune if source == "teacher" else recipe.train
    is_frozen = training is None or training.lora is not None
    if is_frozen and model.quantization == "none" and not model.scratch and not model.api:
        quantised = model.model_copy(update={"quantization": "nf4"})
        change = f"{source}.quantization=nf4"
        yield (change,), recipe.model_copy(update={source: quantised})
