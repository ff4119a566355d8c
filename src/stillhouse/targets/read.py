"""Reading a store of targets in any order, in bounded memory, refusing what does not match."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stillhouse.core.errors import ArtifactError
from stillhouse.core.hashing import digest_file
from stillhouse.core.protocols import Progress, no_progress
from stillhouse.core.targets import TargetKey, TokenTargets, first_tokens
from stillhouse.targets.codec import checksum, unpack
from stillhouse.targets.damage import MEND, damage_is_clear
from stillhouse.targets.header import TargetHeader, refuse_mismatch
from stillhouse.targets.index import ShardEntry, StoreIndex
from stillhouse.targets.models import Model
from stillhouse.targets.shard import ROW, read_models

# assumption: a group of rows is 256 KiB or one example (targets/shard.py), so 64 stay below 20 MB;
# open files are far below the usual limit of 1024.
_GROUPS_KEPT = 64
_FILES_KEPT = 32

K = TypeVar("K")
V = TypeVar("V")
Place = tuple[int, int, int]
"""Shard, group of rows, row in the group."""


class _Recent(Generic[K, V]):
    """The values made last, at most `size` of them."""

    def __init__(self, make: Callable[[K], V], size: int) -> None:
        self._make = make
        self._size = size
        self._kept: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V:
        if key not in self._kept:
            self._kept[key] = self._make(key)
            if len(self._kept) > self._size:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]


class TargetReader:
    """A finished store of targets.

    Args:
        folder: the store.
        expected: what its header must hold: all of it, some fields, or None for anything.

    Raises:
        ArtifactError: the header differs (each field is named), the store was not finished, a
            shard is missing or has another size, or an example stands in it twice.
    """

    def __init__(
        self, folder: Path, expected: TargetHeader | Mapping[str, Any] | None = None
    ) -> None:
        self._folder = folder
        self.header = TargetHeader.load(folder)
        if expected is not None:
            refuse_mismatch(self.header, expected)
        self._index = StoreIndex.load(folder)
        self._files = _Recent(self._open_file, _FILES_KEPT)
        self._groups = _Recent(self._read_group, _GROUPS_KEPT)
        self._models = _Recent(self._read_models, _FILES_KEPT)
        self._places: dict[str, Place] = {}
        for number, shard in enumerate(self._index.shards):
            self._add_places(number, shard)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, example_id: object) -> bool:
        return example_id in self._places

    @property
    def example_ids(self) -> tuple[str, ...]:
        """All examples, in the order in which they were written."""
        return tuple(self._places)

    @property
    def num_tokens(self) -> int:
        """Answer tokens of all examples."""
        return self._index.num_tokens

    def get(self, example_id: str) -> TokenTargets:
        """The targets of one example; its arrays may be written to.

        Args:
            example_id: the example.

        Returns:
            Its targets, the checksum compared.

        Raises:
            ArtifactError: the store has no such example, or its bytes were changed.
        """
        place = self._places.get(example_id)
        if place is None:
            raise ArtifactError(
                f"the store of targets {self._folder} has nothing for the example {example_id!r}",
                "label the part that this example belongs to",
            )
        shard, group, offset = place
        with damage_is_clear(self._path(shard), example_id):
            table = self._groups.get((shard, group))
            models = self._models.get(shard)
            row: dict[str, Any] = {name: table[name][offset].as_py() for name in table.column_names}
            if checksum(row) != row["crc32"]:
                raise ArtifactError(
                    f"the targets of example {example_id!r} in {self._path(shard)} are damaged: "
                    "their checksum differs",
                    MEND,
                )
            return unpack(row, self.header, models)

    def get_prefix(
        self, example_id: str, token_ids: NDArray[np.int32], byte_offsets: NDArray[np.int32]
    ) -> TokenTargets:
        """The targets of the tokens that the store and a reader of another length share.

        A teacher sees only what stands before a token, so that a shorter or longer context on
        the right changes nothing.

        Args:
            example_id: the example.
            token_ids: (P,) the reader's trained tokens.
            byte_offsets: (P, 2) their spans, as `TokenTargets` has them.

        Returns:
            Targets of the first min(P, stored) tokens.

        Raises:
            ArtifactError: the store has no such example, or the shared tokens differ.
        """
        stored = self.get(example_id)
        shared = min(len(token_ids), len(stored.token_ids))
        _refuse_other_tokens(stored, token_ids, byte_offsets, shared)
        return first_tokens(stored, shared)

    def get_for(self, key: TargetKey) -> TokenTargets:
        """The targets of one example, if they belong to exactly this.

        Args:
            key: what the reader is about to train on.

        Returns:
            As `get` does.

        Raises:
            ArtifactError: there is no such example, or a digest differs; names which.
        """
        targets = self.get(key.example_id)
        stored = targets.key
        if stored.completion_digest != key.completion_digest:
            raise ArtifactError(
                f"the answer of example {key.example_id!r} is not the one that was scored: "
                f"completion_digest is {stored.completion_digest}, wanted is "
                f"{key.completion_digest}",
                "label again: the answers, the tokenizer or the template changed",
            )
        if stored.view_digest != key.view_digest:
            raise ArtifactError(
                f"the teacher saw example {key.example_id!r} otherwise: view_digest is "
                f"{stored.view_digest}, wanted is {key.view_digest}",
                "label again: the prompt, the tokenizer or the template changed",
            )
        return targets

    def verify(self, progress: Progress = no_progress) -> None:
        """Read everything and compare every checksum, of rows and of shards.

        Args:
            progress: hears of every checksum.

        Raises:
            ArtifactError: names the first example, else the first shard, that is damaged.
        """
        total = len(self._places) + len(self._index.shards)
        for done, example_id in enumerate(self._places, 1):
            self.get(example_id)
            progress(done, total, "checksums")
        for number, shard in enumerate(self._index.shards):
            if digest_file(self._path(number)) != shard.sha256:
                raise ArtifactError(f"{self._path(number)} is damaged: its sha256 differs", MEND)
            progress(len(self._places) + number + 1, total, "checksums")

    def _path(self, shard: int) -> Path:
        return self._folder / self._index.shards[shard].name

    def _add_places(self, number: int, shard: ShardEntry) -> None:
        path = self._path(number)
        size = path.stat().st_size if path.is_file() else None
        if size != shard.num_bytes:
            what = "is missing" if size is None else f"has {size} bytes"
            raise ArtifactError(f"{path} {what}; {shard.num_bytes} bytes are wanted", MEND)
        sizes = [np.zeros(0, np.int64)]
        with damage_is_clear(path):
            file = self._files.get(number)
            for group in range(file.num_row_groups):
                table = file.read_row_group(
                    group, columns=["example_id", "num_tokens"], use_threads=False
                )
                sizes.append(np.array(table["num_tokens"].to_pylist(), np.int64))
                for offset, example_id in enumerate(map(str, table["example_id"].to_pylist())):
                    if example_id in self._places:
                        raise ArtifactError(f"{path} holds the example {example_id!r} again", MEND)
                    self._places[example_id] = (number, group, offset)
        _refuse_other_sizes(path, np.concatenate(sizes), shard)

    def _open_file(self, shard: int) -> pq.ParquetFile:
        return pq.ParquetFile(self._path(shard), memory_map=True)

    def _read_group(self, place: tuple[int, int]) -> pa.Table:
        shard, group = place
        return self._files.get(shard).read_row_group(group, columns=list(ROW), use_threads=False)

    def _read_models(self, shard: int) -> dict[str, Model]:
        return read_models(self._files.get(shard), self.header.vocab_size)


def _refuse_other_sizes(path: Path, num_tokens: NDArray[np.int64], shard: ShardEntry) -> None:
    """Before anything is decoded, which would make arrays of these sizes."""
    rows, tokens = len(num_tokens), int(num_tokens.sum())
    if num_tokens.min(initial=0) < 0 or (rows, tokens) != (shard.num_rows, shard.num_tokens):
        raise ArtifactError(
            f"{path} is damaged: it holds {rows} examples of {tokens} tokens; the index says "
            f"{shard.num_rows} of {shard.num_tokens}",
            MEND,
        )


def _refuse_other_tokens(
    stored: TokenTargets,
    token_ids: NDArray[np.int32],
    byte_offsets: NDArray[np.int32],
    shared: int,
) -> None:
    same_ids = stored.token_ids[:shared] == token_ids[:shared]
    same_spans = (stored.byte_offsets[:shared] == byte_offsets[:shared]).all(axis=1)
    if same_ids.all() and same_spans.all():
        return
    at = int((~(same_ids & same_spans)).argmax())
    what = (
        f"token {at} of the answer is {int(stored.token_ids[at])} in the store and "
        f"{int(token_ids[at])} here"
        if not same_ids[at]
        else f"token {at} of the answer stands at bytes {stored.byte_offsets[at].tolist()} in the "
        f"store and at {np.asarray(byte_offsets[at]).tolist()} here"
    )
    raise ArtifactError(
        f"the answer of example {stored.key.example_id!r} is not a prefix of the one that was "
        f"scored, nor the other way round: {what}",
        "label again with this context; a conversation that was cut on the left, or another "
        "tokenizer or template, gives other targets",
    )
