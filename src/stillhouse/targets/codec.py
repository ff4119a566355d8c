"""Examples as packed bytes, a shard at a time: its models are fitted to it and stored with it."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.core.targets import TargetKey, TokenTargets
from stillhouse.targets.checks import check
from stillhouse.targets.entropy import Counter, Decoder, Encoder
from stillhouse.targets.header import TargetHeader
from stillhouse.targets.kinds import find_kinds
from stillhouse.targets.layout import walk
from stillhouse.targets.models import Model, dump
from stillhouse.targets.rows import entries, quantise, restore

KEY = ("example_id", "completion_digest", "view_digest")


@dataclass(frozen=True, slots=True)
class PackedShard:
    """What a shard's file holds.

    Attributes:
        rows: column name to value, one an example.
        models: the entropy models that the rows need, packed.
    """

    rows: tuple[dict[str, Any], ...]
    models: bytes


def pack(examples: Sequence[TokenTargets], header: TargetHeader) -> PackedShard:
    """Examples as the content of one shard.

    Args:
        examples: checked, in order.
        header: of the store.

    Returns:
        Rows with their checksums, and the models.
    """
    found = shard_kinds(examples, header)
    counter = Counter(header.vocab_size)
    for targets, kinds in zip(examples, found, strict=True):
        rows = replace(quantise(targets, header), kinds=kinds)
        walk(counter, header, len(kinds), rows)
    models = counter.fit()
    packed = []
    for targets, kinds in zip(examples, found, strict=True):
        encoder = Encoder(models)
        rows = replace(quantise(targets, header), kinds=kinds)
        walk(encoder, header, len(kinds), rows)
        packed.append(_row(targets, encoder.finish()))
    return PackedShard(tuple(packed), dump(models))


def shard_kinds(examples: Sequence[TokenTargets], header: TargetHeader) -> list[NDArray[np.int64]]:
    """For each example of a shard the kinds of its positions; no ids are coded of `full`."""
    if header.codec == "full":
        return [np.zeros(len(targets.token_ids), np.int64) for targets in examples]
    ids = [entries(quantise(targets, header)) for targets in examples]
    return find_kinds(ids, header.vocab_size)


def unpack(
    row: Mapping[str, Any], header: TargetHeader, models: Mapping[str, Model]
) -> TokenTargets:
    """The targets of a stored row, with arrays of their own that may be written to.

    Args:
        row: column name to value, as `pack` made it; its checksum was compared before.
        header: of the store.
        models: of the row's shard.

    Returns:
        Arrays of the shapes that `TokenTargets` states.

    Raises:
        ValueError: the row does not hold what `pack` makes; damage may raise other errors too.
        StillhouseError: it holds targets that `check` refuses.
    """
    decoder = Decoder(models, row["targets"])
    with np.errstate(all="ignore"):  # of damaged numbers; what they become is refused below
        rows = walk(decoder, header, int(row["num_tokens"]), None)
        decoder.refuse_rest()
        targets = restore(rows, TargetKey(*(str(row[name]) for name in KEY)), header)
        check(targets, header)
    return targets


def checksum(row: Mapping[str, Any]) -> int:
    """crc32 over a row's key, size and packed targets."""
    words = "\0".join(str(row[name]) for name in (*KEY, "num_tokens"))
    return zlib.crc32(row["targets"], zlib.crc32(words.encode()))


def _row(targets: TokenTargets, packed: bytes) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(targets.key, name) for name in KEY}
    row |= {"num_tokens": len(targets.token_ids), "targets": packed}
    row["crc32"] = checksum(row)
    return row
