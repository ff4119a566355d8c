"""Where rows of a source or a person are: the artifacts, reports, weights and versions of a root.

An artifact counts when it was made, however indirectly, of a `collect` that holds such a row;
unfinished ones are known from the records of the runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stillhouse.core.errors import ArtifactError, UsageError
from stillhouse.core.rows import Row
from stillhouse.data.pseudonyms import pseudonym
from stillhouse.data.rights import RowRights
from stillhouse.data.rights_file import read_rights
from stillhouse.data.shards import read_rows_of
from stillhouse.engines.keys import find_keys
from stillhouse.registry.versions import Registry
from stillhouse.runner.run import Place
from stillhouse.stages.holding import RIGHTS
from stillhouse.store.artifacts import Manifest
from stillhouse.store.erasures import SOURCE, SUBJECT
from stillhouse.store.runs import RunFolder, RunRecord

_HOLDS_ROWS = ("collect", "step", "prepare", "label", "evaluate", "judge")
"""Stages whose artifacts hold rows, or what models said to them."""

_HOLDS_WEIGHTS = ("finetune", "train", "export", "register")


@dataclass(frozen=True, slots=True)
class Found:
    """What was found.

    Attributes:
        names: all that the source or subject is called in rows.
        rows: ids of collected rows.
        row_ids: the same, and of all rows that were made of them.
        places: where they were read.
        artifacts: to be removed, whoever was made of another before it, `collect` last.
        runs: whose report may show them.
        weights: artifacts that have learned from them.
        versions: registered, as `name version`.
        sources: every source of the root.
    """

    names: tuple[str, ...]
    rows: tuple[str, ...] = ()
    row_ids: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    artifacts: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


def search(root: Place, kind: str, name: str) -> Found:
    """Where rows of a source or a subject are.

    Args:
        root: the folder of all runs.
        kind: `source` or `subject`.
        name: as it stands in the rows, or an id before it was hashed.

    Returns:
        Everything that concerns them.

    Raises:
        UsageError: ids are hashed and no salt that a recipe names is set.
        ArtifactError: what is known of collected rows is torn.
    """
    collected = list(_collected(root))
    names = (name, *_hashed_names(root, name, collected)) if kind == SUBJECT else (name,)
    rows: dict[str, str] = {}
    origins: list[str] = []
    sources: set[str] = set()
    for manifest, folder in collected:
        known = _known(manifest, folder)
        sources |= {one.source for one in known}
        own = {one.row_id for one in known if _name_of(one, kind) in names}
        if own:
            origins.append(manifest.artifact_id)
            rows |= {
                row.row_id: row.provenance for row in read_rows_of(folder) if row.row_id in own
            }
    edges = _edges(root)
    touched = _descendants(origins, edges)
    return Found(
        names=names,
        rows=tuple(rows),
        row_ids=tuple(dict.fromkeys([*rows, *_made_of(root, touched, set(rows))])),
        places=tuple(dict.fromkeys(rows.values())),
        artifacts=tuple(one for one in touched if _is_removed(root, one)),
        runs=tuple(_runs_with(root, set(touched))),
        weights=tuple(
            one for one in touched
            if _stage(one) in _HOLDS_WEIGHTS and root.store.path(one).is_dir()
        ),
        versions=tuple(_versions(root, set(touched))),
        sources=tuple(sorted(sources)),
    )  # fmt: skip


def _is_removed(root: Place, artifact_id: str) -> bool:
    """Whether an artifact holds rows, or is the unfinished work of a training on them."""
    if _stage(artifact_id) in _HOLDS_ROWS:
        return True
    work = root.store.root / ".work" / artifact_id
    return work.is_dir() and not root.store.path(artifact_id).is_dir()


def _stage(artifact_id: str) -> str:
    return artifact_id.rpartition("-")[0]


def _name_of(known: RowRights, kind: str) -> str:
    return known.source if kind == SOURCE else known.subject


def _manifests(root: Place) -> Iterator[Manifest]:
    for path in sorted(root.store.root.glob("*/manifest.json")):
        try:
            yield Manifest.model_validate_json(path.read_bytes())
        except ValueError:
            continue


def _collected(root: Place) -> Iterator[tuple[Manifest, Path]]:
    for manifest in _manifests(root):
        if manifest.instance == "collect":
            yield manifest, root.store.path(manifest.artifact_id)


def _known(manifest: Manifest, folder: Path) -> list[RowRights]:
    if (folder / RIGHTS).is_file():
        return read_rights(folder / RIGHTS)
    return [
        RowRights(row.row_id, _file_of(row, manifest), "", "", "", "")
        for row in read_rows_of(folder)
    ]


def _file_of(row: Row, manifest: Manifest) -> str:
    """The name of the source of a row that nothing else is known of."""
    source: dict[str, Any] = manifest.config["collect"]["source"]
    made, dataset = source.get("sample_rows"), source.get("dataset")
    if made:
        return str(made["task"])
    return str(dataset["id"]) if dataset else row.provenance.rpartition(":")[0]


def _hashed_names(
    root: Place, name: str, collected: Iterable[tuple[Manifest, Path]]
) -> tuple[str, ...]:
    """What an id is in rows of recipes that hash it."""
    found, missing = dict[str, None](), list[str]()
    names = {_salt_env(manifest) for manifest, _ in collected} - {""}
    for variable in sorted(names):
        try:
            secret = find_keys([variable], root.root)[0].secret
        except UsageError:
            missing.append(variable)
            continue
        assert secret is not None
        found[pseudonym(secret.reveal(), name)] = None
    if missing and not name.startswith("h-"):
        raise UsageError(
            f"ids are hashed with the salt in {' and '.join(missing)}, which is not set",
            "set it as it was when the rows were collected, or give the id as it stands in the "
            "rows (h-...)",
        )
    return tuple(found)


def _salt_env(manifest: Manifest) -> str:
    rights = manifest.config["collect"].get("rights", {})
    is_hashed = rights.get("subject_field") in rights.get("hash_fields", ())
    return str(rights["salt_env"]) if is_hashed and rights.get("salt_env") else ""


def _records(root: Place) -> Iterator[RunRecord]:
    for path in sorted(root.root.glob("*/run.json")):
        try:
            yield RunFolder(path.parent).read()
        except ArtifactError:
            continue


def _edges(root: Place) -> dict[str, set[str]]:
    """Artifact to those that it was made of."""
    edges: dict[str, set[str]] = {}
    for manifest in _manifests(root):
        edges.setdefault(manifest.artifact_id, set()).update(manifest.inputs.values())
    for record in _records(root):
        ids = {item.key: item.artifact_id for item in record.instances}
        for item in record.instances:
            made_of = {ids[key] for key in item.inputs.values() if key in ids}
            edges.setdefault(item.artifact_id, set()).update(made_of)
    return edges


def _descendants(origins: Iterable[str], edges: dict[str, set[str]]) -> list[str]:
    """Everything that was made of the origins, the last made first, the origins last."""
    order = list(dict.fromkeys(origins))
    touched = set(order)
    grew = True
    while grew:
        new = [one for one, made_of in edges.items() if one not in touched and made_of & touched]
        order += sorted(new)
        touched |= set(new)
        grew = bool(new)
    return order[::-1]


def _made_of(root: Place, touched: Iterable[str], rows: set[str]) -> Iterator[str]:
    """Ids of rows that a step made of these."""
    for artifact_id in touched:
        folder = root.store.path(artifact_id)
        if _stage(artifact_id) == "step" and folder.is_dir():
            for row in read_rows_of(folder):
                if row.root_id in rows or rows & set(row.parent_ids):
                    yield row.row_id


def _runs_with(root: Place, touched: set[str]) -> Iterator[str]:
    for record in _records(root):
        if any(item.artifact_id in touched for item in record.instances):
            yield record.name


def _versions(root: Place, touched: set[str]) -> Iterator[str]:
    registry = Registry(root.root / "registry")
    for path in sorted(registry.root.glob("*/versions/*.json")):
        version = registry.read(path.parent.parent.name, path.stem)
        if touched & set(version.made_by.values()):
            yield f"{version.name} {version.version_id}"
