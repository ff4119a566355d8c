"""Immutable results of stages: a folder named by a hash, whole once its manifest is there."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from stillhouse.core.errors import ArtifactError
from stillhouse.core.files import (
    disk_full_is_clear,
    sync_folder,
    sync_tree,
    write_json,
)
from stillhouse.core.hashing import digest_file
from stillhouse.core.kd_metrics import Series
from stillhouse.store.lock import hold_lock, no_readers, read_lock

MANIFEST = "manifest.json"


class FileEntry(BaseModel):
    """One file of an artifact."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str
    bytes: int
    sha256: str


class Manifest(BaseModel):
    """What an artifact is and what it was made of; the last file to be written.

    Attributes:
        artifact_id: `stage-hash`; the folder's name.
        instance: `stage` or `stage@variant`.
        stage_version: raised when a stage's code changes its bytes.
        config: everything that the hash was taken of, inputs aside.
        inputs: name to artifact id.
        files: every other file, sorted by path.
        summary: counts and results, equal in every run of the same artifact.
        versions: the libraries it was made with.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    artifact_id: str
    instance: str
    stage_version: int
    config: dict[str, Any]
    inputs: dict[str, str]
    files: tuple[FileEntry, ...]
    summary: dict[str, Any]
    versions: dict[str, str]


class ArtifactStore:
    """The artifacts below one folder.

    Args:
        root: holds one folder an artifact, `.work` for those being made, and `measured` for
            what may differ from run to run (durations, memory).
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, artifact_id: str) -> Path:
        """Where that artifact lies, or would lie."""
        return self.root / artifact_id

    def find(self, artifact_id: str) -> Manifest | None:
        """The manifest of a finished artifact; None when it is not there.

        Args:
            artifact_id: `stage-hash`.

        Returns:
            The manifest, once its files were seen in their sizes; None where there is no folder.

        Raises:
            ArtifactError: the folder is there, but torn.
        """
        folder = self.path(artifact_id)
        if not folder.exists():
            return None
        manifest = self._read(folder)
        for entry in manifest.files:
            path = folder / entry.path
            size = path.stat().st_size if path.is_file() else None
            if size != entry.bytes:
                found = "missing" if size is None else f"{size} bytes"
                raise ArtifactError(
                    f"{path}: {found}, the manifest says {entry.bytes} bytes", _TORN_HINT
                )
        return manifest

    def _read(self, folder: Path) -> Manifest:
        path = folder / MANIFEST
        try:
            manifest = Manifest.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise ArtifactError(f"{path}: missing", _TORN_HINT) from None
        except ValidationError as error:
            first = error.errors()[0]["msg"]
            raise ArtifactError(f"{path}: torn manifest ({first})", _TORN_HINT) from None
        if manifest.artifact_id != folder.name:
            raise ArtifactError(f"{path}: names {manifest.artifact_id}", _TORN_HINT)
        return manifest

    def verify(self, artifact_id: str) -> Manifest:
        """The manifest, after every file's sha256 was compared with it.

        Args:
            artifact_id: `stage-hash`.

        Returns:
            The manifest.

        Raises:
            ArtifactError: absent, torn, or a file's bytes have changed.
        """
        manifest = self.find(artifact_id)
        if manifest is None:
            raise ArtifactError(f"{self.path(artifact_id)}: no such artifact")
        for entry in manifest.files:
            path = self.path(artifact_id) / entry.path
            if digest_file(path) != entry.sha256:
                raise ArtifactError(f"{path}: its bytes are not those of the manifest", _TORN_HINT)
        return manifest

    def quarantine(self, artifact_id: str) -> Path:
        """Move a torn artifact aside, so that it is made again and nothing is lost."""
        folder = self.path(artifact_id)
        number = 1
        while (aside := self.root / f".torn-{artifact_id}-{number}").exists():
            number += 1
        folder.rename(aside)
        sync_folder(self.root)
        return aside

    @contextmanager
    def work_folder(self, artifact_id: str) -> Iterator[Path]:
        """A folder of that artifact's own to work in.

        It holds `out`, which becomes the artifact and starts empty, and `scratch`, which keeps
        what a resume needs.

        Args:
            artifact_id: `stage-hash`.

        Yields:
            The folder.

        Raises:
            BusyError: another process is making the same artifact.
        """
        work = self.root / ".work" / artifact_id
        with disk_full_is_clear(self.root), self._lock(artifact_id):
            if not self._finish_seal(artifact_id):
                shutil.rmtree(work / "out", ignore_errors=True)
                for name in ("out", "scratch"):
                    (work / name).mkdir(parents=True, exist_ok=True)
            yield work

    def _lock(self, artifact_id: str) -> AbstractContextManager[None]:
        return hold_lock(
            self.root / ".locks" / artifact_id,
            f"{artifact_id} is being made",
            "wait for it or end it, then run the same command again",
        )

    @contextmanager
    def in_use(self, artifact_ids: Iterable[str]) -> Iterator[None]:
        """While the block runs, nobody removes these artifacts, which need not be there yet."""
        with ExitStack() as stack:
            for artifact_id in artifact_ids:
                stack.enter_context(read_lock(self._readers(artifact_id)))
            yield

    def _readers(self, artifact_id: str) -> Path:
        return self.root / ".locks" / f"{artifact_id}.readers"

    def _finish_seal(self, artifact_id: str) -> bool:
        """Whether a crash left nothing to do but the rename, which is then done."""
        work = self.root / ".work" / artifact_id
        if self.path(artifact_id).exists() or not (work / "out" / MANIFEST).exists():
            return False
        self._publish(artifact_id)
        return True

    def _publish(self, artifact_id: str) -> None:
        work = self.root / ".work" / artifact_id
        if not self.path(artifact_id).exists():
            (work / "out").rename(self.path(artifact_id))
        sync_folder(self.root)
        shutil.rmtree(work, ignore_errors=True)

    def kept_bytes(self, artifact_id: str) -> int:
        """What an interrupted work on an artifact left on disk for a resume."""
        scratch = self.root / ".work" / artifact_id / "scratch"
        found = 0
        for folder, _, names in os.walk(scratch):
            for name in names:
                # Whoever works on it now may delete as we look.
                with suppress(FileNotFoundError):
                    found += (Path(folder) / name).lstat().st_size
        return found

    def forget_work(self, artifact_id: str) -> None:
        """Delete the work folder of an artifact that is there."""
        shutil.rmtree(self.root / ".work" / artifact_id, ignore_errors=True)

    def forget_fruitless_work(self, artifact_id: str) -> None:
        """Delete the work folder of an artifact that cannot be made, if no resume needs it."""
        scratch = self.root / ".work" / artifact_id / "scratch"
        if not scratch.exists() or not any(scratch.iterdir()):
            self.forget_work(artifact_id)

    def remove(self, artifact_id: str) -> None:
        """Delete an artifact and all work on it, so that it is made again.

        Args:
            artifact_id: `stage-hash`; nothing happens when it is not there.

        Raises:
            BusyError: another process is making it, or a run that uses it goes on.
        """
        alone = no_readers(
            self._readers(artifact_id),
            f"{artifact_id} is in use",
            "wait for the other run or end it, then run the same command again",
        )
        with self._lock(artifact_id), alone:
            if self.path(artifact_id).exists():
                # Renamed first: a half-deleted folder must not pass for a torn artifact.
                shutil.rmtree(self.quarantine(artifact_id))
            self.forget_work(artifact_id)

    def forget_torn(self, artifact_id: str) -> None:
        """Delete what was moved aside of an artifact, and what was measured of it."""
        for folder in self.root.glob(f".torn-{artifact_id}-*"):
            shutil.rmtree(folder, ignore_errors=True)
        (self.root / "measured" / f"{artifact_id}.json").unlink(missing_ok=True)

    def seal(self, manifest: Manifest) -> Manifest:
        """Turn a work folder's `out` into the artifact: manifest last, then one rename.

        Args:
            manifest: complete but for `files`, which are listed and digested here.

        Returns:
            The manifest as written.
        """
        work = self.root / ".work" / manifest.artifact_id
        out = work / "out"
        with disk_full_is_clear(self.root):
            entries = [
                FileEntry(
                    path=path.relative_to(out).as_posix(),
                    bytes=path.stat().st_size,
                    sha256=digest_file(path),
                )
                for path in sorted(out.rglob("*"))
                if path.is_file() and path != out / MANIFEST
            ]
            sealed = manifest.model_copy(update={"files": tuple(entries)})
            sync_tree(out)
            write_json(out / MANIFEST, sealed.model_dump(mode="json"))
            self._publish(manifest.artifact_id)
        return sealed

    def write_measured(self, artifact_id: str, measured: dict[str, float], series: Series) -> None:
        """Keep what may differ from run to run beside the artifact, outside its hash."""
        folder = self.root / "measured"
        folder.mkdir(parents=True, exist_ok=True)
        with disk_full_is_clear(folder):
            whole = measured | ({"series": series} if series else {})
            write_json(folder / f"{artifact_id}.json", whole)

    def read_measured(self, artifact_id: str) -> dict[str, float]:
        """What was measured while the artifact was made; empty where that was lost."""
        measured = self._measured(artifact_id)
        measured.pop("series", None)
        return measured

    def read_series(self, artifact_id: str, domain: str = "") -> Series:
        """What was measured at each step of a training, or of one domain's; empty where lost."""
        series: Series = self._measured(artifact_id).get("series", {})
        prefix = f"{domain}/" if domain else ""
        return {
            name.removeprefix(prefix): values
            for name, values in series.items()
            if name.startswith(prefix)
        }

    def _measured(self, artifact_id: str) -> dict[str, Any]:
        path = self.root / "measured" / f"{artifact_id}.json"
        try:
            measured: dict[str, Any] = json.loads(path.read_bytes())
        except (FileNotFoundError, ValueError):
            return {}
        return measured


_TORN_HINT = "run the recipe again: the torn artifact is moved aside and made anew"
