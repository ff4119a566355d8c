"""What all targets of one store have in common, and the refusal of what differs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from stillhouse.core.errors import ArtifactError

FILE_NAME = "header.json"
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
        kd_temperatures: the columns of `log_z`, in order; 0 stands in the column of 1.0.
        codec: how arrays are packed.
        dtype: in which the teacher computed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: Literal[1] = 1
    engine: str
    weights_digest: str
    tokenizer_digest: str
    template_digest: str
    vocab_size: int = Field(ge=1)
    top_k: int = Field(ge=1)
    kd_temperatures: tuple[Temperature, ...] = (1.0,)
    codec: Literal["plain"] = "plain"
    dtype: str = "float32"

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
            return cls.model_validate(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError as error:
            raise ArtifactError(
                f"{folder} is no store of targets: it has no {FILE_NAME}",
                "run the label stage first",
            ) from error
        except (ValueError, ValidationError) as error:
            raise ArtifactError(
                f"{path} cannot be read: {error}", "delete the folder and run the label stage again"
            ) from error


def refuse_mismatch(stored: TargetHeader, wanted: TargetHeader | Mapping[str, Any]) -> None:
    """Say nothing when the stored header has all wanted values.

    Args:
        stored: of the store.
        wanted: a whole header, or the fields that matter.

    Raises:
        ArtifactError: names each field that differs, with both values.
    """
    fields = wanted.model_dump() if isinstance(wanted, TargetHeader) else dict(wanted)
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
