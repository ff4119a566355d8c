"""A machine that is not this one, as `check --machine` describes it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from stillhouse.core.errors import UsageError
from stillhouse.recipes.cards import Card
from stillhouse.recipes.compute import Host, this_host

_WORDS = ("gpu", "memory", "disk")
_GB = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Machine:
    """Where a plan would run.

    Attributes:
        host: its memory and devices.
        disk_bytes: free on its disk; None for the disk of this machine.
        name: as messages call it.
    """

    host: Host
    disk_bytes: int | None = None
    name: str = "this machine"


def machine_of(text: str) -> Machine:
    """The machine of a text such as `gpu=80,memory=256,disk=2000`, in GB; this one if empty.

    Args:
        text: what of this machine is otherwise. `gpu` is a CUDA device that multiplies bfloat16, in
            the place of those that are here; `gpu=0` is a machine without one.

    Returns:
        As many processors as here.

    Raises:
        UsageError: another word, or no number.
    """
    host = this_host()
    if not text:
        return Machine(host)
    told = dict(_pair(part, text) for part in text.split(","))
    if "memory" in told:
        host = replace(host, memory_bytes=told["memory"])
    if "gpu" in told:
        card = Card(0, f"a GPU of {told['gpu'] / _GB:g} GB", told["gpu"], told["gpu"], (8, 0))
        host = replace(host, cards=(card,) if told["gpu"] else (), has_mps=False)
    return Machine(host, told.get("disk"), f"a machine of {text}")


def _pair(part: str, text: str) -> tuple[str, int]:
    word, _, number = part.partition("=")
    try:
        size = float(number)
    except ValueError:
        size = -1.0
    if word not in _WORDS or not 0.0 <= size < 1e9:
        raise UsageError(
            f"--machine {text}: {part!r} is no size in GB",
            "for example --machine gpu=80,memory=256,disk=2000; what is left out is as here",
        )
    return word, int(size * _GB)
