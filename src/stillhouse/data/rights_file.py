"""What is known of the origin of rows, beside them on disk as Parquet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from stillhouse.core.errors import ArtifactError
from stillhouse.core.files import disk_full_is_clear, write_atomic
from stillhouse.data.rights import RowRights

_SCHEMA = pa.schema([(field.name, pa.string()) for field in fields(RowRights)])


def write_rights(path: Path, known: Iterable[RowRights]) -> None:
    """Write what is known of rows, all or nothing."""
    sink = pa.BufferOutputStream()
    table = pa.Table.from_pylist([asdict(one) for one in known], schema=_SCHEMA)
    pq.write_table(table, sink, compression="zstd")
    with disk_full_is_clear(path.parent):
        write_atomic(path, sink.getvalue().to_pybytes())


def read_rights(path: Path) -> list[RowRights]:
    """What `write_rights` wrote.

    Args:
        path: the file.

    Returns:
        Equal records in their order.

    Raises:
        ArtifactError: the file is missing or torn.
    """
    try:
        return [RowRights(**record) for record in pq.read_table(path, schema=_SCHEMA).to_pylist()]
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ArtifactError(
            f"{path} is missing or torn: {reason}", "run the recipe again with --from collect"
        ) from None
