"""What the settings of every step of `prepare.steps` share."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from stillhouse.recipes.encoders import Encoder
from stillhouse.recipes.section import Section

FieldName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class Step(Section):
    """One step of `prepare.steps`.

    Attributes:
        name: of the step.
    """

    name: str

    @property
    def encoder(self) -> Encoder | None:
        """The model that makes vectors of the rows' texts; None where the step needs none."""
        made_by = getattr(self, "by", None)
        return made_by if isinstance(made_by, Encoder) else None
