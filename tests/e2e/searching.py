"""Whether a text stands anywhere below a folder, packed files included."""

import pyarrow.parquet as pq


def texts_below(folder):
    """Every file below a folder as bytes, Parquet unpacked."""
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".parquet":
            yield path, str(pq.read_table(path).to_pylist()).encode()
        elif path.is_file():
            yield path, path.read_bytes()


def where(folder, text):
    return [path.name for path, found in texts_below(folder) if text.encode() in found]
