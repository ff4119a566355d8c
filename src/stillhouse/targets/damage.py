"""One clear error for everything that reading damaged or forged bytes can end in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from stillhouse.core.errors import ArtifactError, StillhouseError

MEND = "delete the folder and run the label stage again"

_CAUSES = (
    *(pa.ArrowException, OSError, ValueError, LookupError, TypeError),
    *(ArithmeticError, MemoryError, RecursionError, StillhouseError),
)
_PANIC = "PanicException"
"""Of the coder, which is written in Rust: no `Exception`, and of no class to import."""


@contextmanager
def damage_is_clear(path: Path, example_id: str = "") -> Iterator[None]:
    """Turn whatever damage raises into an error that says where it is.

    Args:
        path: of the shard that is read.
        example_id: of the row that is decoded, if one is.

    Yields:
        Nothing.

    Raises:
        ArtifactError: names the file, the example and the cause.
    """
    try:
        yield
    except ArtifactError:
        raise
    except BaseException as error:
        if not isinstance(error, _CAUSES) and type(error).__name__ != _PANIC:
            raise
        where = f", at the example {example_id!r}" if example_id else ""
        cause = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        raise ArtifactError(f"{path} is damaged{where}: {cause}", MEND) from error
