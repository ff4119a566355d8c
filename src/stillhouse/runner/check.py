"""What a run would do and cost, before anything is spent; refuses what cannot fit."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stillhouse.core.errors import ArtifactError, CapacityError
from stillhouse.core.rows import Example
from stillhouse.evals.fields import require_references
from stillhouse.recipes.cautions import cautions
from stillhouse.recipes.compute import ResolvedCompute
from stillhouse.recipes.estimate import Cost
from stillhouse.recipes.schema import Recipe
from stillhouse.runner.pairing import terms_of
from stillhouse.runner.preview import preview
from stillhouse.runner.pricing import Pricer
from stillhouse.runner.resolve import Resolved
from stillhouse.runner.run import Place


@dataclass(frozen=True, slots=True)
class InstanceCheck:
    """One line of the plan.

    Attributes:
        key: the instance.
        artifact_id: what it makes.
        is_done: its artifact is there; it will be reused.
        cost: of making it, whether or not it is done.
    """

    key: str
    artifact_id: str
    is_done: bool
    cost: Cost


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a run would do.

    Attributes:
        name: of the run.
        instances: in the order of work.
        parts: examples of each part.
        dropped: reason to rows, in what was looked at.
        cautions: what the run would do that is worth a thought.
        terms: what the teacher's terms say of training on its answers; empty if not known.
        likely_usd: of what is still to be asked of a teacher behind an API.
        most_usd: of the same, if every prompt and every answer is as long as it may be.
        budget_usd: what may be spent; None without a cap, or without such a teacher.
        memory_bytes: the highest peak of what is still to do.
        disk_bytes: of what is still to do, with the largest need of a working stage.
        seconds: of what is still to do.
        free_memory_bytes: of this machine.
        free_disk_bytes: where the run's files go.
    """

    name: str
    instances: tuple[InstanceCheck, ...]
    parts: dict[str, int]
    dropped: dict[str, int]
    cut_prompts: int
    compute: ResolvedCompute
    cautions: tuple[str, ...]
    terms: str
    likely_usd: float
    most_usd: float
    budget_usd: float | None
    memory_bytes: int
    disk_bytes: int
    seconds: float
    free_memory_bytes: int
    free_disk_bytes: int

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def refuse_what_cannot_fit(self) -> None:
        """Raise when the machine is too small.

        Raises:
            CapacityError: names the instance, what it needs and what there is.
        """
        for item in self.instances:
            if not item.is_done and item.cost.memory_bytes > self.free_memory_bytes:
                raise CapacityError(
                    f"{item.key} needs about {_size(item.cost.memory_bytes)} of memory, this "
                    f"machine has {_size(self.free_memory_bytes)}",
                    "a smaller model, lora, gradient_checkpointing, a smaller batch_size or "
                    "max_tokens lower it",
                )
        if self.disk_bytes > self.free_disk_bytes:
            raise CapacityError(
                f"the run needs about {_size(self.disk_bytes)} of disk, there are "
                f"{_size(self.free_disk_bytes)}",
                "choose another disk with --runs",
            )


def check(resolved: Resolved, place: Place) -> CheckReport:
    """The cost of every instance of a plan.

    Args:
        resolved: the recipe with its plan.
        place: where it would run.

    Returns:
        Every instance with its price, and what this machine has free.

    Raises:
        InputError: the references are not what the recipe says of their fields.
    """
    seen = preview(resolved)
    _require_references(resolved.recipe, seen.examples)
    pricer = Pricer(resolved, seen)
    items = tuple(
        InstanceCheck(
            instance.key,
            instance.artifact_id,
            _is_done(place, instance.artifact_id),
            pricer.price(instance),
        )
        for instance in resolved.plan.instances
    )
    todo = [item.cost for item in items if not item.is_done]
    parts: dict[str, int] = {}
    for example in seen.examples:
        parts[example.part] = parts.get(example.part, 0) + 1
    return CheckReport(
        name=place.name,
        instances=items,
        parts={name: int(count * seen.scale) for name, count in sorted(parts.items())},
        dropped=seen.dropped,
        cut_prompts=seen.num_cut,
        compute=resolved.compute,
        cautions=cautions(resolved.recipe),
        terms=_terms(resolved),
        likely_usd=sum(cost.likely_usd for cost in todo),
        most_usd=sum(cost.most_usd for cost in todo),
        budget_usd=_budget(resolved.recipe),
        memory_bytes=max((cost.memory_bytes for cost in todo), default=0),
        disk_bytes=sum(cost.disk_bytes for cost in todo)
        + max((cost.scratch_bytes for cost in todo), default=0),
        seconds=sum(cost.seconds for cost in todo),
        free_memory_bytes=resolved.host.memory_bytes,
        free_disk_bytes=_free_disk(place.root),
    )


def _require_references(recipe: Recipe, examples: Sequence[Example]) -> None:
    references = [
        item.reference or item.answer for item in examples if item.part == "holdout" and item.answer
    ]
    if references:
        as_objects = recipe.prepare.answer_format == "json"
        require_references(recipe.evaluate.fields, references, as_objects=as_objects)


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
