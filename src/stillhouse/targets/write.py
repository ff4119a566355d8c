"""Writing a store of targets so that a crash costs at most one unfinished shard."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow.parquet as pq

from stillhouse.core.errors import ArtifactError
from stillhouse.core.files import disk_full_is_clear, write_json
from stillhouse.core.hashing import digest_file
from stillhouse.core.targets import TokenTargets
from stillhouse.targets import header as header_file
from stillhouse.targets import index as index_file
from stillhouse.targets.checks import check
from stillhouse.targets.codec import checksum, pack
from stillhouse.targets.damage import damage_is_clear
from stillhouse.targets.header import TargetHeader, refuse_mismatch
from stillhouse.targets.index import ShardEntry, StoreIndex
from stillhouse.targets.shard import ROW, read_models, shard_name, write_shard


class TargetWriter:
    """Appends targets to a store, in the order of the examples, and resumes an unfinished one.

        with TargetWriter(folder, header, 512) as writer:
            for example in examples[writer.done :]:
                writer.append(score(example))

    The files' bytes depend on header, examples and `shard_examples` alone, not on interruptions.
    A shard is packed when it is full: until then its targets stay in memory, 16 + 8 K bytes a
    token (27 MB for 512 examples of 100 tokens at K = 64), and packing needs 3 kB a token more.

    Args:
        folder: the store; made when missing.
        header: of all targets in it.
        shard_examples: examples a shard; what a crash loses at most.

    Raises:
        ArtifactError: the folder holds targets with another header; each difference is named.
    """

    def __init__(self, folder: Path, header: TargetHeader, shard_examples: int) -> None:
        if shard_examples < 1:
            raise ValueError(f"shard_examples is {shard_examples}; at least 1 is needed")
        self._folder = folder
        self._header = header
        self._shard_examples = shard_examples
        self._waiting: list[TokenTargets] = []
        with disk_full_is_clear(folder):
            folder.mkdir(parents=True, exist_ok=True)
            if (folder / header_file.FILE_NAME).exists():
                refuse_mismatch(TargetHeader.load(folder), header)
            else:
                write_json(folder / header_file.FILE_NAME, header.model_dump(mode="json"))
        self._is_closed = (folder / index_file.FILE_NAME).exists()
        if self._is_closed:
            self._entries = list(StoreIndex.load(folder).shards)
        else:
            self._entries = self._keep_whole_shards()

    @property
    def done(self) -> int:
        """Examples that are stored and will survive a crash."""
        return sum(entry.num_rows for entry in self._entries)

    @property
    def is_closed(self) -> bool:
        """True when the store is finished."""
        return self._is_closed

    def append(self, targets: TokenTargets) -> None:
        """Add one example; the shard is written when it is full.

        Args:
            targets: of the example after the last one.

        Raises:
            ArtifactError: the store is finished.
            ShapeError: the arrays do not match the header.
            StillhouseError: an array holds NaN, or a token that the vocabulary has not.
            DiskFullError: no space left; whole shards are kept.
        """
        if self._is_closed:
            raise ArtifactError(
                f"the store of targets {self._folder} is finished and takes no more examples",
                "write to another folder",
            )
        check(targets, self._header)
        self._waiting.append(targets)
        if len(self._waiting) == self._shard_examples:
            self._write_shard()

    def close(self) -> None:
        """Write the last, perhaps shorter shard, then the index: the store is finished."""
        if self._is_closed:
            return
        with disk_full_is_clear(self._folder):
            if self._waiting:
                self._write_shard()
            StoreIndex(shards=tuple(self._entries)).save(self._folder)
        self._is_closed = True

    def abandon(self) -> None:
        """Stop without finishing; a later writer goes on after the last whole shard."""
        self._waiting = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()

    def _write_shard(self) -> None:
        path = self._folder / shard_name(len(self._entries))
        with disk_full_is_clear(self._folder):
            write_shard(path, pack(self._waiting, self._header))
        num_tokens = sum(len(targets.token_ids) for targets in self._waiting)
        self._entries.append(_describe(path, len(self._waiting), num_tokens))
        self._waiting = []

    def _keep_whole_shards(self) -> list[ShardEntry]:
        """The full shards from the first on; what follows them is deleted and made again.

        A shorter shard was the last one of a writer that died before it wrote the index.
        """
        for torn in self._folder.glob(".shard-*.tmp"):
            torn.unlink()
        kept: list[ShardEntry] = []
        for path in sorted(self._folder.glob("shard-*.parquet")):
            is_next = path.name == shard_name(len(kept))
            entry = _read_entry(path, self._header.vocab_size) if is_next else None
            if entry is None or entry.num_rows != self._shard_examples:
                break
            kept.append(entry)
        for path in sorted(self._folder.glob("shard-*.parquet"))[len(kept) :]:
            path.unlink()
        return kept


def _read_entry(path: Path, vocab_size: int) -> ShardEntry | None:
    """What the index says of a shard; None for a damaged one, whatever the damage."""
    num_rows, num_tokens = 0, 0
    try:
        with damage_is_clear(path), pq.ParquetFile(path) as file:
            read_models(file, vocab_size)
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, columns=list(ROW), use_threads=False)
                for row in table.to_pylist():
                    if checksum(row) != row["crc32"]:
                        return None
                    num_rows, num_tokens = num_rows + 1, num_tokens + row["num_tokens"]
    except ArtifactError:
        return None
    return _describe(path, num_rows, num_tokens)


def _describe(path: Path, num_rows: int, num_tokens: int) -> ShardEntry:
    return ShardEntry(
        name=path.name,
        sha256=digest_file(path),
        num_bytes=path.stat().st_size,
        num_rows=num_rows,
        num_tokens=num_tokens,
    )
