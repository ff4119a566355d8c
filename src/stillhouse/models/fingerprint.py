"""Which base an adapter was trained on: a mark of its weights, kept beside the adapter.

The mark covers the name, shape and dtype of every tensor and some of its bytes, whatever files
they lie in: two models that were trained apart differ there, and it is read in no time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stillhouse.core.errors import ModelError
from stillhouse.core.files import write_json
from stillhouse.core.hashing import digest_value
from stillhouse.models.source import read_entries, weight_files

BASE_MARK = "base.json"
_PLACES, _BYTES = 4, 64
"""assumption: a training that changes a matrix changes it in one of these places too."""


def fingerprint(folder: Path) -> str:
    """The mark of a model folder's weights.

    Args:
        folder: with safetensors, in one file or several.

    Returns:
        A sha256.
    """
    seen = [mark for name in weight_files(folder) for mark in _marks(folder / name)]
    return digest_value(sorted(seen))


def write_base_mark(adapter: Path, base: Path) -> None:
    """Say beside an adapter which weights it was trained on."""
    write_json(adapter / BASE_MARK, {"weights": fingerprint(base)})


def check_base(adapter: Path, base: Path) -> None:
    """Refuse a base that the adapter was not trained on.

    Args:
        adapter: a folder; one without a mark is let pass, as other tools write none.
        base: a model folder.

    Raises:
        ModelError: the base has other weights.
    """
    path = adapter / BASE_MARK
    if not path.is_file():
        return
    stated = json.loads(path.read_text(encoding="utf-8"))["weights"]
    if fingerprint(base) != stated:
        raise ModelError(
            f"the adapter {adapter} was trained on other weights than those of {base}",
            "give the base model that it was trained on, in the revision and dtype of then; its "
            f"name stands in adapter_config.json (without {BASE_MARK} nothing is compared)",
        )


def _marks(file: Path) -> Iterator[list[Any]]:
    with file.open("rb") as stream:
        for name, entry in read_entries(file).items():
            start, end = entry["data_offsets"]
            shown = b""
            for place in range(_PLACES):
                stream.seek(start + (end - start) * place // _PLACES)
                shown += stream.read(min(_BYTES, end - stream.tell()))
            yield [name, entry["dtype"], entry["shape"], shown.hex()]
