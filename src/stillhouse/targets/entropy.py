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
from dataclasses import dataclass
from typing import Protocol

import constriction
import numpy as np
from numpy.typing import NDArray

from stillhouse.targets.models import (
    CONTEXTS,
    MAX_NUMBER,
    NUM_BUCKETS,
    Cells,
    Model,
    bucket_of,
    fit_ids,
    fit_plain,
)

Ints = NDArray[np.int64]

_UNIFORM = constriction.stream.model.Uniform()
_AnsCoder = constriction.stream.stack.AnsCoder
_WORD = "<u4"

MAX_FREE = 16
"""measured: groups of more are rare; the work to find an order grows with the square."""


IDS = "ids"
"""The model of all token ids."""

_MOST_CELLS = 4_000_000
"""assumption: some 64 MB while a shard is counted."""


@dataclass(frozen=True, slots=True)
class IdPlaces:
    """What is known of token ids before they are read.

    Attributes:
        contexts: (n,) in [0, CONTEXTS), the same within a group.
        kinds: (n,) of the position, see kinds.py.
        left: (n,) members of its group from this one on, itself counted: 3, 2, 1 for three.
    """

    contexts: Ints
    kinds: Ints
    left: Ints


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

    def ids(self, places: IdPlaces, values: Ints | None) -> Ints:
        """Token ids that ascend within each group, so that their order costs nothing.

        Args:
            places: what is known of each before it is read.
            values: (n,) distinct within a group and ascending; None when decoding.

        Returns:
            (n,) the ids.
        """
        ...


class Counter:
    """Counts the numbers of each model, to fit it.

    Args:
        vocab_size: of the token ids.
    """

    def __init__(self, vocab_size: int) -> None:
        self._vocab_size = vocab_size
        self._counts: dict[str, Ints] = {}
        self._cells: list[tuple[Ints, Ints]] = []

    def numbers(self, name: str, contexts: Ints, values: Ints | None) -> Ints:
        """See `Coder`."""
        assert values is not None
        counts = self._counts.get(name, np.zeros((1, NUM_BUCKETS), np.int64))
        missing = int(contexts.max(initial=0)) + 1 - len(counts)
        if missing > 0:
            counts = np.concatenate([counts, np.zeros((missing, NUM_BUCKETS), np.int64)])
        flat = contexts * NUM_BUCKETS + bucket_of(values)
        counts += np.bincount(flat, minlength=counts.size).reshape(counts.shape)
        self._counts[name] = counts
        return values

    def ids(self, places: IdPlaces, values: Ints | None) -> Ints:
        """See `Coder`."""
        assert values is not None
        keys = (places.kinds * CONTEXTS + places.contexts) * self._vocab_size + values
        self._cells.append(np.unique(keys, return_counts=True))
        if sum(len(each) for each, _ in self._cells) > _MOST_CELLS:
            self._cells = [self._summed()]
        return values

    def fit(self) -> dict[str, Model]:
        """The model of each name."""
        models = {name: fit_plain(counts) for name, counts in self._counts.items()}
        if self._cells:
            keys, counts = self._summed()
            rows, ids = np.divmod(keys, self._vocab_size)
            kinds, contexts = np.divmod(rows, CONTEXTS)
            models[IDS] = fit_ids(Cells(contexts, kinds, ids, counts), self._vocab_size)
        return models

    def _summed(self) -> tuple[Ints, Ints]:
        keys, inverse = np.unique(
            np.concatenate([keys for keys, _ in self._cells]), return_inverse=True
        )
        counts = np.concatenate([counts for _, counts in self._cells])
        return keys, np.bincount(inverse, counts, len(keys)).astype(np.int64)


class Encoder:
    """Numbers to bytes.

    Args:
        models: name to model.
    """

    def __init__(self, models: Mapping[str, Model]) -> None:
        self._models = models
        self._parts: list[tuple[str, IdPlaces, Ints]] = []

    def numbers(self, name: str, contexts: Ints, values: Ints | None) -> Ints:
        """See `Coder`."""
        assert values is not None
        nothing = np.zeros(len(values), np.int64)
        self._parts.append((name, IdPlaces(contexts, nothing, nothing), values))
        return values

    def ids(self, places: IdPlaces, values: Ints | None) -> Ints:
        """See `Coder`."""
        assert values is not None
        self._parts.append((IDS, places, values))
        return values

    def finish(self) -> bytes:
        """The bytes; a stack, so what is read first is written last."""
        stack = _AnsCoder()
        for name, places, values in reversed(self._parts):
            model = self._models[name]
            is_free = places.left > 1
            if is_free.any():
                digits = np.zeros(len(values), np.int64)
                digits[is_free] = stack.decode(_UNIFORM, _i4(places.left[is_free]))
                values = values[_permutation(digits, places.left)]
            buckets, rests, sizes = model.split(values, places.kinds)
            has_rest = sizes > 1
            stack.encode_reverse(_i4(rests[has_rest]), _UNIFORM, _i4(sizes[has_rest]))
            order, counts = _by_context(model, places.kinds * CONTEXTS + places.contexts)
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
        model = self._models[name]
        buckets = self._buckets(model, contexts)
        return self._spread(model.edges[0, buckets], model.sizes[0, buckets])

    def ids(self, places: IdPlaces, values: Ints | None) -> Ints:  # noqa: ARG002
        """See `Coder`."""
        model = self._models[IDS]
        buckets = self._buckets(model, places.kinds * CONTEXTS + places.contexts)
        cells = places.kinds * model.edges.shape[1] + buckets
        ranks = self._spread(model.edges.reshape(-1)[cells], model.sizes.reshape(-1)[cells])
        found = model.ids[ranks]
        is_free = places.left > 1
        if not is_free.any():
            return found
        digits = _digits(found, places.left)[is_free]
        self._stack.encode_reverse(_i4(digits), _UNIFORM, _i4(places.left[is_free]))
        group = np.cumsum(np.concatenate([[0], places.left[:-1] == 1]))
        return np.sort(group * (MAX_NUMBER + 1) + found) & MAX_NUMBER

    def refuse_rest(self) -> None:
        """Say nothing when exactly what was written has been read.

        Raises:
            ValueError: fewer numbers were asked for than there are, or more, or others.
        """
        if not self._stack.is_empty():
            raise ValueError("the packed numbers do not end where the example ends")

    def _buckets(self, model: Model, contexts: Ints) -> NDArray[np.int32]:
        order, counts = _by_context(model, contexts)
        decode, tables = self._stack.decode, model.tables
        found = [decode(tables[at], count) for at, count in counts]
        buckets = np.concatenate(found) if found else np.zeros(0, np.int32)
        if order is None:
            return buckets
        sorted_back = np.empty_like(buckets)
        sorted_back[order] = buckets
        return sorted_back

    def _spread(self, values: Ints, sizes: Ints) -> Ints:
        """Add the place in the bucket."""
        wide = np.flatnonzero(sizes > 1)
        if len(wide) == len(values):
            values += self._stack.decode(_UNIFORM, _i4(sizes))
        elif len(wide):
            values[wide] += self._stack.decode(_UNIFORM, _i4(sizes[wide]))
        return values


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
    used = np.flatnonzero(counts)
    found = list(zip(used.tolist(), counts[used].tolist(), strict=True))
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
