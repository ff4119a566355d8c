"""The CSV copies that a recipe asks for under `prepare.csv`, written from what a run has made."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from stillhouse.core.files import write_json
from stillhouse.core.rows import Ended, Merge, Row
from stillhouse.data.csv_copies import Record, write_csv
from stillhouse.data.duplicate_classes import iterate_duplicates
from stillhouse.data.execution import ENDED
from stillhouse.data.shards import read_shards, shard_paths
from stillhouse.data.storage import read_ended, read_rows_file
from stillhouse.recipes.row_checks import DUPLICATES, ReportDuplicates
from stillhouse.runner.answer_file import answer_columns, answered_rows
from stillhouse.runner.run_facts import RunFacts, step_by_reason, variant_of
from stillhouse.stages.corpus import DROPPED, VERSIONS
from stillhouse.stages.sections import section_of
from stillhouse.store.artifacts import ArtifactStore
from stillhouse.store.runs import RunFolder

FOLDER = "csv"
_NAMES = ".written.json"
_ROW = ("row_id", "provenance")
_ENDED = ("step", "outcome", "reason", "evidence", "into", *_ROW)


def write_row_files(folder: RunFolder, store: ArtifactStore) -> list[Path]:
    """Write every copy whose rows are there; of a run that failed, those up to where it did.

    Args:
        folder: of the run.
        store: with its artifacts.

    Returns:
        The files, in the order of the recipe.
    """
    wanted: dict[str, str] = folder.read().recipe["prepare"].get("csv", {})
    copies = folder.path / FOLDER
    before = _read_names(copies)
    if not wanted and not before:
        return []
    facts = RunFacts(folder, store)
    found = {name: copy for name, of in wanted.items() if (copy := _copy(facts, of)) is not None}
    copies.mkdir(exist_ok=True)
    write_json(copies / _NAMES, sorted({*before, *found}))
    for name, (leading, records) in found.items():
        write_csv(copies / name, leading, records)
    for name in before - set(found):
        # Of a recipe that wanted it, or of rows that are no more: nobody would see that it is old.
        (copies / name).unlink(missing_ok=True)
    write_json(copies / _NAMES, sorted(found))
    return [copies / name for name in found]


def _read_names(copies: Path) -> set[str]:
    """The copies that were written here; what else lies here is somebody's own."""
    try:
        names = json.loads((copies / _NAMES).read_bytes())
    except (FileNotFoundError, ValueError):
        return set()
    return set(map(str, names)) if isinstance(names, list) else set()


def _copy(facts: RunFacts, of: str) -> tuple[Iterable[str], Callable[[], Iterable[Record]]] | None:
    """The leading columns and the rows of one copy; None where its step is not done."""
    if of == "discarded":
        return _ENDED, partial(_discarded, facts)
    if of == "answers":
        return (answer_columns(facts), partial(answered_rows, facts)) if facts.evaluated else None
    prepared = facts.folder_of("prepare")
    if of == "augment" and prepared:
        return _ROW, partial(_versions, prepared / VERSIONS)
    folders = {
        variant_of(item): (facts.store.path(item.artifact_id), manifest.config)
        for item, manifest in facts.of_stage("step")
    }
    step = "report_duplicates" if of in DUPLICATES else of
    if step not in folders:
        return None
    folder, config = folders[step]
    if of in DUPLICATES:
        return ("group", *_ROW), partial(_repeating, folder, config, of)
    return _ROW, partial(_rows, folder)


def _rows(folder: Path) -> Iterator[Record]:
    return ((_named(row), row) for row in read_shards(folder))


def _versions(path: Path) -> Iterator[Record]:
    """The training rows in their several versions, which are made behind the split."""
    return ((_named(row), row) for row in read_rows_file(path))


def _named(row: Row) -> dict[str, str]:
    return {"row_id": row.row_id, "provenance": row.provenance}


def _repeating(folder: Path, config: dict[str, Any], kind: str) -> Iterator[Record]:
    wanted = section_of(ReportDuplicates, config["step"])
    for group, row in iterate_duplicates(folder, wanted, kind):
        yield {"group": group, **_named(row)}, row


def _discarded(facts: RunFacts) -> Iterator[Record]:
    """Every row that ended, step by step."""
    for step, one in facts.ended_when_collected():
        yield _ended(step, one), one.row
    for item, _ in facts.of_stage("step"):
        for path in shard_paths(facts.store.path(item.artifact_id) / ENDED):
            for one in read_ended(path):
                yield _ended(variant_of(item), one), one.row
    for item, manifest in facts.of_stage("prepare"):
        step_of = step_by_reason(manifest.summary)
        for one in read_ended(facts.store.path(item.artifact_id) / DROPPED):
            yield _ended(step_of.get(one.reason, "prepare"), one), one.row


def _ended(step: str, one: Ended) -> dict[str, str]:
    return {
        "step": step,
        "outcome": type(one).__name__.lower(),
        "reason": one.reason,
        "evidence": one.evidence,
        "into": one.into if isinstance(one, Merge) else "",
        **_named(one.row),
    }
