"""How likely each number is, fitted by a shard to its own content and carried with it.

A number is a *bucket*, whose frequency depends on its context, and a place in the bucket, where
all are equally likely. Buckets of plain numbers widen as numbers grow; buckets of token ids hold
ids that are equally frequent, so that one table of frequencies serves a whole vocabulary.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isqrt
from typing import Any, NamedTuple

import constriction
import numpy as np
from numpy.typing import NDArray

from stillhouse.targets.kinds import MOST_KINDS

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
_CELL_BITS = 9.0
"""measured: what one frequency costs in the file, compressed; 6 and 12 change nothing."""
_ALIKE = 16
"""Groups of contexts with like means; measured: 32 gain nothing at V = 400."""
_MOST_GROUPS = 255
_LISTING_BITS = 12.0
"""measured: what an id of a kind's own costs in the file, compressed; 9 and 18 change nothing."""
CONTEXTS = 20
"""Of token ids, beside the kind of position: see `kept.py` and `drawn.py` for which."""
_COARSE_CONTEXTS = np.array([0] * 4 + [1] * 4 + [2] * 5 + [3, 4] + [5] * 5)
"""The same contexts where a kind has too few ids for all of them; fewer are also read faster."""
_PLAIN_BYTES = 1 << 24
"""assumption: 300 models of plain numbers with 255 groups of contexts; a store has some 20."""
_LISTED_BYTES = 5
"""Of an id with a frequency of its own, unpacked."""
_RARE = 2
"""assumption: an id seen once is cheaper spelled out than listed with its frequency."""


class Cells(NamedTuple):
    """How often each id stood in each context and kind of position: (n,) each, no cell twice."""

    contexts: Ints
    kinds: Ints
    ids: Ints
    counts: Ints


@dataclass(frozen=True, slots=True)
class Model:
    """Frequencies of numbers by context.

    Attributes:
        edges: (C, B) the first number of each bucket, in each kind of position; of ids their
            ranks. Plain numbers know one kind.
        sizes: (C, B) numbers in each bucket.
        groups: the group of each context; contexts that say the same share one.
        logs: (G, B) uint8, frequencies; see `_STEPS`.
        tables: the coder's models, one a group.
        ids: (R,) token ids by rank: first all V of them, then each kind's own; empty for plain
            numbers.
        listed: (L,) kind * V + id, ascending, of ids whose frequency is listed; kind 0 is any.
        classes: (L,) uint8, of their frequencies.
        ranks: (V + L,) the rank of each id, then of each listed one.
    """

    edges: Ints
    sizes: Ints
    groups: NDArray[np.uint16]
    logs: NDArray[np.uint8]
    tables: tuple[Any, ...]
    ids: Ints
    listed: Ints
    classes: NDArray[np.uint8]
    ranks: Ints

    def split(self, values: Ints, kinds: Ints) -> tuple[Ints, Ints, Ints]:
        """(n,) bucket, place in it and its size, of each number."""
        if not len(self.ids):
            buckets = bucket_of(values)
            return buckets, values - self.edges[0, buckets], self.sizes[0, buckets]
        keys = kinds * self.vocab_size + values
        at = np.minimum(np.searchsorted(self.listed, keys), max(len(self.listed) - 1, 0))
        is_own = (kinds > 0) & (self.listed[at] == keys) if len(self.listed) else kinds < 0
        ranks = self.ranks[np.where(is_own, self.vocab_size + at, values)]
        starts = self.edges[0, self.num_own :]
        common = self.num_own + np.searchsorted(starts, ranks, side="right") - 1
        buckets = np.where(is_own, self.classes[at] if len(self.listed) else 0, common)
        return buckets, ranks - self.edges[kinds, buckets], self.sizes[kinds, buckets]

    @property
    def vocab_size(self) -> int:
        """V; 0 for plain numbers."""
        return len(self.ranks) - len(self.listed)

    @property
    def num_own(self) -> int:
        """Buckets that each kind of position has for itself; they come first."""
        own = self.classes[self.listed >= self.vocab_size]
        return int(own.max()) + 1 if len(own) else 0


def bucket_of(values: Ints) -> Ints:
    """(n,) the bucket of each plain number."""
    return np.searchsorted(_EDGES, values, side="right") - 1


def fit_plain(counts: Ints) -> Model:
    """The model of plain numbers.

    Args:
        counts: (contexts, buckets) how often each bucket stood in each context.

    Returns:
        The model.
    """
    return _with_tables(_frame(0, 1, _NO_IDS, _NO_CLASSES), *_grouped(counts))


def fit_ids(cells: Cells, vocab_size: int) -> Model:
    """The model of token ids.

    Args:
        cells: what stood where; contexts below `CONTEXTS`.
        vocab_size: V.

    Returns:
        The model; its contexts are kind * CONTEXTS + context.
    """
    keys, inverse = np.unique(cells.kinds * vocab_size + cells.ids, return_inverse=True)
    totals = np.bincount(inverse, cells.counts, len(keys)).astype(np.int64)
    own = _worth_listing(keys, totals, vocab_size)
    rest = np.bincount(keys[~own] % vocab_size, totals[~own], vocab_size).astype(np.int64)
    common = np.flatnonzero(rest >= _RARE)
    listed = np.concatenate([common, keys[own]])
    times = np.concatenate([rest[common], totals[own]])
    num_kinds = int(cells.kinds.max(initial=0)) + 1
    classes = np.rint(_CLASSES * np.log2(times)).astype(np.uint8)
    frame = _frame(vocab_size, num_kinds, listed, classes)
    buckets, _, _ = frame.split(cells.ids, cells.kinds)
    num_buckets = frame.edges.shape[1]
    rows = cells.kinds * CONTEXTS + cells.contexts
    num_rows = num_kinds * CONTEXTS
    flat = np.bincount(rows * num_buckets + buckets, cells.counts, num_rows * num_buckets)
    counts = flat.astype(np.int64).reshape(num_rows, num_buckets)
    return _with_tables(frame, *_grouped(counts, by_context=np.arange(num_rows) % CONTEXTS))


def dump(models: Mapping[str, Model]) -> bytes:
    """Models as bytes for a shard's file, with a checksum."""
    heads: dict[str, Any] = {}
    body = b""
    for name, model in sorted(models.items()):
        gaps = np.diff(model.listed, prepend=0).astype("<u4")
        wide = gaps.view(np.uint8).reshape(-1, 4).T  # bytes of equal weight compress together
        heads[name] = [len(model.groups), *model.logs.shape, len(model.listed), model.vocab_size]
        groups = model.groups.astype("<u2")
        arrays = (groups, model.logs, wide, model.classes)
        body += b"".join(array.tobytes() for array in arrays)
    head = json.dumps(heads).encode()
    packed = zlib.compress(len(head).to_bytes(4, "little") + head + body, 9)
    return zlib.crc32(packed).to_bytes(4, "little") + packed


def load(packed: bytes, vocab_size: int) -> dict[str, Model]:
    """The models that `dump` wrote.

    Args:
        packed: from a shard's file.
        vocab_size: V of the store.

    Returns:
        Name to model.

    Raises:
        ValueError: they are damaged, or of another vocabulary.
    """
    whole = _unpacked(packed, vocab_size)
    size = 4 + int.from_bytes(whole[:4], "little")
    heads = json.loads(whole[4:size])
    if not isinstance(heads, dict):
        raise ValueError("the entropy models have no names")
    models, at = {}, size

    def take(count: int) -> NDArray[np.uint8]:
        nonlocal at
        at += count
        return np.frombuffer(whole, np.uint8, count, at - count)

    for name, head in heads.items():
        contexts, groups, buckets, num_listed, num_ids = _counts_of(name, head, vocab_size)
        group_of = np.frombuffer(take(2 * contexts).tobytes(), "<u2").astype(np.uint16)
        logs = take(groups * buckets).reshape(groups, buckets)
        wide = np.ascontiguousarray(take(4 * num_listed).reshape(4, num_listed).T)
        gaps = wide.view("<u4").reshape(-1).astype(np.int64)
        listed, num_kinds = np.cumsum(gaps), contexts // CONTEXTS
        if (gaps[1:] < 1).any() or listed.max(initial=-1) >= num_kinds * num_ids:
            raise ValueError(f"the entropy model {name!r} lists impossible ids")
        frame = _frame(num_ids, num_kinds, listed, take(num_listed))
        _refuse_tables(name, frame, group_of, logs)
        models[name] = _with_tables(frame, group_of, logs)
    if at != len(whole):
        raise ValueError("the entropy models are followed by something else")
    return models


def _unpacked(packed: bytes, vocab_size: int) -> bytes:
    """What was compressed, never more than models of this vocabulary can be."""
    if zlib.crc32(packed[4:]) != int.from_bytes(packed[:4], "little"):
        raise ValueError("the checksum of the entropy models differs")
    stream = zlib.decompressobj()
    try:
        whole = stream.decompress(
            packed[4:], _PLAIN_BYTES + _LISTED_BYTES * (MOST_KINDS + 1) * vocab_size
        )
    except zlib.error as error:
        raise ValueError(f"the entropy models cannot be unpacked: {error}") from error
    if not stream.eof or stream.unused_data:
        raise ValueError("the entropy models have an impossible size")
    return whole


def _counts_of(name: str, head: object, vocab_size: int) -> list[int]:
    """Contexts, groups, buckets, listed ids and ids of a model."""
    if not isinstance(head, list) or [type(count) for count in head] != [int] * 5:
        raise ValueError(f"the entropy model {name!r} does not say its size")
    contexts, groups, buckets, num_listed, num_ids = head
    if min(contexts, groups, buckets) < 1 or num_listed < 0:
        raise ValueError(f"the entropy model {name!r} has the impossible size {head}")
    if num_ids not in (0, vocab_size):
        raise ValueError(f"the entropy model {name!r} knows {num_ids} ids, not {vocab_size}")
    if num_ids and (contexts % CONTEXTS or contexts > CONTEXTS * (MOST_KINDS + 1)):
        raise ValueError(f"the entropy model {name!r} has {contexts} contexts")
    return head


def _refuse_tables(
    name: str, frame: Model, groups: NDArray[np.uint16], logs: NDArray[np.uint8]
) -> None:
    if groups.max() >= len(logs):
        raise ValueError(f"the entropy model {name!r} names a group that it has not")
    if logs.shape[1] > max(2, frame.edges.shape[1]) or logs.max() >= len(_FREQUENCIES):
        raise ValueError(f"the entropy model {name!r} holds an impossible frequency")


def _worth_listing(keys: Ints, totals: Ints, vocab_size: int) -> NDArray[np.bool_]:
    """(n,) where a kind of position gains more from an id of its own than its listing costs."""
    kinds, ids = np.divmod(keys, vocab_size)
    by_id = np.bincount(ids, totals, vocab_size)
    by_kind = np.bincount(kinds, totals)
    gain = totals / by_kind[kinds] / (by_id[ids] / totals.sum())
    return np.asarray((kinds > 0) & (totals * np.log2(gain) > _LISTING_BITS))


def _frame(vocab_size: int, num_kinds: int, listed: Ints, classes: NDArray[np.uint8]) -> Model:
    """A model without frequencies."""
    empty = (np.zeros(0, np.uint16), np.zeros((0, 0), np.uint8), ())
    if not vocab_size:
        return Model(_EDGES[None], _SIZES[None], *empty, _NO_IDS, _NO_IDS, _NO_CLASSES, _NO_IDS)
    kinds = listed // vocab_size
    num_common = int((kinds == 0).sum())
    # Rare ids stay in the order of ids, which in most vocabularies is the order of frequency.
    rare = np.setdiff1d(np.arange(vocab_size), listed[:num_common], assume_unique=True)
    order = np.lexsort((listed, -classes.astype(np.int64), kinds))
    common, own = order[:num_common], order[num_common:]
    ids = np.concatenate([listed[common], rare, listed[own] % vocab_size])
    ranks = np.empty(vocab_size + len(listed), np.int64)
    ranks[ids[:vocab_size]] = np.arange(vocab_size)
    ranks[vocab_size + own] = vocab_size + np.arange(len(own))

    num_own = int(classes[num_common:].max(initial=0)) + 1 if len(own) else 0
    cells = kinds[own] * num_own + classes[own]
    sizes = np.bincount(cells, minlength=num_kinds * num_own).reshape(num_kinds, num_own)
    firsts = np.full(num_kinds * num_own, vocab_size)
    firsts[cells[::-1]] = vocab_size + np.arange(len(own))[::-1]
    edges = _common_edges(vocab_size, classes[:num_common])
    wide = np.broadcast_to(np.diff(edges, append=vocab_size), (num_kinds, len(edges)))
    return Model(
        np.concatenate(
            [firsts.reshape(num_kinds, num_own), np.broadcast_to(edges, wide.shape)], axis=1
        ),
        np.concatenate([sizes, wide], axis=1),
        *empty,
        ids,
        listed,
        classes,
        ranks,
    )


def _common_edges(vocab_size: int, classes: NDArray[np.uint8]) -> Ints:
    ends = np.cumsum(np.bincount(classes)[::-1]) if len(classes) else _NO_IDS
    octaves = len(classes) + 2 ** np.arange(8, 32)
    inner = np.concatenate([ends, octaves])
    return np.unique(np.concatenate([[0], inner[inner < vocab_size]]))


def _with_tables(frame: Model, groups: NDArray[np.uint16], logs: NDArray[np.uint8]) -> Model:
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


def _grouped(
    counts: Ints, by_context: Ints | None = None
) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """The cheapest of few ways to group contexts: their groups and (G, B) frequencies."""
    num_contexts = len(counts)
    means = counts @ np.arange(counts.shape[1]) / np.maximum(counts.sum(axis=1), 1)
    order = np.argsort(means, kind="stable")
    before = np.cumsum(counts[order].sum(axis=1)) / max(1, int(counts.sum()))
    alike = np.empty(num_contexts, np.int64)
    alike[order] = np.minimum(before * _ALIKE, _ALIKE - 1).astype(np.int64)
    ways = [np.zeros(num_contexts, np.int64), alike]
    if by_context is not None:
        kinds = np.arange(num_contexts) // CONTEXTS
        ways += [by_context, kinds, 6 * kinds + _COARSE_CONTEXTS[by_context]]
    elif num_contexts <= _MOST_GROUPS:
        ways.append(np.arange(num_contexts))
    summed = [_sums(counts, groups) for groups in ways]
    best = int(np.argmin([_bits(each) for each in summed]))
    return ways[best].astype(np.uint16), _quantise(summed[best])


def _sums(counts: Ints, groups: Ints) -> Ints:
    sums = np.zeros((int(groups.max(initial=0)) + 1, counts.shape[1]), np.int64)
    np.add.at(sums, groups, counts)
    return sums


def _bits(counts: Ints) -> float:
    """Of all numbers, what the frequencies themselves cost included."""
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
