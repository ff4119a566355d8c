"""Writing that survives a crash: whole or not at all."""

from __future__ import annotations

import errno
import glob
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stillhouse.core.errors import DiskFullError, StillhouseError

_WORDS = ("No space left on device", "os error 28", "inline_container", "PytorchStreamWriter")
"""What libraries say that hide the errno of a failed write; the last two are torch's."""

_NO_ROOM_BYTES = 16 * 2**20  # assumption: a failed write leaves less room than this


@contextmanager
def disk_full_is_clear(folder: Path) -> Iterator[None]:
    """Turn "no space left" into a `DiskFullError` that names the folder."""
    try:
        yield
    except StillhouseError:
        raise
    except Exception as error:
        if not _is_disk_full(error, folder):
            raise
        raise DiskFullError(
            f"no space left on the device that holds {folder}",
            "free some space or choose another folder with --runs; then run the same command: "
            "finished stages are kept",
        ) from error


def _is_disk_full(error: Exception, folder: Path) -> bool:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    if not any(words in str(error) for words in _WORDS):
        return False
    existing = next(path for path in (folder, *folder.resolve().parents) if path.exists())
    return shutil.disk_usage(existing).free < _NO_ROOM_BYTES


def sync_folder(folder: Path) -> None:
    """Make a folder's entries durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """Make every file and folder below `folder` durable."""
    for path in sorted(folder.rglob("*")):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    sync_folder(folder)


def temporary_beside(path: Path) -> Path:
    """A name to write under before a rename to `path`; what killed processes left is deleted."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        process_id = left.name.split(".")[-2]
        if not process_id.isdigit() or is_running(int(process_id)):
            continue
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def is_running(process_id: int) -> bool:
    """Whether there is a process of that number on this machine."""
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def write_atomic(path: Path, data: bytes) -> None:
    """Replace `path` by `data`: a reader sees the old bytes or the new, never a part."""
    temporary = temporary_beside(path)
    try:
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON with sorted keys, atomically."""
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_atomic(path, (text + "\n").encode())
