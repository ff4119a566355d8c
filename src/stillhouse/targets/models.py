"""How likely each number is, fitted by a shard to its own content and carried in its footer.

A number is a *bucket*, whose frequency depends on its context, and a place in the bucket, where
all are equally likely. Buckets of plain numbers widen as numbers grow; buckets of token ids hold
ids that are equally frequent, so that one table of frequencies serves a whole vocabulary.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isqrt
from typing import Any

import constriction
import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

MAX_NUMBER = (1 << 26) - 1
"""The coder spreads at most 24 bits over equally likely places; the widest bucket has 23."""

_PARTS = 8
"""Buckets an octave of plain numbers; measured: 4 cost 0.2 bytes a token more, 16 gain nothing."""
_CLASSES = 2.0
"""Classes of ids an octave of frequency; within one, frequencies differ by at most 19 %."""
_STEPS = 4
"""Stored frequencies are whole powers of 2 ** (1 / 4)."""
_FREQUENCIES = np.array([0.0, *(isqrt(isqrt(1 << (log + 32))) for log in range(160))])
"""256 * 2 ** (log / 4) in whole numbers: a coder must see the same on every machine."""
_CELL_BITS = 6.0
"""measured: what one frequency costs in the footer, compressed."""
_ALIKE = 16
"""Groups of contexts with like means; measured: 32 gain nothing at V = 400."""
_MOST_GROUPS = 255
_RARE = 2
"""assumption: an id seen once is cheaper spelled out than listed with its frequency."""


@dataclass(frozen=True, slots=True)
class Model:
    """Frequencies of numbers by context.

    Attributes:
        edges: (B,) the first number of each bucket, of ids their ranks.
        sizes: (B,) numbers in each bucket.
        groups: (C,) uint8, the group of each context; contexts that say the same share one.
        logs: (G, B) uint8, frequencies; see `_STEPS`.
        tables: the coder's models, one a group.
        ids: (V,) token ids by rank; empty for plain numbers.
        ranks: (V,) the rank of each id; empty for plain numbers.
        listed: token ids with a class of their own, ascending; empty for plain numbers.
        classes: of the listed ids.
    """

    edges: Ints
    sizes: Ints
    groups: NDArray[np.uint8]
    logs: NDArray[np.uint8]
    tables: tuple[Any, ...]
    ids: Ints
    ranks: Ints
    listed: Ints
    classes: NDArray[np.uint8]

    def split(self, values: Ints) -> tuple[Ints, Ints, Ints]:
        """(n,) bucket, place in it and its size, of each number."""
        ranks = self.ranks[values] if len(self.ranks) else values
        buckets = np.searchsorted(self.edges, ranks, side="right") - 1
        return buckets, ranks - self.edges[buckets], self.sizes[buckets]

    def join(self, values: Ints) -> Ints:
        """(n,) numbers, of (n,) edges plus places."""
        return self.ids[values] if len(self.ids) else values


def bucket_of(values: Ints) -> Ints:
    """(n,) the bucket of each plain number."""
    return np.searchsorted(_EDGES, values, side="right") - 1


def fit(counts: Ints, vocab_size: int = 0) -> Model:
    """The model that fits what was counted.

    Args:
        counts: (C, B) how often each bucket of plain numbers, or (C, V) each id, stood in each
            context.
        vocab_size: V for token ids, 0 for plain numbers.

    Returns:
        The model.
    """
    if not vocab_size:
        return _with_tables(_frame(0, _NO_IDS, _NO_CLASSES), *_grouped(counts))
    totals = counts.sum(axis=0)
    listed = np.flatnonzero(totals >= _RARE)
    frame = _frame(vocab_size, listed, np.rint(_CLASSES * np.log2(totals[listed])).astype(np.uint8))
    by_rank = np.add.reduceat(counts[:, frame.ids], frame.edges, axis=1)
    return _with_tables(frame, *_grouped(by_rank))


def dump(models: Mapping[str, Model]) -> bytes:
    """Models as text for a file's footer."""
    heads: dict[str, Any] = {}
    body = b""
    for name, model in sorted(models.items()):
        gaps = np.diff(model.listed, prepend=-1).astype("<u4")
        wide = gaps.view(np.uint8).reshape(-1, 4).T  # bytes of equal weight compress together
        heads[name] = [len(model.groups), *model.logs.shape, len(model.listed), len(model.ids)]
        arrays = (model.groups, model.logs, wide, model.classes)
        body += b"".join(array.tobytes() for array in arrays)
    head = json.dumps(heads).encode()
    return base64.b85encode(zlib.compress(len(head).to_bytes(4, "little") + head + body, 9))


def load(text: bytes) -> dict[str, Model]:
    """The models that `dump` wrote.

    Args:
        text: from a footer.

    Returns:
        Name to model.

    Raises:
        ValueError: the text is not one that `dump` wrote.
    """
    try:
        whole = zlib.decompress(base64.b85decode(text))
    except (zlib.error, binascii.Error) as error:
        raise ValueError(f"entropy models cannot be read: {error}") from error
    size = 4 + int.from_bytes(whole[:4], "little")
    models, at = {}, size

    def take(count: int) -> NDArray[np.uint8]:
        nonlocal at
        at += count
        return np.frombuffer(whole, np.uint8, count, at - count)

    for name, (contexts, groups, buckets, num_listed, vocab_size) in json.loads(
        whole[4:size]
    ).items():
        group_of, logs = take(contexts), take(groups * buckets).reshape(groups, buckets)
        wide = np.ascontiguousarray(take(4 * num_listed).reshape(4, num_listed).T)
        gaps = wide.view("<u4").reshape(-1).astype(np.int64)
        frame = _frame(vocab_size, np.cumsum(gaps) - 1, take(num_listed))
        models[name] = _with_tables(frame, group_of, logs)
    return models


def _frame(vocab_size: int, listed: Ints, classes: NDArray[np.uint8]) -> Model:
    """A model without frequencies."""
    empty = np.zeros((0, 0), np.uint8)
    if not vocab_size:
        return Model(_EDGES, _SIZES, _NO_CLASSES, empty, (), _NO_IDS, _NO_IDS, _NO_IDS, classes)
    rare = np.setdiff1d(np.arange(vocab_size), listed, assume_unique=True)
    ids = np.concatenate([listed[np.argsort(-classes.astype(int), kind="stable")], rare])
    ranks = np.empty(vocab_size, np.int64)
    ranks[ids] = np.arange(vocab_size)
    ends = np.cumsum(np.bincount(classes)[::-1]) if len(classes) else _NO_IDS
    # Rare ids stay in the order of ids, which in most vocabularies is the order of frequency.
    octaves = len(listed) + 2 ** np.arange(8, 32)
    inner = np.concatenate([ends, octaves])
    edges = np.unique(np.concatenate([[0], inner[inner < vocab_size]]))
    sizes = np.diff(edges, append=vocab_size)
    return Model(edges, sizes, _NO_CLASSES, empty, (), ids, ranks, listed, classes)


def _with_tables(frame: Model, groups: NDArray[np.uint8], logs: NDArray[np.uint8]) -> Model:
    # Buckets that never occurred keep the least probability that the coder has.
    family = constriction.stream.model.Categorical
    frequencies = _FREQUENCIES[logs]
    used = np.where(logs.any(axis=1, keepdims=True), frequencies, 1.0)
    tables = tuple(family(row, perfect=False) for row in used)
    return replace(frame, groups=groups, logs=logs, tables=tables)


def _quantise(counts: Ints) -> NDArray[np.uint8]:
    used = np.flatnonzero(counts.any(axis=0))
    counts = np.pad(counts, ((0, 0), (0, 1)))  # the coder wants two symbols
    counts = counts[:, : max(2, used.max(initial=0) + 1)]
    logs = np.rint(_STEPS * np.log2(np.maximum(counts, 1))) + 1
    return np.where(counts > 0, logs, 0).astype(np.uint8)


def _grouped(counts: Ints) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The cheapest of few ways to group contexts; (C,) groups and (G, B) frequencies."""
    means = counts @ np.arange(counts.shape[1]) / np.maximum(counts.sum(axis=1), 1)
    order = np.argsort(means, kind="stable")
    before = np.cumsum(counts[order].sum(axis=1)) / max(1, int(counts.sum()))
    alike = np.empty(len(counts), np.int64)
    alike[order] = np.minimum(before * _ALIKE, _ALIKE - 1).astype(np.int64)
    ways = [np.zeros(len(counts), np.int64), alike]
    if len(counts) <= _MOST_GROUPS:
        ways.append(np.arange(len(counts)))
    summed = [_sums(counts, groups) for groups in ways]
    best = int(np.argmin([_bits(each) for each in summed]))
    return ways[best].astype(np.uint8), _quantise(summed[best])


def _sums(counts: Ints, groups: Ints) -> Ints:
    sums = np.zeros((int(groups.max(initial=0)) + 1, counts.shape[1]), np.int64)
    np.add.at(sums, groups, counts)
    return sums


def _bits(counts: Ints) -> float:
    """Of all numbers, the frequencies in the footer included."""
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    coded = float(-(counts * np.log2(np.where(counts > 0, share, 1.0))).sum())
    return coded + _CELL_BITS * np.count_nonzero(counts)


def _plain_edges() -> Ints:
    edges = list(range(2 * _PARTS))
    while edges[-1] <= MAX_NUMBER:
        octave = 1 << (edges[-1].bit_length() - 1)
        edges.append(edges[-1] + max(1, octave // _PARTS))
    return np.array([edge for edge in edges if edge <= MAX_NUMBER], np.int64)


_EDGES = _plain_edges()
_SIZES = np.diff(_EDGES, append=MAX_NUMBER + 1)
NUM_BUCKETS = len(_EDGES)
_NO_IDS = np.zeros(0, np.int64)
_NO_CLASSES = np.zeros(0, np.uint8)
