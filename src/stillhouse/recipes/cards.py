"""The CUDA devices of this machine, as its driver tells them; no torch."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass

_QUESTION = "index,memory.total,memory.free,compute_cap,name"
_PATIENCE_S = 20
"""assumption: a driver that has not answered by then will not."""


@dataclass(frozen=True, slots=True)
class Card:
    """One CUDA device.

    Attributes:
        number: as `cuda:NUMBER` names it to this process.
        name: of the product.
        total_bytes: of its memory.
        free_bytes: of these, not in use.
        capability: of its instructions, such as (8, 0).
    """

    number: int
    name: str
    total_bytes: int
    free_bytes: int
    capability: tuple[int, int]

    @property
    def has_bfloat16(self) -> bool:
        """Whether it multiplies bfloat16: from compute capability 8.0 (Ampere) on."""
        return self.capability >= (8, 0)


def cards_here() -> tuple[Card, ...]:
    """The devices that this process may use; none where no driver answers."""
    if shutil.which("nvidia-smi") is None:
        return ()
    command = ["nvidia-smi", f"--query-gpu={_QUESTION}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_PATIENCE_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    return read_cards(done.stdout, os.environ.get("CUDA_VISIBLE_DEVICES"))


def read_cards(table: str, visible: str | None) -> tuple[Card, ...]:
    """The devices of a driver's answer.

    Args:
        table: a line each, as `nvidia-smi` writes it.
        visible: numbers of those that this process may use, in the order that numbers them anew;
            None for all. Names other than numbers leave all of them.

    Returns:
        In the order of their new numbers; lines that hold no memory are left out.
    """
    found = [card for line in table.splitlines() if (card := _read(line))]
    if visible is None or not all(part.strip().isdecimal() for part in visible.split(",") if part):
        return tuple(found)
    known = {card.number: card for card in found}
    asked = [int(part) for part in visible.split(",") if part.strip()]
    present = [known[number] for number in asked if number in known]
    return tuple(
        Card(new, card.name, card.total_bytes, card.free_bytes, card.capability)
        for new, card in enumerate(present)
    )


def _read(line: str) -> Card | None:
    parts = [part.strip() for part in line.split(",", 4)]
    try:
        number, total, free, capability, name = parts
        major, _, minor = capability.partition(".")
        megabyte = 1 << 20
        return Card(
            int(number),
            name,
            int(total) * megabyte,
            int(free) * megabyte,
            (int(major), int(minor or 0)),
        )
    except ValueError:
        return None


def only(card: int, visible: str | None) -> dict[str, str]:
    """Environment in which a process sees one CUDA device alone.

    Args:
        card: its number for us.
        visible: as in `read_cards`.

    Returns:
        Variables; numbers are the driver's.
    """
    names = [part.strip() for part in visible.split(",")] if visible else []
    name = names[card] if card < len(names) else str(card)
    return {"CUDA_VISIBLE_DEVICES": name, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
