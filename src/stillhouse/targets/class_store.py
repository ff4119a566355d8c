"""Class targets on disk: a row an example in Parquet files that any reader opens.

    example_id  input            classes         probs         hard_label  confidence  answer
    row-1       is it open?      [yes, no]       [0.9, 0.1]    yes         0.9         yes

Shards are written whole or not at all. `header.json` says whose probabilities these are,
`index.json` stands last and holds each shard's checksum.

Legend: C classes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from stillhouse.core.errors import ArtifactError
from stillhouse.core.files import disk_full_is_clear, sync_folder, write_json
from stillhouse.core.hashing import digest_file
from stillhouse.targets.damage import MEND, damage_is_clear
from stillhouse.targets.header import FILE_NAME, refuse_mismatch
from stillhouse.targets.index import ShardEntry, StoreIndex
from stillhouse.targets.shard import shard_name

_TEXT = pa.string()
SCHEMA = pa.schema(
    [
        ("example_id", _TEXT),
        ("input", _TEXT),
        ("classes", pa.list_(_TEXT)),
        ("probs", pa.list_(pa.float64())),
        ("hard_label", _TEXT),
        ("confidence", pa.float64()),
        ("answer", _TEXT),
        ("mass", pa.float64()),
        ("view_digest", _TEXT),
    ]
)


class ClassHeader(BaseModel):
    """Whose probabilities of which classes these are.

    Attributes:
        format_version: of the files.
        engine: `transformers`, or `votes` where people chose.
        weights_digest: of the teacher's weights; empty for votes.
        tokenizer_digest: of the tokenizer that the answers were read with.
        template_digest: of the template in which they were read.
        classes: C names, in the order of every row.
        class_field: the field of a JSON answer that names the class; None for the whole answer.
        dtype: in which the teacher computed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: Literal[1] = 1
    engine: Literal["transformers", "votes"]
    weights_digest: str
    tokenizer_digest: str
    template_digest: str
    classes: tuple[str, ...]
    class_field: str | None = None
    dtype: str = "float32"

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The header of a store; raises ArtifactError where it is missing or damaged."""
        path = folder / FILE_NAME
        try:
            return cls.model_validate(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise ArtifactError(
                f"{folder} is no store of class targets: it has no {FILE_NAME}",
                "label with label.targets: classes",
            ) from None
        except (ValueError, ValidationError) as error:
            raise ArtifactError(f"{path} cannot be read: {error}", MEND) from error


@dataclass(frozen=True, slots=True, eq=False)
class ClassRecord:
    """What is kept of one example.

    Attributes:
        example_id: the example.
        input: what was asked: its last turn before the answer.
        probs: (C,) float64, 1 in all.
        answer: the whole answer that says the likeliest class.
        mass: what all classes have together among all answers, in [0, 1]; 1 for votes.
        view_digest: of what was read: messages, rest of the answer, template and tokenizer.
    """

    example_id: str
    input: str
    probs: NDArray[np.float64]
    answer: str
    mass: float
    view_digest: str

    @property
    def hard(self) -> int:
        """The place of the likeliest class, the first of equals."""
        return int(self.probs.argmax())

    @property
    def confidence(self) -> float:
        """What the likeliest class has."""
        return float(self.probs.max())


def write_class_shard(path: Path, header: ClassHeader, records: Iterable[ClassRecord]) -> None:
    """Write records; nobody sees the file before it is whole and durable.

    Args:
        path: of the shard.
        header: names the classes.
        records: of some examples.
    """
    rows = [_row(header, record) for record in records]
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with disk_full_is_clear(path.parent):
            with temporary.open("wb") as stream:
                pq.write_table(pa.Table.from_pylist(rows, SCHEMA), stream, compression="zstd")
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
            sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def read_class_shard(path: Path) -> list[ClassRecord]:
    """The records of a shard; raises ArtifactError where it is damaged."""
    with damage_is_clear(path), pq.ParquetFile(path) as file:
        return [_record(row) for row in file.read().to_pylist()]


def gather_class_store(folder: Path, header: ClassHeader, shards: Iterable[Path]) -> int:
    """Make a finished store of shards that lie elsewhere on the same disk.

    Args:
        folder: of the store; made.
        header: of all shards.
        shards: in their order.

    Returns:
        Its bytes.
    """
    folder.mkdir(parents=True)
    entries = []
    for number, shard in enumerate(shards):
        path = folder / shard_name(number)
        os.link(shard, path)
        with pq.ParquetFile(path) as file:
            rows = file.metadata.num_rows
        size = path.stat().st_size
        entries.append(
            ShardEntry(
                name=path.name,
                sha256=digest_file(path),
                num_bytes=size,
                num_rows=rows,
                num_tokens=0,
            )
        )
    write_json(folder / FILE_NAME, header.model_dump(mode="json"))
    StoreIndex(shards=tuple(entries)).save(folder)
    return sum(path.stat().st_size for path in folder.iterdir())


class ClassReader:
    """A finished store in memory, its checksums compared.

    Args:
        folder: the store.
        expected: fields of the header that have to be as given.

    Raises:
        ArtifactError: it is not finished, damaged, or belongs to something else.
    """

    def __init__(self, folder: Path, expected: Mapping[str, Any] | None = None) -> None:
        self.header = ClassHeader.load(folder)
        refuse_mismatch(self.header, expected or {})
        self._records: dict[str, ClassRecord] = {}
        for entry in StoreIndex.load(folder).shards:
            path = folder / entry.name
            if not path.is_file() or digest_file(path) != entry.sha256:
                raise ArtifactError(f"{path} is damaged: its checksum is another one", MEND)
            self._records |= {record.example_id: record for record in read_class_shard(path)}

    def __contains__(self, example_id: str) -> bool:
        return example_id in self._records

    def __len__(self) -> int:
        return len(self._records)

    def get(self, example_id: str, view_digest: str) -> ClassRecord:
        """What is kept of an example.

        Args:
            example_id: which one.
            view_digest: of what is about to be learned; must be what was labelled.

        Returns:
            Its record.

        Raises:
            ArtifactError: there is none, or it belongs to another text.
        """
        record = self._records.get(example_id)
        if record is None:
            raise ArtifactError(
                f"there are no class targets of the example {example_id}", "label its part"
            )
        if record.view_digest != view_digest:
            raise ArtifactError(
                f"the class targets of the example {example_id} belong to another text",
                "label again: prompt, classes, template or tokenizer have changed since",
            )
        return record

    def answer_of(self, example_id: str) -> str:
        """The whole answer that says an example's likeliest class."""
        return self._records[example_id].answer


def _row(header: ClassHeader, record: ClassRecord) -> dict[str, Any]:
    return {
        "example_id": record.example_id,
        "input": record.input,
        "classes": list(header.classes),
        "probs": record.probs.tolist(),
        "hard_label": header.classes[record.hard],
        "confidence": record.confidence,
        "answer": record.answer,
        "mass": record.mass,
        "view_digest": record.view_digest,
    }


def _record(row: Mapping[str, Any]) -> ClassRecord:
    probs = np.array(row["probs"], np.float64)
    record = ClassRecord(
        row["example_id"], row["input"], probs, row["answer"], row["mass"], row["view_digest"]
    )
    if abs(probs.sum() - 1.0) > 1e-9 or row["hard_label"] != row["classes"][record.hard]:
        raise ValueError(f"the probabilities of {record.example_id} are not what was written")
    return record
