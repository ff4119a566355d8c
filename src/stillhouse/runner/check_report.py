"""What a run would do and cost, and the one error of all that stands in its way."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from stillhouse.core.errors import CapacityError, InputError, UsageError
from stillhouse.recipes.compute import ResolvedCompute
from stillhouse.recipes.estimate import Cost
from stillhouse.runner.savings import Saving, Way


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
        memory_bytes: the most that what is still to do needs of the machine's memory.
        device_bytes: the highest peak in the memory of a CUDA device.
        disk_bytes: of what is still to do, with the largest need of a working stage.
        seconds: of what is still to do.
        free_memory_bytes: of this machine.
        free_device_bytes: of the CUDA device in use; 0 without one.
        free_disk_bytes: where the run's files go.
        is_probed: seconds are from a probe of this machine, else from one look at it.
        assumed: what could not be looked at, and what was taken in its place.
        corrected: where the recipe departs from the document that it builds, and why.
        missing: the file of rows that a run waits for, and what to do; empty where it is there, or
            where assumed rows were asked for.
        way: how far changes of the recipe lower the peaks; None where all fits.
        smaller: known models that could take the student's place there.
        machine: as messages call the one that is planned for.
        student_licence: of the weights that the student starts from; empty if not known.
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
    corrected: tuple[str, ...] = ()
    missing: tuple[str, str] | tuple[()] = ()
    way: Way | None = None
    smaller: tuple[str, ...] = ()
    machine: str = "this machine"
    student_licence: str = ""

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @property
    def largest(self) -> InstanceCheck | None:
        """Of what is still to do, the instance of the highest peak of which parts are known."""
        todo = (item for item in self.instances if item.cost.parts and not item.is_done)
        return max(
            todo, key=lambda item: item.cost.needed_bytes + item.cost.device_bytes, default=None
        )

    def refuse_what_stands_in_the_way(self) -> None:
        """Raise when the machine is too small, or the rows are not there.

        Raises:
            UsageError: a `CapacityError` names each instance that does not fit, what it needs and
                what there is, what most of it is, and what would lower it; an `InputError` names
                the file.
        """
        refusal = _refusal(self)
        if refusal:
            raise refusal


def _refusal(found: CheckReport) -> UsageError | None:
    """The error of a plan that cannot be run here as it is; None for one that can.

    Args:
        found: the plan.

    Returns:
        Names every instance that does not fit with what it needs and what there is, what most of
        it is, and what would lower it; then the disk; then the rows.
    """
    kind = CapacityError if _short(found) or _lacks_disk(found) else InputError
    said = [*_of_memory(found), *_of_disk(found)]
    if found.missing:
        said.append(found.missing)
    if not said:
        return None
    message = "\n".join(text for text, _ in said)
    return kind(message, "; ".join(hint for _, hint in said))


def _short(found: CheckReport) -> list[InstanceCheck]:
    free = found.free_memory_bytes, found.free_device_bytes
    return [
        item
        for item in found.instances
        if not item.is_done
        and (item.cost.needed_bytes > free[0] or item.cost.device_bytes > free[1])
    ]


def _of_memory(found: CheckReport) -> Iterator[tuple[str, str]]:
    short = _short(found)
    if not short:
        return
    first, *others = short
    cost = first.cost
    needs = []
    if cost.needed_bytes > found.free_memory_bytes:
        needs.append(
            f"about {_size(cost.needed_bytes)} of memory, {found.machine} has "
            f"{_size(found.free_memory_bytes)}"
        )
    if cost.device_bytes > found.free_device_bytes:
        needs.append(
            f"about {_size(cost.device_bytes)} of the memory of {found.compute.name}, which "
            f"has {_size(found.free_device_bytes)} free"
        )
    most = next((part for part in cost.parts.items() if part[0] != "file"), None)
    told = f"; most of it, {_size(most[1])}, is {most[0]}" if most else ""
    also = f"\n  so do {_listed(found, others)}" if others else ""
    yield f"{first.key} needs {' and '.join(needs)}{told}{also}", _mend(found, short)


def _listed(found: CheckReport, short: Sequence[InstanceCheck]) -> str:
    told = []
    for item in short:
        host = item.cost.needed_bytes > found.free_memory_bytes
        size = item.cost.needed_bytes if host else item.cost.device_bytes
        told.append(f"{item.key} ({_size(size)})")
    return ", ".join(told)


def _mend(found: CheckReport, short: Sequence[InstanceCheck]) -> str:
    """What single changes save one instance, and how far all of them together go."""
    alone = short[0].savings if len(short) == 1 else ()
    way = found.way
    told = [
        f"{_as_set(one.changes)} saves {_size(one.saved_bytes)}"
        for one in alone
        if not (way and way.fits and one.changes == way.changes)
    ]
    smaller = "a smaller model"
    if found.smaller:
        smaller += f" (the student could be {' or '.join(found.smaller)})"
    if way and way.fits:
        told.append(f"with {_as_set(way.changes)} it fits")
    elif way:
        size = _size(max(way.memory_bytes, way.device_bytes))
        by = f"even with {_as_set(way.changes)}" if way.changes else "no change known here helps:"
        told.append(
            f"{by} {way.largest} needs {size}, for which there is a larger machine, or {smaller}"
        )
    else:
        told.append(f"so does {smaller}, or a smaller prepare.max_tokens")
    return "; ".join(told)


def _as_set(changes: Sequence[str]) -> str:
    return " ".join(f"--set {shlex.quote(change)}" for change in changes)


def _lacks_disk(found: CheckReport) -> bool:
    return found.disk_bytes > found.free_disk_bytes


def _of_disk(found: CheckReport) -> Iterator[tuple[str, str]]:
    if _lacks_disk(found):
        yield (
            f"the run needs about {_size(found.disk_bytes)} of disk, there are "
            f"{_size(found.free_disk_bytes)}",
            "choose another disk with --runs",
        )


def _size(size: float) -> str:
    """A size in the largest unit that it fills."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size:.0f} bytes"
