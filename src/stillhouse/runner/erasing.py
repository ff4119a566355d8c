"""Erasing the rows of a source or a person: what holds them is found, removed, and kept out.

The request is written down first, with everything that is to be removed, so that a second call
goes on where a killed one stopped. What has learned from the rows is named, never removed.
"""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from stillhouse.core.errors import BusyError, UsageError
from stillhouse.runner.erasure_search import Found, search
from stillhouse.runner.row_files import FOLDER as COPIES
from stillhouse.runner.run import Place
from stillhouse.store.account import JOURNAL
from stillhouse.store.artifacts import ArtifactStore
from stillhouse.store.call_cache import forget_answers
from stillhouse.store.erasures import (
    SOURCE,
    Erasure,
    Erasures,
    erased_name,
    read_erasures,
    with_salt,
    write_erasures,
)
from stillhouse.store.journal import Journal
from stillhouse.store.lock import hold_lock
from stillhouse.store.replies import forget_replies


@dataclass(frozen=True, slots=True)
class ErasureReport:
    """What an erasure concerns.

    Attributes:
        kind: `source` or `subject`.
        rows: ids of the rows that were collected.
        places: where they were read: these files are yours, and stay as they are.
        artifacts: that hold them, or what was made of them.
        reports: runs whose report may show them.
        weights: artifacts that have learned from them: named, not removed.
        versions: registered students that have learned from them, as `name version`.
        answers: of models behind an API, kept in the account; known once they are removed.
        is_done: they are removed, and later runs leave the rows out.
    """

    kind: str
    rows: tuple[str, ...]
    places: tuple[str, ...]
    artifacts: tuple[str, ...]
    reports: tuple[str, ...]
    weights: tuple[str, ...]
    versions: tuple[str, ...]
    answers: int = 0
    is_done: bool = False

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Asked:
    """Whose rows are meant.

    Attributes:
        kind: `source` or `subject`.
        names: all that they may be called in rows.
    """

    kind: str
    names: tuple[str, ...] = field(repr=False)


def erase(root: Place, kind: str, name: str, *, is_confirmed: bool = False) -> ErasureReport:
    """What holds rows of a source or a subject; where it is confirmed, that is removed.

    Args:
        root: the folder of all runs.
        kind: `source` or `subject`.
        name: as it stands in the rows, or an id before it was hashed; then the salt is looked for
            where the recipe said it is.
        is_confirmed: remove what can be removed, and keep these rows out of later runs.

    Returns:
        What was found; with `is_done` once it is gone.

    Raises:
        UsageError: the name is empty, nothing was found, or a salt is not set.
        BusyError: a run is going on here; a second call goes on.
    """
    if not name.strip():
        raise UsageError("nobody is named", "stillhouse erase --source NAME, or --subject ID")
    found = search(root, kind, name.strip())
    asked = _Asked(kind, found.names)
    erasures = read_erasures(root.root)
    before = _pending(erasures, asked)
    if not found.rows and before is None and not is_confirmed:
        known = f"sources here: {', '.join(found.sources) or 'none'}" if kind == SOURCE else (
            "is it the id as it stands in collect.rights.subject_field?"
        )  # fmt: skip
        raise UsageError(f"no row of the {kind} {name!r} in {root.root}", known)
    if not is_confirmed:
        return _report(found, kind)
    with _nobody_runs(root, found.runs):
        entry = _write_down(root, erasures, asked, found, before)
        answers = _remove(root, entry)
        _close(root, asked)
    return _report(found, kind, answers=answers, is_done=True)


def _report(found: Found, kind: str, *, answers: int = 0, is_done: bool = False) -> ErasureReport:
    return ErasureReport(
        kind=kind,
        rows=found.rows,
        places=found.places,
        artifacts=found.artifacts,
        reports=found.runs,
        weights=found.weights,
        versions=found.versions,
        answers=answers,
        is_done=is_done,
    )


@contextmanager
def _nobody_runs(root: Place, runs: Sequence[str]) -> Iterator[None]:
    """Nobody erases here, and none of these runs goes on, while the block runs."""
    with ExitStack() as stack:
        for path in (root.root / "erase.lock", *(root.root / name / "lock" for name in runs)):
            claim = f"{path.parent} is in use"
            stack.enter_context(hold_lock(path, claim, "wait for it or end it, then call again"))
        yield


def _pending(erasures: Erasures, asked: _Asked) -> Erasure | None:
    """The same request, where it was made before."""
    names = {erased_name(erasures.salt, name) for name in asked.names}
    return next(
        (one for one in erasures.entries if one.kind == asked.kind and names & set(one.names)), None
    )


def _write_down(
    root: Place, erasures: Erasures, asked: _Asked, found: Found, before: Erasure | None
) -> Erasure:
    """The request with all that is still to be removed, durable before anything is."""
    erasures = with_salt(erasures)
    names = {erased_name(erasures.salt, name) for name in asked.names}
    entry = Erasure(
        kind=asked.kind,
        names=tuple(sorted(names | set(before.names if before else ()))),
        shown=asked.names[0] if asked.kind == SOURCE else "",
        asked_on=datetime.datetime.now(datetime.UTC).date().isoformat(),
        artifacts=_both(before.artifacts if before else (), found.artifacts),
        rows=_both(before.rows if before else (), found.row_ids),
        runs=_both(before.runs if before else (), found.runs),
    )
    others = tuple(one for one in erasures.entries if one is not before)
    write_erasures(root.root, erasures.model_copy(update={"entries": (*others, entry)}))
    return entry


def _both(first: Iterable[str], second: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*first, *second]))


def _remove(root: Place, entry: Erasure) -> int:
    """Remove everything of an entry; gives the number of kept answers that went."""
    answers = 0
    if (root.account / JOURNAL).is_file():
        journal = Journal(root.account / JOURNAL)
        try:
            answers = journal.write_now(lambda c: forget_answers(c, entry.rows))
        finally:
            journal.close()
    if entry.kind == SOURCE:
        forget_replies(root.root, entry.shown)
    for name in entry.runs:
        for file in ("report.html", "log.txt"):
            (root.root / name / file).unlink(missing_ok=True)
        copies = root.root / name / COPIES
        if copies.is_dir():
            shutil.rmtree(copies)
    for artifact_id in entry.artifacts:
        _remove_artifact(root.store, artifact_id)
    return answers


def _remove_artifact(store: ArtifactStore, artifact_id: str) -> None:
    try:
        store.remove(artifact_id)
    except BusyError as error:
        raise BusyError(
            error.message, "end that run, then call this again: it goes on from here"
        ) from None
    store.forget_torn(artifact_id)


def _close(root: Place, asked: _Asked) -> None:
    """Write down that nothing is left to remove."""
    erasures = read_erasures(root.root)
    done = _pending(erasures, asked)
    entries: Sequence[Erasure] = [
        one.model_copy(update={"artifacts": (), "rows": (), "runs": ()}) if one is done else one
        for one in erasures.entries
    ]
    write_erasures(root.root, erasures.model_copy(update={"entries": tuple(entries)}))
