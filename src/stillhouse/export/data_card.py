"""The data card of a bundle: what was learned from, in numbers, without a text of a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stillhouse.core.files import write_atomic
from stillhouse.core.rows import StepCount

DATA_CARD = "data_card.md"


@dataclass(frozen=True, slots=True)
class DataFacts:
    """What a data card says; counts alone.

    Attributes:
        name: of the student.
        sources: where rows came from, a line each.
        rows: that were collected.
        licences: licence -> rows.
        consent: whether it was asked for, and what else is said of people in the rows.
        let_through: rows that were kept though a right was missing, one sentence each.
        flow: of every step, in order.
        parts: part -> examples and tokens.
        learned: examples that the student was trained on.
    """

    name: str
    sources: Sequence[str]
    rows: int
    licences: Mapping[str, int] = field(default_factory=dict)
    consent: Sequence[str] = ()
    let_through: Sequence[str] = ()
    flow: Sequence[StepCount] = ()
    parts: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    learned: int = 0


def data_card(facts: DataFacts) -> str:
    """The card as Markdown; equal facts give equal text.

    Args:
        facts: what it says.

    Returns:
        The text of `data_card.md`.
    """
    licences = facts.licences or {"not stated": facts.rows}
    sections = [
        f"# The data of {facts.name}",
        "Counts alone; no text of a row is in this file.",
        _list("Sources", facts.sources),
        f"{facts.rows:,} rows were collected; the student learned from {facts.learned:,} examples.",
        _table("Licences", ("licence", "rows"), [(k, f"{n:,}") for k, n in licences.items()]),
        _list("People in the rows", (*facts.consent, *facts.let_through)),
        _table("What became of the rows", ("step", "in", "out", "left out, and why"),
               [_step(one) for one in facts.flow]),
        _table("Parts", ("part", "examples", "tokens"),
               [(k, f"{n:,}", f"{t:,}") for k, (n, t) in facts.parts.items()]),
    ]  # fmt: skip
    return "\n\n".join(section for section in sections if section) + "\n"


def write_data_card(facts: DataFacts | None, folder: Path) -> None:
    """Write the card into a bundle; nothing where nobody says where the rows come from."""
    if facts is not None:
        write_atomic(folder / DATA_CARD, data_card(facts).encode())


def _step(count: StepCount) -> tuple[str, str, str, str]:
    ended = {**count.dropped, **{f"put off: {k}": n for k, n in count.deferred.items()}}
    ended |= {"merged into others": count.merged} if count.merged else {}
    why = ", ".join(f"{reason} {number:,}" for reason, number in sorted(ended.items()))
    return count.step, f"{count.rows_in:,}", f"{count.rows_out:,}", why


def _list(title: str, lines: Sequence[str]) -> str:
    return "\n".join([f"## {title}", "", *(f"- {line}" for line in lines)]) if lines else ""


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    lines = [_line(one) for one in (head, ["---"] * len(head), *rows)]
    return "\n".join([f"## {title}", "", *lines])


def _line(cells: Sequence[str]) -> str:
    plain = (cell.replace("|", "\\|").replace("\n", " ") for cell in cells)
    return f"| {' | '.join(plain)} |"
