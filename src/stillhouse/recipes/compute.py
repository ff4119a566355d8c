"""What this machine is; resolves `auto` when the plan is made, without torch."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, field, replace
from pathlib import Path

from stillhouse.recipes.cards import Card, cards_here
from stillhouse.recipes.models import Compute

_BFLOAT16 = {"avx512_bf16", "amx_bf16", "bf16"}
"""What Linux calls a processor's instructions for bfloat16 products."""

_CGROUPS, _OWN_CGROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


@dataclass(frozen=True, slots=True)
class Host:
    """The machine as the planner sees it.

    Attributes:
        cpus: processors this process may use.
        memory_bytes: memory that is free for a run, or all of it where that is not known; an
            Apple GPU shares it.
        cards: CUDA devices, in the order of their numbers.
        has_mps: an Apple GPU.
        has_bfloat16: the processor has instructions for bfloat16 products.
    """

    cpus: int
    memory_bytes: int
    cards: tuple[Card, ...] = ()
    has_mps: bool = False
    has_bfloat16: bool = False

    @property
    def best_card(self) -> Card | None:
        """The CUDA device of the most memory, the first of equals; None without one."""
        return max(self.cards, key=lambda card: card.total_bytes, default=None)

    def card(self, number: int) -> Card | None:
        """A CUDA device by its number."""
        return next((card for card in self.cards if card.number == number), None)

    def has_device(self, device: str) -> bool:
        """Whether a kind of device is there."""
        return {"cuda": bool(self.cards), "mps": self.has_mps}.get(device, True)


@dataclass(frozen=True, slots=True)
class ResolvedCompute:
    """Device, dtype, threads and attention, of which all but the card's number enter every hash.

    Attributes:
        device: kind of it: cpu, cuda, mps.
        dtype: of products.
        threads: of numeric libraries.
        attention: how transformers computes it.
        card: number of the CUDA device that processes see alone, None for the first; in no hash,
            so that work goes on when the same cards are numbered anew.
        notes: what people should know of the choice; in no hash.
    """

    device: str
    dtype: str
    threads: int
    attention: str = "auto"
    card: int | None = None
    notes: tuple[str, ...] = field(default=(), compare=False)

    def as_config(self) -> dict[str, str | int]:
        """The plain form for a hash; a choice that is left to the machine names nothing anew."""
        chosen = {} if self.attention == "auto" else {"attention": self.attention}
        return {"device": self.device, "dtype": self.dtype, "threads": self.threads, **chosen}

    @property
    def name(self) -> str:
        """As people write the device: cpu, mps, cuda, cuda:3."""
        return self.device if self.card is None else f"{self.device}:{self.card}"


def this_host() -> Host:
    """The machine that we run on."""
    has_affinity = hasattr(os, "sched_getaffinity")
    return Host(
        cpus=len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1,
        memory_bytes=_memory_bytes(),
        cards=cards_here(),
        has_mps=platform.system() == "Darwin" and platform.machine() == "arm64",
        has_bfloat16=_multiplies_bfloat16(),
    )


def _multiplies_bfloat16() -> bool:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    # "Features" on ARM.
    named = (line.split() for line in lines if line.startswith(("flags", "Features")))
    return not _BFLOAT16.isdisjoint(next(named, []))


def _memory_bytes() -> int:
    limits = [_cgroup_limit(), _meminfo("MemAvailable"), _sysconf_memory()]
    known = [limit for limit in limits if limit]
    return min(known) if known else 8 << 30


def _cgroup_limit(mount: Path = _CGROUPS, own: Path = _OWN_CGROUPS) -> int:
    """The least limit of the groups that this process is in; 0 without one.

    A container sees its own group at the mount; a job of a scheduler or of systemd lies below it.
    """
    limits = [_stated(mount / "memory.max")]
    for line in own.read_text().splitlines() if own.is_file() else []:
        _, kinds, path = line.split(":", 2)
        if kinds and "memory" not in kinds.split(","):
            continue
        # The first version of these groups has a folder for each kind.
        top, name = (mount / "memory", "memory.limit_in_bytes") if kinds else (mount, "memory.max")
        leaf = top / path.lstrip("/")
        limits += [_stated(one / name) for one in (leaf, *leaf.parents) if one.is_relative_to(top)]
    return min((limit for limit in limits if limit), default=0)


def _stated(path: Path) -> int:
    text = path.read_text().strip() if path.is_file() else "max"
    return int(text) if text.isdecimal() else 0


def _meminfo(name: str) -> int:
    path = Path("/proc/meminfo")
    if not path.is_file():
        return 0
    for line in path.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return 0


def _sysconf_memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return 0


def resolve_compute(compute: Compute, host: Host) -> ResolvedCompute:
    """Device, dtype and threads for a recipe on a host; stated values are kept.

    `auto` takes the CUDA device of the most memory, else an Apple GPU, else the processor; so does
    a numbered CUDA device that is not there, with a note. `auto` is bfloat16 on CUDA devices that
    multiply it, and float32 elsewhere: on a processor it changes results, and gains on some only.

    Args:
        compute: the recipe's section.
        host: the machine.

    Returns:
        What enters every hash, with a card's number and notes that enter none.
    """
    kind, _, number = compute.device.partition(":")
    notes: list[str] = []
    card = host.card(int(number)) if number else None
    if kind == "auto" or (number and card is None):
        card = host.best_card
        kind = "cuda" if card else "mps" if host.has_mps else "cpu"
    elif kind == "cuda" and not number:
        card = host.card(0)
    chosen = card.number if card and card.number else None
    dtype = compute.dtype
    if dtype == "auto":
        dtype = "bfloat16" if card and card.has_bfloat16 else "float32"
    threads = host.cpus if compute.threads == "auto" else compute.threads
    found = ResolvedCompute(kind, dtype, threads, compute.attention, chosen)
    if number and (card is None or card.number != int(number)):
        there = ", ".join(f"cuda:{one.number} ({one.name})" for one in host.cards) or "no CUDA one"
        notes.append(
            f"compute.device: {compute.device} is not there (there is {there}); {found.name} is "
            "used instead"
        )
    notes += _slow_products(found, card, host)
    return replace(found, notes=tuple(notes))


def _slow_products(found: ResolvedCompute, card: Card | None, host: Host) -> list[str]:
    if found.dtype != "bfloat16":
        return []
    if card and not card.has_bfloat16:
        return [f"compute.dtype: {card.name} has no bfloat16 products and is slow at them"]
    if found.device == "cpu" and not host.has_bfloat16:
        return ["compute.dtype: this processor has no bfloat16 products and is slow at them"]
    return []
