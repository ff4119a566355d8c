"""The map of what the five founding systems ask for: where each demand lives and what proves it.

The rows stand in `docs/founding/NAME.yaml`, one file a system, one row a demand.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML

FOUNDING = Path(__file__).parent / "founding"
STATES = {
    "proven": "a test of this project proves it",
    "built": "it is there and tested as far as this project can; what cannot be proved says why",
    "waits": "it comes later, mostly with the service",
    "left_out": "it is left out on purpose",
}
SYSTEMS = {
    "songs": ("S0", 38),
    "songs-sft": ("S1", 54),
    "accounting-qa": ("S2", 28),
    "prompt-transform": ("S3", 31),
    "neurons": ("S4", 23),
}
"""Of each system the letters of its ids, and how many demands its document makes."""


@dataclass(frozen=True, slots=True)
class Demand:
    """One thing that a founding document asks for.

    Attributes:
        name: such as S0-01.
        asks: what is asked for, in a sentence.
        state: one of `STATES`.
        where: files and folders from the project's root.
        tests: `FILE::NAME` of the tests that prove it.
        why: what keeps it from being proven; empty where it is.
    """

    name: str
    asks: str
    state: str
    where: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    why: str = ""


def demands(system: str) -> list[Demand]:
    """The rows of one system, in the order of its file.

    Args:
        system: a key of `SYSTEMS`.

    Returns:
        As many as are written there, whether or not one is missing.
    """
    rows = YAML(typ="safe", pure=True).load(FOUNDING / f"{system}.yaml")
    return [
        Demand(
            name,
            row["asks"],
            row["state"],
            tuple(row.get("where", ())),
            tuple(row.get("tests", ())),
            row.get("why", ""),
        )
        for name, row in rows.items()
    ]


def founding_page(note: str) -> str:
    """The whole map as a page, with its counts.

    Args:
        note: what stands at the head of a generated page.

    Returns:
        Markdown.
    """
    found = {system: demands(system) for system in SYSTEMS}
    parts = [
        note,
        "# The founding systems, demand by demand",
        f"Stillhouse began with five systems that people had described: "
        f"{sum(len(rows) for rows in found.values())} demands in all. Each has a row here: where "
        "it lives, which test proves it, and what is not proven and why.",
        _counts(found),
        "\n".join(f"- **{state}**: {meaning}." for state, meaning in STATES.items()),
    ]
    for system, rows in found.items():
        parts += [f"## {system}", _table(rows)]
    return "\n\n".join(parts) + "\n"


def _counts(found: dict[str, list[Demand]]) -> str:
    lines = [f"| system | {' | '.join(STATES)} | all |", "|---" * (len(STATES) + 2) + "|"]
    total: Counter[str] = Counter()
    for system, rows in found.items():
        count = Counter(row.state for row in rows)
        total += count
        lines.append(_count_line(f"[{system}](#{system})", count))
    return "\n".join([*lines, _count_line("all", total)])


def _count_line(name: str, count: Counter[str]) -> str:
    cells = [str(count[state]) for state in STATES]
    return f"| {name} | {' | '.join(cells)} | {count.total()} |"


def _table(rows: list[Demand]) -> str:
    lines = ["| id | what is asked for | state | where | proven by, or why not |", "|---" * 5 + "|"]
    for row in rows:
        where = "<br>".join(f"`{place.removeprefix('src/stillhouse/')}`" for place in row.where)
        tests = [f"`{test.removeprefix('tests/')}`" for test in row.tests]
        proof = "<br>".join([row.why] * bool(row.why) + tests)
        lines.append(f"| {row.name} | {row.asks} | {row.state} | {where} | {proof} |")
    return "\n".join(lines)
