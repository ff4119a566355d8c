"""Digests of data, files and folders; equal content has an equal digest on every machine."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

_BLOCK_BYTES = 1 << 20


def canonical_json(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces, no NaN."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def digest_text(text: str) -> str:
    """sha256 of the UTF-8 bytes, hexadecimal."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def digest_value(value: Any) -> str:
    """sha256 of `canonical_json(value)`."""
    return digest_text(canonical_json(value))


def digest_file(path: Path) -> str:
    """sha256 of a file's bytes, read in blocks."""
    state = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            state.update(block)
    return state.hexdigest()


def digest_folder(folder: Path) -> str:
    """sha256 over the sorted relative paths of a folder and each file's digest."""
    names = sorted(path for path in folder.rglob("*") if path.is_file())
    return digest_value([[p.relative_to(folder).as_posix(), digest_file(p)] for p in names])
