"""The files that steps of the rows read, known by their content wherever they lie."""

from __future__ import annotations

from pathlib import Path

from stillhouse.core.hashing import digest_file
from stillhouse.data.readers import find_file
from stillhouse.recipes.row_step import FileStep
from stillhouse.recipes.rows import Source


def digest_step_file(wanted: FileStep, base: Path) -> str:
    """The digest of the file that a step names.

    Args:
        wanted: the step's settings.
        base: what the file's path is relative to.

    Returns:
        Another one when its content changes.

    Raises:
        InputError: there is no such file.
    """
    return digest_file(find_file(Source(file=wanted.file), base))


def location_of_step_file(digest: str) -> str:
    """The name under which a run knows where the file of that content lies."""
    return f"file of a step {digest}"
