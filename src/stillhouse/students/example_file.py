"""Encoded examples in one flat file, read one by one: memory does not grow with their number.

An example is one record: ids, what its targets hold of each trained token, mask. Reading it is one
call, in any order; nothing is decoded again, and nothing is mapped into memory.

Legend: T tokens, P trained tokens, K kept teacher entries, D kd_temperatures, S drawn tokens of
one example.
"""

from __future__ import annotations

import math
import os
import tempfile
import weakref
from array import array
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, overload

import numpy as np
from numpy.typing import DTypeLike, NDArray

from stillhouse.core.files import disk_full_is_clear
from stillhouse.core.targets import Draws, TargetKey, TokenTargets
from stillhouse.students.class_examples import ClassExample
from stillhouse.students.examples import EncodedExample

_CHECKED = TargetKey("", "", "")
"""Of targets that were held against their key before they came here."""
_ABSENT = -1
"""K of an example without targets, S of one without draws."""


class ExampleFile(Sequence[EncodedExample]):
    """Encoded examples on disk, as `write_examples` leaves them.

    Of their targets it holds what a loss reads; spans and observed log-probabilities are zeros.

    Args:
        stream: the open file of the records.
        index: (N, 6) int64, of each where it begins, T, P, K, D and S.
    """

    def __init__(self, stream: IO[bytes], index: NDArray[np.int64]) -> None:
        self._descriptor = stream.fileno()
        self._index = index
        weakref.finalize(self, stream.close)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(N,) tokens of each example."""
        return self._index[:, 1]

    def __len__(self) -> int:
        return len(self._index)

    @overload
    def __getitem__(self, index: int) -> EncodedExample: ...

    @overload
    def __getitem__(self, index: slice) -> list[EncodedExample]: ...

    def __getitem__(self, index: int | slice) -> EncodedExample | list[EncodedExample]:
        """The example at that place, read from the file."""
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        start, *sizes = self._index[index].tolist()
        layout = _layout(*sizes)
        record = os.pread(self._descriptor, sum(map(_num_bytes, layout)), start)
        parts, offset = [], 0
        for part in layout:
            kind, shape = part
            values: NDArray[Any] = np.frombuffer(record, kind, math.prod(shape), offset)
            parts.append(values.reshape(shape))
            offset += _num_bytes(part)
        ids, *soft, is_trained = parts
        return EncodedExample(ids, is_trained, _targets(ids[is_trained], soft) if soft else None)


def lengths_of(
    examples: Sequence[EncodedExample] | Sequence[ClassExample],
) -> NDArray[np.int64]:
    """(N,) tokens of each example, without reading those that lie in a file."""
    if isinstance(examples, ExampleFile):
        return examples.lengths
    return np.array([len(example.ids) for example in examples], np.int64)


def write_examples(folder: Path, examples: Iterable[EncodedExample]) -> ExampleFile:
    """Examples as they come, in a file that has no name and ends with this process.

    Args:
        folder: on a disk with room for it.
        examples: read once; one at a time stands in memory.

    Returns:
        The same examples in the same order, to be read one by one.

    Raises:
        DiskFullError: no space left.
    """
    index = array("q")
    with disk_full_is_clear(folder), ExitStack() as stack:
        stream = stack.enter_context(tempfile.TemporaryFile(dir=folder))
        for example in examples:
            sizes = _sizes(example)
            index.extend((stream.tell(), *sizes))
            for (kind, _), part in zip(_layout(*sizes), _parts(example), strict=True):
                stream.write(np.ascontiguousarray(part, kind).data)
        stream.flush()
        # From here on it lives as long as its reader.
        stack.pop_all()
    return ExampleFile(stream, np.frombuffer(index, np.int64).reshape(-1, 6))


Part = tuple[DTypeLike, tuple[int, ...]]


def _layout(tokens: int, trained: int, kept: int, columns: int, drawn: int) -> list[Part]:
    parts: list[Part] = [(np.int32, (tokens,))]
    if kept != _ABSENT:
        rows = (trained, kept)
        parts += [(np.int32, rows), (np.float32, rows), (np.float32, (trained, columns))]
    if drawn != _ABSENT:
        rows = (trained, drawn)
        parts += [(np.int32, rows), (np.int32, rows), (np.float32, (trained,))]
    return [*parts, (np.bool_, (tokens,))]


def _num_bytes(part: Part) -> int:
    return np.dtype(part[0]).itemsize * math.prod(part[1])


def _sizes(example: EncodedExample) -> tuple[int, int, int, int, int]:
    targets = example.targets
    tokens, trained = len(example.ids), int(example.is_trained.sum())
    if targets is None:
        return tokens, trained, _ABSENT, 0, _ABSENT
    drawn = targets.draws.ids.shape[1] if targets.draws else _ABSENT
    return tokens, trained, targets.top_ids.shape[1], targets.log_z.shape[1], drawn


def _parts(example: EncodedExample) -> list[NDArray[Any]]:
    targets = example.targets
    soft: list[NDArray[Any]] = []
    if targets:
        soft = [targets.top_ids, targets.top_logprobs, targets.log_z]
        draws = targets.draws
        soft += [draws.ids, draws.counts, draws.entropy] if draws else []
    return [example.ids, *soft, example.is_trained]


def _targets(token_ids: NDArray[np.int32], soft: Sequence[NDArray[Any]]) -> TokenTargets:
    top_ids, top_logprobs, log_z, *drawn = soft
    return TokenTargets(
        key=_CHECKED,
        token_ids=token_ids,
        byte_offsets=np.zeros((len(token_ids), 2), np.int32),
        observed_logprobs=np.zeros(len(token_ids), np.float32),
        top_ids=top_ids,
        top_logprobs=top_logprobs,
        log_z=log_z,
        draws=Draws(*drawn) if drawn else None,
    )
