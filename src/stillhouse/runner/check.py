"""What a run would do and cost, before anything is spent; refuses what cannot fit."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from stillhouse.core.errors import ArtifactError, CapacityError
from stillhouse.data.split import NEAR_LEARNED
from stillhouse.recipes.cautions import cautions
from stillhouse.recipes.compute import ResolvedCompute
from stillhouse.recipes.estimate import Cost
from stillhouse.recipes.load import Loaded
from stillhouse.recipes.optimizer_problems import optimizer_cautions
from stillhouse.recipes.plan import Instance
from stillhouse.recipes.schema import Recipe
from stillhouse.recipes.waiting import waiting
from stillhouse.runner.assuming import planned
from stillhouse.runner.collecting import notes_of
from stillhouse.runner.extras import GGUF_MEND, missing_for_gguf
from stillhouse.runner.pairing import terms_of
from stillhouse.runner.preview import Preview, preview
from stillhouse.runner.pricing import Pricer
from stillhouse.runner.probing import probe, rates_of
from stillhouse.runner.references import require_measurable
from stillhouse.runner.resolve import Resolved, resolve
from stillhouse.runner.run import Place, refuse_early
from stillhouse.runner.savings import Saving, savings
from stillhouse.runner.shipped_texts import check_texts


@dataclass(frozen=True, slots=True)
class InstanceCheck:
    """One line of the plan.

    Attributes:
        key: the instance.
        artifact_id: what it makes.
        is_done: its artifact is there; it will be reused.
        cost: of making it, whether or not it is done.
        savings: what would lower its peak, where that does not fit this machine.
    """

    key: str
    artifact_id: str
    is_done: bool
    cost: Cost
    savings: tuple[Saving, ...] = ()


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a run would do.

    Attributes:
        name: of the run.
        instances: in the order of work.
        parts: examples of each part.
        dropped: reason to rows, in what was looked at.
        noted: what steps noted of rows that go on, and of how many, likewise.
        cautions: what the run would do that is worth a thought.
        waiting: what the recipe says for services that are not there yet.
        cut_prompts: prompts that were cut to the context, likewise.
        long_answers: gold answers that are longer than a model may write, and how many were looked
            at.
        terms: what the teacher's terms say of training on its answers; empty if not known.
        likely_usd: of what is still to be asked of a teacher behind an API.
        most_usd: of the same, if every prompt and every answer is as long as it may be.
        budget_usd: what may be spent; None without a cap, or without such a teacher.
        memory_bytes: the highest peak of what is still to do, in the machine's memory.
        device_bytes: the highest peak in the memory of a CUDA device.
        disk_bytes: of what is still to do, with the largest need of a working stage.
        seconds: of what is still to do.
        free_memory_bytes: of this machine.
        free_device_bytes: of the CUDA device in use; 0 without one.
        free_disk_bytes: where the run's files go.
        is_probed: seconds are from a probe of this machine, else from one look at it.
        assumed: what could not be looked at, and what was taken in its place.
    """

    name: str
    instances: tuple[InstanceCheck, ...]
    parts: dict[str, int]
    dropped: dict[str, int]
    noted: dict[str, int]
    cut_prompts: int
    long_answers: tuple[int, int]
    compute: ResolvedCompute
    cautions: tuple[str, ...]
    waiting: tuple[str, ...]
    terms: str
    likely_usd: float
    most_usd: float
    budget_usd: float | None
    memory_bytes: int
    device_bytes: int
    disk_bytes: int
    seconds: float
    free_memory_bytes: int
    free_device_bytes: int
    free_disk_bytes: int
    is_probed: bool
    assumed: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @property
    def largest(self) -> InstanceCheck | None:
        """Of what is still to do, the instance of the highest peak of which parts are known."""
        todo = (item for item in self.instances if item.cost.parts and not item.is_done)
        return max(todo, key=lambda item: sum(item.cost.parts.values()), default=None)

    def refuse_what_cannot_fit(self) -> None:
        """Raise when the machine is too small.

        Raises:
            CapacityError: names the instance, what it needs and what there is, what most of it
                is, and what would lower it.
        """
        for item in self.instances:
            if not item.is_done:
                self._refuse(item)
        if self.disk_bytes > self.free_disk_bytes:
            raise CapacityError(
                f"the run needs about {_size(self.disk_bytes)} of disk, there are "
                f"{_size(self.free_disk_bytes)}",
                "choose another disk with --runs",
            )

    def _refuse(self, item: InstanceCheck) -> None:
        cost = item.cost
        short = []
        if cost.memory_bytes > self.free_memory_bytes:
            short.append(
                f"about {_size(cost.memory_bytes)} of memory, this machine has "
                f"{_size(self.free_memory_bytes)}"
            )
        if cost.device_bytes > self.free_device_bytes:
            short.append(
                f"about {_size(cost.device_bytes)} of the memory of {self.compute.name}, which has "
                f"{_size(self.free_device_bytes)} free"
            )
        if not short:
            return
        most = next(iter(cost.parts.items()), None)
        told = f"; most of it, {_size(most[1])}, is {most[0]}" if most else ""
        saved = [f"--set {one.change} saves {_size(one.saved_bytes)}" for one in item.savings]
        raise CapacityError(
            f"{item.key} needs {' and '.join(short)}{told}",
            "; ".join([*saved, "so does a smaller model, or a smaller prepare.max_tokens"]),
        )


def check_recipe(
    loaded: Loaded, recipe: Recipe, place: Place, *, num_rows: int = 0, is_probing: bool = False
) -> CheckReport:
    """The cost of a recipe, also where its rows or its models cannot be looked at yet.

    Args:
        loaded: the recipe as written.
        recipe: as it would be run.
        place: where it would run.
        num_rows: assume that many rows in the place of a file that is not there; 0 reads it.
        is_probing: as of `check`.

    Returns:
        As of `check`; `assumed` tells what was not looked at.

    Raises:
        UsageError: the recipe, its rows or its models cannot be used.
    """
    with planned(loaded, recipe, num_rows) as plan:
        resolved = resolve(loaded, plan.recipe, place.erasures, stand_ins=plan.stand_ins)
        if num_rows:
            seen = resolved.source
            size = seen.num_bytes * num_rows // max(1, seen.num_rows)
            resolved.source = replace(seen, num_rows=num_rows, num_bytes=size)
        found = check(resolved, place, is_probing=is_probing)
        return replace(found, assumed=(*plan.notes, *plan.stand_ins.notes))


def check(resolved: Resolved, place: Place, *, is_probing: bool = False) -> CheckReport:
    """The cost of every instance of a plan.

    Args:
        resolved: the recipe with its plan.
        place: where it would run.
        is_probing: measure this machine for ten seconds, unless that was done in this runs folder.

    Returns:
        Every instance with its price, and what this machine has free.

    Raises:
        InputError: the references are not what the recipe says of their fields.
    """
    refuse_early(resolved, place)
    seen = preview(resolved)
    require_measurable(resolved.recipe, seen.examples)
    check_texts(resolved.recipe, seen, resolved.loaded)
    compute, host = resolved.compute, resolved.host
    rates = (probe if is_probing else rates_of)(place.root, compute)
    card = host.card(compute.card or 0) if compute.device == "cuda" else None
    free = _Free(host.memory_bytes, card.free_bytes if card else 0)
    pricer = Pricer(resolved, seen, rates)
    items = tuple(_item(one, place, pricer, free) for one in resolved.plan.instances)
    todo = [item.cost for item in items if not item.is_done]
    parts: dict[str, int] = {}
    for example in seen.examples:
        parts[example.part] = parts.get(example.part, 0) + 1
    return CheckReport(
        name=place.name,
        instances=items,
        parts={name: int(count * seen.scale) for name, count in sorted(parts.items())},
        dropped=seen.dropped,
        noted={note: count for note, count in seen.noted.items() if note != NEAR_LEARNED},
        cut_prompts=seen.num_cut,
        long_answers=seen.long_answers(_most_written(resolved.recipe)),
        compute=compute,
        cautions=(
            *compute.notes,
            *cautions(resolved.recipe),
            *notes_of(resolved.recipe, resolved.loaded.base_folder),
            *_of_optimizers(resolved.recipe, seen),
            *_of_leaks(seen),
            *_of_llama_cpp(resolved.recipe),
            *_of_readers(resolved.difference),
        ),
        waiting=waiting(resolved.recipe.model_dump(include={"serve", "monitor"})),
        terms=_terms(resolved),
        likely_usd=sum(cost.likely_usd for cost in todo),
        most_usd=sum(cost.most_usd for cost in todo),
        budget_usd=_budget(resolved.recipe),
        memory_bytes=max((cost.memory_bytes for cost in todo), default=0),
        device_bytes=max((cost.device_bytes for cost in todo), default=0),
        disk_bytes=sum(cost.disk_bytes for cost in todo)
        + max((cost.scratch_bytes for cost in todo), default=0),
        seconds=sum(cost.seconds for cost in todo),
        free_memory_bytes=free.memory_bytes,
        free_device_bytes=free.device_bytes,
        free_disk_bytes=_free_disk(place.root),
        is_probed=rates.is_probed,
    )


def _of_leaks(seen: Preview) -> Iterator[str]:
    near = seen.noted.get(NEAR_LEARNED, 0)
    if near:
        yield (
            f"{near:,} of the measured rows have a near copy that is learned; "
            "prepare.split.near_duplicates: 0.8 keeps such rows in one part"
        )


def _of_readers(difference: str) -> Iterator[str]:
    if difference:
        yield (
            f"teacher and student read by words of their own ({difference}): the student learns "
            "text and named answers, and numbers per token do not compare between them"
        )


def _of_llama_cpp(recipe: Recipe) -> Iterator[str]:
    missing = missing_for_gguf() if recipe.export.gguf_files else []
    if missing:
        yield f"{', '.join(missing)} is not installed, without which run refuses: {GGUF_MEND}"


@dataclass(frozen=True, slots=True)
class _Free:
    """Memory that a run may take, of the machine and of its CUDA device."""

    memory_bytes: int
    device_bytes: int


def _item(instance: Instance, place: Place, pricer: Pricer, free: _Free) -> InstanceCheck:
    cost = pricer.price(instance)
    fits = cost.memory_bytes <= free.memory_bytes and cost.device_bytes <= free.device_bytes
    return InstanceCheck(
        instance.key,
        instance.artifact_id,
        _is_done(place, instance.artifact_id),
        cost,
        () if fits else savings(pricer, instance),
    )


def _of_optimizers(recipe: Recipe, seen: Preview) -> Iterator[str]:
    trainings = (
        ("finetune", recipe.finetune, 1),
        ("train", recipe.train, recipe.label.samples),
    )
    for name, training, samples in trainings:
        if training:
            examples = seen.count(training.parts, 0.0).examples * samples
            yield from optimizer_cautions(name, training, training.length.num_steps(examples))


def _most_written(recipe: Recipe) -> int:
    """Tokens that the student may write when it is measured."""
    return recipe.evaluate.max_new_tokens or recipe.label.max_new_tokens


def _budget(recipe: Recipe) -> float | None:
    """What may be spent in all; None where a model that is asked has no cap."""
    caps = [api.budget_usd for api in recipe.endpoints.values()]
    known = [cap for cap in caps if cap is not None]
    return sum(known) if known and len(known) == len(caps) else None


def _is_done(place: Place, artifact_id: str) -> bool:
    try:
        return place.store.find(artifact_id) is not None
    except ArtifactError:
        return False


def _terms(resolved: Resolved) -> str:
    found = terms_of(resolved.recipe.teacher)
    return f"{found[0]}; {found[1].sentence} ({found[1].url})" if found else ""


def _free_disk(root: Path) -> int:
    existing = next(path for path in (root, *root.resolve().parents) if path.exists())
    return shutil.disk_usage(existing).free


def _size(size: float) -> str:
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size:.0f} bytes"
