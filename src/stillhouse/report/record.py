"""What all data of a page is made of: frozen records whose text and numbers survive JSON."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, WithJsonSchema


def writable(text: str) -> str:
    """The text with U+FFFD for each lone surrogate, which no file could hold."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


Text = Annotated[str, AfterValidator(writable)]
Number = Annotated[
    float,
    WithJsonSchema({"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]}),
]
"""A float; JSON has no word for one that is not finite, so that it is written as a string."""


class Content(BaseModel):
    """Frozen plain data; NaN and infinities survive the way through JSON as strings."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")


class Estimate(Content):
    """A number with its interval; `low` and `high` are None where none was computed."""

    value: Number
    low: Number | None = None
    high: Number | None = None
    n: int
