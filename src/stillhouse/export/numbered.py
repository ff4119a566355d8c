"""Copies of bundles in folders that are numbered, such as `models/songs-v{n}`: v1, v2, ...

A bundle that lies in one of them gets no second number. Who numbers at the same time waits.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from stillhouse.core.errors import ArtifactError, UsageError
from stillhouse.core.hashing import digest_file
from stillhouse.export.bundle_files import BundleFile, bundle_files, copy_bundle
from stillhouse.store.artifacts import FileEntry
from stillhouse.store.lock import wait_for_lock

NUMBER = "{n}"
"""Stands for the number in the name of a folder."""


def copy_numbered(files: Sequence[BundleFile], pattern: Path) -> tuple[Path, bool]:
    """The numbered folder of a bundle.

    Args:
        files: of the bundle.
        pattern: the folder, with `{n}` in its name and nowhere else.

    Returns:
        (folder, whether it was made now). A new one has the largest number so far, and one more:
        the number of a folder that was removed in between stays free.

    Raises:
        UsageError: `{n}` stands elsewhere, or twice.
        ArtifactError: a file is not what the manifest says.
        DiskFullError: there is no room; nothing is left behind.
    """
    if pattern.name.count(NUMBER) != 1 or NUMBER in str(pattern.parent):
        raise UsageError(
            f"{pattern} has {NUMBER} where no number can stand",
            f"write it once, into the name of the last folder: ./models/songs-v{NUMBER}",
        )
    pattern.parent.mkdir(parents=True, exist_ok=True)
    with wait_for_lock(pattern.with_name(f".{pattern.name}.lock")):
        taken = _taken(pattern)
        for number in sorted(taken, reverse=True):
            if _is_copy(files, taken[number]):
                return taken[number], False
        target = pattern.with_name(pattern.name.replace(NUMBER, str(max(taken, default=0) + 1)))
        return target, copy_bundle(files, target)


def _taken(pattern: Path) -> dict[int, Path]:
    """Whatever has a number already, also where it is no bundle."""
    before, _, after = pattern.name.partition(NUMBER)
    form = re.compile(f"{re.escape(before)}([1-9][0-9]*){re.escape(after)}")
    found = ((form.fullmatch(path.name), path) for path in pattern.parent.iterdir())
    return {int(named[1]): path for named, path in found if named}


def _is_copy(files: Sequence[BundleFile], folder: Path) -> bool:
    """Whether a folder holds just these files; the smallest is compared before all are read."""
    if not folder.is_dir() or folder.is_symlink():
        return False
    smallest = min(files, key=lambda one: one.num_bytes)
    entries = [FileEntry(path=one.name, bytes=one.num_bytes, sha256=one.sha256) for one in files]
    try:
        if digest_file(folder / smallest.name) != smallest.sha256:
            return False
        bundle_files(folder, entries)
    except (OSError, ArtifactError):
        return False
    return True
