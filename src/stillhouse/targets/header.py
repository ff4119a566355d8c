"""What all targets of one store have in common, and the refusal of what differs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from stillhouse.core.errors import ArtifactError

FILE_NAME = "header.json"
FORMAT: Literal[3] = 3
"""Of the files that this version writes and reads."""
Codec = Literal["full", "top_k", "sampled", "top_k_sampled"]
Temperature = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]


class TargetHeader(BaseModel):
    """Who made the targets, from what, and in which form.

    Attributes:
        format_version: of the files.
        engine: name of the engine that scored.
        weights_digest: of the teacher's weights.
        tokenizer_digest: of the teacher's tokenizer.
        template_digest: of the template in which the teacher saw the conversations.
        vocab_size: of the teacher.
        top_k: kept entries a token.
        num_draws: tokens drawn with replacement a token, outside the kept entries.
        kd_temperatures: the columns of `log_z`, in order; 0 stands in the column of 1.0.
        codec: what is kept: `full` the whole vocabulary, `top_k` the likeliest, `sampled` draws
            alone, `top_k_sampled` the likeliest and draws of the rest.
        dtype: in which the teacher computed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: Literal[3] = FORMAT
    engine: str
    weights_digest: str
    tokenizer_digest: str
    template_digest: str
    vocab_size: int = Field(ge=1)
    top_k: int = Field(ge=0)
    num_draws: int = Field(default=0, ge=0)
    kd_temperatures: tuple[Temperature, ...] = (1.0,)
    codec: Codec = "top_k"
    dtype: str = "float32"

    @model_validator(mode="after")
    def _sizes_fit_the_codec(self) -> Self:
        keeps, draws = self.top_k > 0, self.num_draws > 0
        wanted = {
            "full": (True, False),
            "top_k": (True, False),
            "sampled": (False, True),
            "top_k_sampled": (True, True),
        }[self.codec]
        if (keeps, draws) != wanted or self.top_k > self.vocab_size:
            raise ValueError(
                f"codec {self.codec} does not go with top_k {self.top_k} and num_draws "
                f"{self.num_draws} at vocab_size {self.vocab_size}"
            )
        if self.codec == "full" and self.top_k != self.vocab_size:
            raise ValueError(f"codec full wants top_k {self.vocab_size}, the whole vocabulary")
        if draws and len(self.kd_temperatures) != 1:
            raise ValueError("draws are made at one kd_temperature")
        return self

    @field_validator("kd_temperatures")
    @classmethod
    def _no_temperature_twice(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if len(set(value)) != len(value):
            raise ValueError(f"a kd_temperature stands twice in {list(value)}")
        return value

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The header of a store.

        Args:
            folder: the store.

        Returns:
            The header.

        Raises:
            ArtifactError: it is missing or cannot be read.
        """
        path = folder / FILE_NAME
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            _refuse_older(fields, path)
            return cls.model_validate(fields)
        except FileNotFoundError as error:
            raise ArtifactError(
                f"{folder} is no store of targets: it has no {FILE_NAME}",
                "run the label stage first",
            ) from error
        except (ValueError, ValidationError) as error:
            raise ArtifactError(
                f"{path} cannot be read: {error}", "delete the folder and run the label stage again"
            ) from error


def _refuse_older(fields: Any, path: Path) -> None:
    version = fields.get("format_version") if isinstance(fields, dict) else None
    if isinstance(version, int) and 0 < version < FORMAT:
        raise ArtifactError(
            f"{path} belongs to a store of format_version {version}; this version reads {FORMAT}",
            "label again: older stores are not read",
        )


def refuse_mismatch(stored: BaseModel, wanted: BaseModel | Mapping[str, Any]) -> None:
    """Say nothing when the stored header has all wanted values.

    Args:
        stored: of the store.
        wanted: a whole header, or the fields that matter.

    Raises:
        ArtifactError: names each field that differs, with both values.
    """
    fields = wanted.model_dump() if isinstance(wanted, BaseModel) else dict(wanted)
    have = stored.model_dump()
    unknown = sorted(set(fields) - set(have))
    if unknown:
        raise ArtifactError(f"a target header has no field {', '.join(unknown)}")
    different = [
        f"{name} is {have[name]!r}, wanted is {value!r}"
        for name, value in fields.items()
        if have[name] != (tuple(value) if isinstance(value, list) else value)
    ]
    if different:
        raise ArtifactError(
            "the stored targets belong to something else: " + "; ".join(different),
            "label again with this teacher, tokenizer and template, or point to the store that "
            "belongs to them",
        )
