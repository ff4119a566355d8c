"""What `report`, `leaderboard` and `explain` print, for people or as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

from stillhouse.cli.tables import in_bytes, in_count, in_usd, table
from stillhouse.report.comparison import Leaderboard, RunComparison, RunRow
from stillhouse.report.markdown import (
    difference_text,
    estimate_text,
    markdown_table,
    markdown_text,
    render_markdown,
)
from stillhouse.report.page import visible

if TYPE_CHECKING:
    from stillhouse.runner.explaining import ExampleHistory, Explanation
    from stillhouse.runner.run import Place

_NONE = "-"
_LONGEST = 2000
"""assumption: more of one text is read in the files, and JSON holds it whole."""


def _put(text: str) -> None:
    sys.stdout.write(text + "\n")


def _put_json(value: Any) -> None:
    _put(json.dumps(value, indent=1, ensure_ascii=False))


def show_report(place: Place, form: Literal["html", "md", "json"], *, as_json: bool) -> None:
    """Write the page and say where it lies, or print the report in another form."""
    from stillhouse.runner.pages import gather_report, write_run_report

    if form == "html":
        path = write_run_report(place.folder, place.store)
        if as_json:
            _put_json({"report": str(path)})
        else:
            _put(str(path))
        return
    content = gather_report(place.folder, place.store)
    if form == "json" or as_json:
        _put(content.model_dump_json(indent=1))
    else:
        sys.stdout.write(render_markdown(content))


def show_chat(folder: str, lines: dict[str, int], *, as_json: bool) -> None:
    """The files that were written, with their lines."""
    if as_json:
        _put_json({"folder": folder, "lines": lines})
        return
    for name, number in lines.items():
        _put(f"{folder}/{name}: {in_count(number)} examples")


def show_comparison(found: RunComparison, *, as_markdown: bool, as_json: bool) -> None:
    """Runs side by side, as text, Markdown or JSON."""
    if as_json:
        _put(found.model_dump_json(indent=1))
        return
    draw = markdown_table if as_markdown else table
    word = markdown_text if as_markdown else visible
    names = [row.name for row in found.runs]
    base, *others = names
    if as_markdown:
        _put(f"# {', '.join(map(word, names))}\n")
    _put(
        f"{word(found.candidate)} of {len(names)} runs on the same holdout "
        f"({found.runs[0].holdout}); differences are to {word(base)}, paired by example\n"
    )
    header = ["metric", *names, *(f"{name} minus {base}" for name in others)]
    rows = [
        [
            f"{word(metric.name)} ({metric.better} is better)",
            *(estimate_text(metric.values.get(name)) for name in names),
            *(difference_text(metric.differences.get(name)) for name in others),
        ]
        for metric in found.metrics
    ]
    _put(draw(list(map(word, header)), rows) + "\n")
    facts = [[word(row.name), *_facts(row)] for row in found.runs]
    _put(draw(["run", *_FACTS], facts) + "\n")
    if not found.recipe:
        _put("the recipes are the same")
        return
    lines = [
        [word(line.key), *(word(line.values.get(name, "")) or _NONE for name in names)]
        for line in found.recipe
    ]
    _put(draw(["recipe", *map(word, names)], lines))


_FACTS = ("gate", "spent", "parameters", "exported")


def _facts(row: RunRow) -> list[str]:
    parameters = _NONE if row.parameters is None else in_count(row.parameters)
    gate = row.gate or _NONE
    return [gate, in_usd(row.spent_usd), parameters, in_bytes(row.disk_bytes)]


def show_leaderboard(found: Leaderboard, *, as_json: bool) -> None:
    """All runs, the best first."""
    if as_json:
        _put(found.model_dump_json(indent=1))
        return
    unit = f", {found.unit}" if found.unit else ""
    _put(f"{found.metric} of the {found.candidate}{unit}, {found.better} is better\n")
    header = ("run", found.metric, "n", "state", *_FACTS, "holdout")
    rows = [
        (
            visible(row.name),
            estimate_text(row.estimate) if row.estimate else _NONE,
            in_count(row.estimate.n) if row.estimate else _NONE,
            row.state,
            *_facts(row),
            row.holdout or _NONE,
        )
        for row in found.rows
    ]
    _put(table(header, rows))
    holdouts = {row.holdout for row in found.rows if row.estimate}
    if len(holdouts) > 1:
        _put(
            f"\n{len(holdouts)} holdouts: numbers of two of them say nothing about which run is "
            "better; stillhouse report A B compares two of one holdout"
        )
    for name in found.unreadable:
        _put(f"not read, its record is torn: {name}")


def show_explanation(found: Explanation, *, as_json: bool) -> None:
    """A row's way through a run."""
    if as_json:
        _put_json(found.as_json())
        return
    _put(f"row {found.row_id}, read from {visible(found.provenance)}; run {found.run}")
    if found.other_runs:
        _put(f"also in: {', '.join(found.other_runs)} (--run names one)")
    for name, value in found.fields.items():
        _put_text(f"  {visible(name)}", value if isinstance(value, str) else json.dumps(value))
    _put("\nsteps")
    rows = [
        (one.step, one.outcome, one.detail, one.row_id if one.row_id != found.row_id else "")
        for one in found.steps
    ]
    _put_columns(rows)
    for example in found.examples:
        _put_example(example)
    if not found.examples:
        _put("\nno example came of it")


def _put_columns(rows: Iterable[tuple[str, ...]]) -> None:
    cells = [[visible(cell) for cell in row] for row in rows]
    widths = [max((len(row[place]) for row in cells), default=0) for place in range(2)]
    for row in cells:
        aligned = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        _put("  " + "  ".join([*aligned, *row[2:]]).rstrip())


def _put_example(example: ExampleHistory) -> None:
    _put(f"\nexample {example.example_id}, part {example.part}")
    _put_text("  prompt", example.prompt)
    _put_text("  answer", example.answer)
    if example.reference not in (None, example.answer):
        _put_text("  reference", example.reference)
    for label in example.labels:
        _put_text("  the teacher's answer", label)
    _put(f"  learned by: {', '.join(example.trained) or 'nobody'}")
    for one in example.predictions:
        ended = "" if one.finish == "stop" else f" [{one.finish}]"
        _put_text(f"  {one.candidate} said", f"{one.text}{ended}")
        scores = ", ".join(f"{name} {value:.4g}" for name, value in one.scores.items())
        _put(f"    {scores}")


def _put_text(title: str, text: str | None) -> None:
    shown = "none" if text is None else visible(text)
    cut = f"... and {len(shown) - _LONGEST:,} more characters" if len(shown) > _LONGEST else ""
    indented = (shown[:_LONGEST] + cut).replace("\n", "\n    ")
    _put(f"{title}: {indented}")
