"""Whole numbers as few bits: what a shard's models say is likely costs little.

A layout (layout.py) says once, in the order of reading, which numbers stand in an example. Three
coders walk it: `Counter` fits the models, `Encoder` writes, `Decoder` reads. The coder itself is
constriction's ANS. It is a stack, so that a free choice can be *read* from it: where the order of
some numbers carries nothing, `Encoder` takes one from the bits already written, and `Decoder`
puts those bits back.

Source: bits back with ANS: Townsend et al. 2019, arXiv:1901.04866; multisets: Severo et al. 2022,
arXiv:2107.09202.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import constriction
import numpy as np
from numpy.typing import NDArray

from stillhouse.targets.models import MAX_NUMBER, NUM_BUCKETS, Model, bucket_of, fit

Ints = NDArray[np.int64]

_UNIFORM = constriction.stream.model.Uniform()
_AnsCoder = constriction.stream.stack.AnsCoder
_WORD = "<u4"

MAX_FREE = 16
"""measured: groups of more are rare; the work to find an order grows with the square."""


class Coder(Protocol):
    """One walk over a layout; numbers go in, or come out where `values` is None."""

    def numbers(self, name: str, contexts: Ints, values: Ints | None) -> Ints:
        """Numbers in this order.

        Args:
            name: of the model.
            contexts: (n,) >= 0, what is known of each before it is read.
            values: (n,) in [0, MAX_NUMBER]; None when decoding.

        Returns:
            (n,) the numbers.
        """
        ...

    def groups(self, name: str, contexts: Ints, left: Ints, values: Ints | None) -> Ints:
        """Numbers that ascend within each group, so that their order costs nothing.

        Args:
            name: of the model.
            contexts: (n,) >= 0, the same within a group.
            left: (n,) members of its group from this one on, itself counted: 3, 2, 1 for three.
            values: (n,) distinct within a group and ascending; None when decoding.

        Returns:
            (n,) the numbers.
        """
        ...


class Counter:
    """Counts the numbers of each model, to fit it.

    Args:
        vocab_sizes: models of token ids, with how many there are; the others' numbers are plain.
    """

    def __init__(self, vocab_sizes: Mapping[str, int]) -> None:
        self._vocab_sizes = vocab_sizes
        self._counts: dict[str, Ints] = {}

    def numbers(self, name: str, contexts: Ints, values: Ints | None) -> Ints:
        """See `Coder`."""
        assert values is not None
        width = self._vocab_sizes.get(name, NUM_BUCKETS)
        columns = values if name in self._vocab_sizes else bucket_of(values)
        cells, times = np.unique(contexts * width + columns, return_counts=True)
        counts = self._counts.get(name, np.zeros((1, width), np.int64))
        missing = int(contexts.max(initial=0)) + 1 - len(counts)
        if missing > 0:
            counts = np.concatenate([counts, np.zeros((missing, width), np.int64)])
        counts.reshape(-1)[cells] += times
        self._counts[name] = counts
        return values

    def groups(self, name: str, contexts: Ints, left: Ints, values: Ints | None) -> Ints:  # noqa: ARG002
        """See `Coder`."""
        return self.numbers(name, contexts, values)

    def fit(self) -> dict[str, Model]:
        """The model of each name."""
        return {
            name: fit(counts, self._vocab_sizes.get(name, 0))
            for name, counts in self._counts.items()
        }


class Encoder:
    """Numbers to bytes.

    Args:
        models: name to model.
    """

    def __init__(self, models: Mapping[str, Model]) -> None:
        self._models = models
        self._parts: list[tuple[Model, Ints, Ints, Ints | None]] = []

    def numbers(self, name: str, contexts: Ints, values: Ints | None) -> Ints:
        """See `Coder`."""
        assert values is not None
        self._parts.append((self._models[name], contexts, values, None))
        return values

    def groups(self, name: str, contexts: Ints, left: Ints, values: Ints | None) -> Ints:
        """See `Coder`."""
        assert values is not None
        self._parts.append((self._models[name], contexts, values, left))
        return values

    def finish(self) -> bytes:
        """The bytes; a stack, so what is read first is written last."""
        stack = _AnsCoder()
        for model, contexts, values, left in reversed(self._parts):
            if left is not None:
                is_free = left > 1
                digits = np.zeros(len(values), np.int64)
                digits[is_free] = stack.decode(_UNIFORM, left[is_free].astype(np.int32))
                values = values[_permutation(digits, left)]
            buckets, rests, sizes = model.split(values)
            has_rest = sizes > 1
            stack.encode_reverse(_i4(rests[has_rest]), _UNIFORM, _i4(sizes[has_rest]))
            order, counts = _by_context(model, contexts)
            symbols = _i4(buckets if order is None else buckets[order])
            end = len(symbols)
            for at, count in reversed(counts):
                stack.encode_reverse(symbols[end - count : end], model.tables[at])
                end -= count
        return bytes(stack.get_compressed().astype(_WORD).tobytes())


class Decoder:
    """Bytes to numbers.

    Args:
        models: name to model.
        packed: what `Encoder.finish` gave.
    """

    def __init__(self, models: Mapping[str, Model], packed: bytes) -> None:
        self._models = models
        self._stack = _AnsCoder(np.frombuffer(packed, _WORD).astype(np.uint32))

    def numbers(self, name: str, contexts: Ints, values: Ints | None) -> Ints:  # noqa: ARG002
        """See `Coder`."""
        return self._numbers(self._models[name], contexts)

    def groups(self, name: str, contexts: Ints, left: Ints, values: Ints | None) -> Ints:  # noqa: ARG002
        """See `Coder`."""
        order = self._numbers(self._models[name], contexts)
        is_free = left > 1
        digits = _digits(order, left)[is_free]
        self._stack.encode_reverse(_i4(digits), _UNIFORM, _i4(left[is_free]))
        group = np.cumsum(np.concatenate([[0], left[:-1] == 1]))
        keys = np.sort(group * (MAX_NUMBER + 1) + order)
        return keys & MAX_NUMBER

    def _numbers(self, model: Model, contexts: Ints) -> Ints:
        order, counts = _by_context(model, contexts)
        found = [self._stack.decode(model.tables[at], count) for at, count in counts]
        buckets = np.concatenate(found) if found else np.zeros(0, np.int32)
        if order is not None:
            buckets[order] = buckets.copy()
        sizes = model.sizes[buckets]
        values = model.edges[buckets]
        wide = np.flatnonzero(sizes > 1)
        if len(wide) == len(values):
            values += self._stack.decode(_UNIFORM, _i4(sizes))
        elif len(wide):
            values[wide] += self._stack.decode(_UNIFORM, _i4(sizes[wide]))
        return model.join(values)


def _i4(values: Ints) -> NDArray[np.int32]:
    return values.astype(np.int32)


def _by_context(model: Model, contexts: Ints) -> tuple[Ints | None, list[tuple[int, int]]]:
    """The order that sorts by group of contexts, None for any; and (group, numbers), ascending."""
    if not len(contexts):
        return None, []
    if len(model.tables) == 1:
        return None, [(0, len(contexts))]
    narrow = model.groups[contexts]
    counts = np.bincount(narrow)
    found = [(at, count) for at, count in enumerate(counts.tolist()) if count]
    return np.argsort(narrow, kind="stable"), found


def _digits(order: Ints, left: Ints) -> Ints:
    """How many later members of its group are less than each."""
    digits = np.zeros(len(order), np.int64)
    rows = np.flatnonzero(left > 1)
    for distance in range(1, MAX_FREE):
        if not len(rows):
            break
        digits[rows] += order[rows + distance] < order[rows]
        rows = rows[left[rows] > distance + 1]
    return digits


def _permutation(digits: Ints, left: Ints) -> Ints:
    """The places of ascending groups that `_digits` describes; (n,) indices."""
    ranks = digits.copy()
    for size in range(2, int(left.max(initial=1)) + 1):
        first = np.flatnonzero(left == size)
        for distance in range(1, size):
            ranks[first + distance] += ranks[first + distance] >= ranks[first]
    size_before = np.arange(len(left)) - _place_in_group(left)
    return size_before + ranks


def _place_in_group(left: Ints) -> Ints:
    """0, 1, 2 ... within each group."""
    starts = np.concatenate([[True], left[:-1] == 1]) if len(left) else np.zeros(0, bool)
    first = np.maximum.accumulate(np.where(starts, np.arange(len(left)), 0))
    return np.arange(len(left)) - first
