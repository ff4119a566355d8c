"""The last file of a finished store: its shards with their checksums and sizes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from stillhouse.core.errors import ArtifactError
from stillhouse.core.files import write_json

FILE_NAME = "index.json"


class ShardEntry(BaseModel):
    """One shard.

    Attributes:
        name: of the file.
        sha256: of its bytes.
        num_bytes: its size.
        num_rows: examples.
        num_tokens: answer tokens of all examples.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    sha256: str
    num_bytes: int
    num_rows: int
    num_tokens: int


class StoreIndex(BaseModel):
    """All shards, in order; its presence says that the store is finished."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    shards: tuple[ShardEntry, ...]

    @property
    def num_rows(self) -> int:
        """Examples in all shards."""
        return sum(shard.num_rows for shard in self.shards)

    @property
    def num_tokens(self) -> int:
        """Answer tokens in all shards."""
        return sum(shard.num_tokens for shard in self.shards)

    def save(self, folder: Path) -> None:
        """Write it to a store's folder, atomically."""
        write_json(folder / FILE_NAME, self.model_dump())

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The index of a finished store.

        Args:
            folder: the store.

        Returns:
            The index.

        Raises:
            ArtifactError: the store was not finished, or the file cannot be read.
        """
        path = folder / FILE_NAME
        try:
            return cls.model_validate(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError as error:
            raise ArtifactError(
                f"the store of targets {folder} was not finished: it has no {FILE_NAME}",
                "run the label stage again; whole shards are kept",
            ) from error
        except (ValueError, ValidationError) as error:
            raise ArtifactError(
                f"{path} cannot be read: {error}", "delete the folder and run the label stage again"
            ) from error
