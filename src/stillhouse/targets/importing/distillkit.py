"""Data sets of DistillKit: compressed log-probabilities beside the tokens of each row.

Row j of the packed columns describes token j + 1. There are as many as tokens, or one fewer.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from stillhouse.core.errors import InputError
from stillhouse.targets.importing.compression import (
    Compression,
    describe_fields,
    unpack_ids,
    unpack_logprobs,
)
from stillhouse.targets.importing.scored import ScoredRow
from stillhouse.targets.importing.sources import Record, column_names, read_records, source_files
from stillhouse.tokens.tokenizer import TextTokenizer

COLUMNS = ("input_ids", "compressed_logprobs", "bytepacked_indices")
_LABELS = "labels"
_LEGACY = ("packed_indices", "exact_values", "coeffs")
_CONFIG = "compression_config.yaml"
_NOT_LEARNED = -100


def load_compression(source: Path, config: Path | None) -> Compression:
    """How a data set was packed.

    Args:
        source: its file or folder; DistillKit's own capture leaves the config beside the files.
        config: a YAML file with the fields, at its top or below `teacher.logprob_compressor`.

    Returns:
        The config.

    Raises:
        InputError: there is none, or a field is wrong.
    """
    beside = (source if source.is_dir() else source.parent) / _CONFIG
    path = config or beside
    fields = ", ".join(f"{name} ({default})" for name, default in describe_fields().items())
    if not path.is_file():
        raise InputError(
            f"there is no {path}; without its compression config DistillKit's data cannot be read",
            f"give --compression FILE.yaml with logprob_compressor's fields: {fields}",
        )
    try:
        plain = _section(YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8")))
        return Compression.model_validate(plain)
    except (YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not YAML: {str(error).splitlines()[0]}") from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise InputError(f"{path} {key}: {first['msg'].lower()}", f"fields: {fields}") from None


def _section(plain: Any) -> Any:
    for name in ("teacher", "logprob_compressor"):
        if isinstance(plain, dict) and name in plain:
            plain = plain[name]
    return plain


def read_distillkit(
    source: Path, compression: Compression, tokenizer: TextTokenizer
) -> Iterator[ScoredRow]:
    """The rows of a data set of DistillKit.

    Every token that a row describes is trained, but those whose `labels`, where there is such a
    column, are -100, and padding at the end.

    Args:
        source: its file or folder.
        compression: how it was packed.
        tokenizer: that its ids belong to.

    Yields:
        Each row that trains a token.

    Raises:
        InputError: other columns, or a row that is cut; names it.
    """
    for path in source_files(source):
        _require_columns(path)
    for record in read_records(source, (*COLUMNS, _LABELS)):
        row = _read_row(record, compression, tokenizer)
        if row.is_trained.any():
            yield row


def _require_columns(path: Path) -> None:
    names = column_names(path)
    if set(_LEGACY) <= set(names):
        raise InputError(
            f"{path} is in DistillKit's legacy form ({', '.join(_LEGACY)}), which is not read",
            f"make it anew with a logprob_compressor; wanted are {', '.join(COLUMNS)}",
        )
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise InputError(
            f"{path} has no column {', '.join(missing)}, so it is no data set of DistillKit",
            f"it has: {', '.join(names)}",
        )


def _read_row(record: Record, compression: Compression, tokenizer: TextTokenizer) -> ScoredRow:
    ids = record.numbers("input_ids")
    logprobs = record.bytes_of_positions("compressed_logprobs", compression.logprob_bytes)
    indices = record.bytes_of_positions("bytepacked_indices", compression.index_bytes)
    rows = len(logprobs)
    if rows != len(indices) or rows not in (len(ids), len(ids) - 1):
        raise InputError(
            f"{record.place}: {len(ids)} tokens, {rows} compressed_logprobs and {len(indices)} "
            "bytepacked_indices; as many of both as tokens, or one fewer, are wanted",
            "the row is cut: fetch or make it again",
        )
    is_trained = np.ones(len(ids), np.bool_)
    is_trained[:1] = False
    if _LABELS in record:
        labels = record.numbers(_LABELS)
        if len(labels) != len(ids):
            raise record.wrong(f"{len(labels)} labels; {len(ids)} are")
        is_trained &= labels != _NOT_LEARNED
    is_trained &= ~_is_padding(ids, tokenizer)
    described = np.flatnonzero(is_trained) - 1
    entry_ids = unpack_ids(compression, indices[described])
    entry_logprobs = unpack_logprobs(compression, logprobs[described])
    _refuse_unsorted(record, compression, entry_logprobs)
    return ScoredRow(record.place, ids, is_trained, entry_ids, entry_logprobs)


def _is_padding(ids: NDArray[np.int64], tokenizer: TextTokenizer) -> NDArray[np.bool_]:
    """(T,) true in the run of padding at the end; a pad token that ends texts is none."""
    names = tokenizer.specials
    found = np.zeros(len(ids), np.bool_)
    if names.get("pad_token") not in (None, names.get("eos_token")):
        others = np.flatnonzero(ids != tokenizer.pad_id)
        found[others[-1] + 1 if len(others) else 0 :] = True
    return found


def _refuse_unsorted(
    record: Record, compression: Compression, logprobs: NDArray[np.float64]
) -> None:
    exact = logprobs[:, : compression.exact_k]
    rising = (np.diff(exact, axis=1) > 0).any(axis=1)
    if rising.any():
        first = int(np.argmax(rising))
        shown = ", ".join(f"{value:.4g}" for value in exact[first, :4])
        raise InputError(
            f"{record.place}: exact log-probabilities that rise ({shown}, ...); DistillKit writes "
            "the likeliest first",
            "the compression config is not the one that it was packed with",
        )
