"""Publishing a version: its files by sha256, then one record that is never changed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from stillhouse.core.errors import ArtifactError
from stillhouse.core.files import disk_full_is_clear, sync_folder, temporary_beside, write_json
from stillhouse.core.hashing import digest_file, digest_value

_ID_LENGTH = 12


class VersionFile(BaseModel):
    """One file of a version."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str
    bytes: int
    sha256: str


class Version(BaseModel):
    """One immutable version of a named student.

    Attributes:
        version_id: from the digest of everything below; equal content is the same version.
        files: what ships, by path.
        numbers: the metrics it was judged by, with their intervals.
        verdict: the gate's; empty when the recipe has no gate.
        made_by: stage to artifact id, back to the rows.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    version_id: str
    files: tuple[VersionFile, ...]
    numbers: dict[str, Any]
    verdict: dict[str, Any]
    made_by: dict[str, str]


class Registry:
    """The versions below one folder: `blobs/SHA256` and `NAME/versions/ID.json`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def publish(
        self,
        name: str,
        bundle: Path,
        *,
        numbers: dict[str, Any],
        verdict: dict[str, Any],
        made_by: dict[str, str],
    ) -> Version:
        """Keep a bundle's files and write its record; the same content twice is one version.

        Args:
            name: of the student.
            bundle: a folder; every file below it is kept.
            numbers: what it was judged by.
            verdict: the gate's.
            made_by: artifact ids.

        Returns:
            The version as it was written.
        """
        with disk_full_is_clear(self.root):
            files = tuple(
                self._keep(path, path.relative_to(bundle).as_posix())
                for path in sorted(bundle.rglob("*"))
                if path.is_file()
            )
            content = {
                "name": name,
                "files": [file.model_dump() for file in files],
                "numbers": numbers,
                "verdict": verdict,
                "made_by": made_by,
            }
            version_id = f"v-{digest_value(content)[:_ID_LENGTH]}"
            version = Version.model_validate(content | {"version_id": version_id})
            folder = self.root / name / "versions"
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"{version_id}.json"
            if not path.exists():
                write_json(path, version.model_dump(mode="json"))
        return version

    def read(self, name: str, version_id: str) -> Version:
        """The record of a version.

        Args:
            name: of the student.
            version_id: of the version.

        Returns:
            The record as it was published.

        Raises:
            ArtifactError: there is none, or it is torn.
        """
        path = self.root / name / "versions" / f"{version_id}.json"
        try:
            return Version.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise ArtifactError(f"no version {version_id} of {name!r} in {self.root}") from None
        except ValidationError as error:
            raise ArtifactError(f"{path}: torn ({error.errors()[0]['msg']})") from None

    def newest(self, name: str) -> Version:
        """The version of that name that was registered last.

        Args:
            name: of the student.

        Returns:
            Its record.

        Raises:
            ArtifactError: there is none of that name.
        """
        found = list((self.root / name / "versions").glob("v-*.json"))
        if not found:
            raise ArtifactError(f"no version of {name!r} in {self.root}", "register one first")
        return self.read(name, max(found, key=lambda path: path.stat().st_mtime_ns).stem)

    @contextmanager
    def laid_out(self, version: Version) -> Iterator[Path]:
        """A folder with the files of a version, while the block runs.

        Args:
            version: a record of this registry.

        Yields:
            The bundle as it was published; its files are those of the registry, not to be written.

        Raises:
            ArtifactError: a file is missing or has other bytes.
        """
        self.verify(version)
        with tempfile.TemporaryDirectory(prefix=".", dir=self.root) as folder:
            for file in version.files:
                path = Path(folder) / file.path
                path.parent.mkdir(parents=True, exist_ok=True)
                os.link(self.blob(file.sha256), path)
            yield Path(folder)

    def verify(self, version: Version) -> None:
        """Compare every kept file with its digest.

        Args:
            version: a record of this registry.

        Raises:
            ArtifactError: one is missing or has other bytes.
        """
        for file in version.files:
            blob = self.blob(file.sha256)
            if not blob.is_file() or digest_file(blob) != file.sha256:
                raise ArtifactError(f"{blob}: not the bytes of {file.path}", "register it again")

    def blob(self, sha256: str) -> Path:
        """Where the file of that digest lies."""
        return self.root / "blobs" / sha256

    def _keep(self, path: Path, name: str) -> VersionFile:
        sha256 = digest_file(path)
        blob = self.blob(sha256)
        # A harmed one is replaced: who registers again was told so by `verify`.
        if not blob.is_file() or digest_file(blob) != sha256:
            blob.parent.mkdir(parents=True, exist_ok=True)
            temporary = temporary_beside(blob)
            shutil.copyfile(path, temporary)
            with temporary.open("rb") as stream:
                os.fsync(stream.fileno())
            temporary.replace(blob)
            sync_folder(blob.parent)
        return VersionFile(path=name, bytes=path.stat().st_size, sha256=sha256)
