"""The files of a bundle as its manifest lists them, and no other: what may leave this machine.

A manifest can have been edited, and a folder can hold links. So each name is looked at before it is
opened, and nothing is followed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from stillhouse.core.errors import ArtifactError, UsageError
from stillhouse.core.files import (
    disk_full_is_clear,
    sync_folder,
    sync_tree,
    temporary_beside,
)
from stillhouse.store.artifacts import FileEntry

BUNDLE = "bundle"
"""The folder of an export that ships."""

_BLOCK_BYTES = 1 << 20
_MEND = "run the recipe again: the torn artifact is moved aside and made anew"


@dataclass(frozen=True, slots=True)
class BundleFile:
    """One file that may leave.

    Attributes:
        name: its path in the bundle, with `/`.
        path: where it lies.
        num_bytes: of it.
        sha256: of its bytes.
    """

    name: str
    path: Path
    num_bytes: int
    sha256: str


def bundle_files(folder: Path, entries: Iterable[FileEntry]) -> tuple[BundleFile, ...]:
    """The files of a bundle, once each was read and found to be what the manifest says.

    Args:
        folder: the bundle.
        entries: what the manifest lists, by paths inside the bundle.

    Returns:
        One a file, in the order of the names.

    Raises:
        ArtifactError: a name leads out of the bundle, a file is a link or no file, is missing, has
            other bytes, or is there and not listed.
    """
    found = tuple(
        BundleFile(one.path, folder / _inside(one.path), one.bytes, one.sha256)
        for one in sorted(entries, key=lambda one: one.path)
    )
    _refuse_others(folder, {one.name for one in found})
    for one in found:
        for _ in read_whole(one):
            pass
    return found


def read_whole(file: BundleFile) -> Iterator[bytes]:
    """The bytes of a file in blocks; the last one comes only if all of them were as listed.

    Args:
        file: of a bundle.

    Yields:
        A block.

    Raises:
        ArtifactError: the file is a link, is not there, or has other bytes.
    """
    state, held = hashlib.sha256(), b""
    with _opened(file) as stream:
        while block := stream.read(_BLOCK_BYTES):
            state.update(block)
            if held:
                yield held
            held = block
    if state.hexdigest() != file.sha256:
        raise ArtifactError(f"{file.path}: its bytes are not those of the manifest", _MEND)
    if held:
        yield held


def copy_bundle(files: Iterable[BundleFile], target: Path) -> bool:
    """A copy of a bundle in a folder that appears whole or not at all, whoever else copies there.

    Args:
        files: of the bundle.
        target: the folder; one that is there already must be that copy.

    Returns:
        Whether anything was copied; False where it was there.

    Raises:
        UsageError: something else is there.
        ArtifactError: a file is not what the manifest says.
        DiskFullError: there is no room; nothing is left behind.
    """
    files = tuple(files)
    if target.exists() or target.is_symlink():
        _require_same(files, target)
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    # Of this process alone: what another one is copying is not taken for a rest.
    part = temporary_beside(target)
    try:
        with disk_full_is_clear(target.parent):
            for one in files:
                copied = part / one.name
                copied.parent.mkdir(parents=True, exist_ok=True)
                with copied.open("xb") as stream:
                    stream.writelines(read_whole(one))
            sync_tree(part)
            if not _publish(part, target):
                _require_same(files, target)
                return False
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return True


def _publish(part: Path, target: Path) -> bool:
    """Give a copy its name; False where another call was first."""
    try:
        part.rename(target)
    except OSError:
        if not target.exists():
            raise
        return False
    sync_folder(target.parent)
    return True


def _require_same(files: tuple[BundleFile, ...], target: Path) -> None:
    try:
        if target.is_symlink() or not target.is_dir():
            raise ArtifactError(f"{target} is no folder")
        entries = [
            FileEntry(path=one.name, bytes=one.num_bytes, sha256=one.sha256) for one in files
        ]
        bundle_files(target, entries)
    except ArtifactError as error:
        raise UsageError(
            f"{target} is there and is not this bundle: {error.message}",
            "name a folder that is not there yet",
        ) from None


def _inside(name: str) -> PurePosixPath:
    """A name that cannot lead out of the folder that it is put below, on any system."""
    parts = name.split("/")
    is_plain = name.isprintable() and not any(sign in name for sign in "\\:")
    if not is_plain or any(part in ("", ".", "..") for part in parts):
        raise ArtifactError(f"{name!r} leads out of its bundle, so nothing was opened", _MEND)
    return PurePosixPath(name)


def _refuse_others(folder: Path, listed: set[str]) -> None:
    for at, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(at) / name
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise ArtifactError(f"{path} is a link or no file; bundles hold neither", _MEND)
        for name in names:
            inside = (Path(at) / name).relative_to(folder).as_posix()
            if inside not in listed:
                raise ArtifactError(f"{folder}: {inside} is there and not in the manifest", _MEND)


@contextmanager
def _opened(file: BundleFile) -> Iterator[BinaryIO]:
    try:
        handle = os.open(file.path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        raise ArtifactError(f"{file.path}: {error.strerror}", _MEND) from None
    with os.fdopen(handle, "rb") as stream:
        yield stream
