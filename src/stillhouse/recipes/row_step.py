"""What the settings of every step of `prepare.steps` share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Any, ClassVar

from pydantic import Field

from stillhouse.recipes.encoders import Encoder
from stillhouse.recipes.section import Fraction, Section
from stillhouse.recipes.step_engine import StepEngine

FieldName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class Step(Section):
    """One step of `prepare.steps`.

    Attributes:
        name: of the step.
    """

    name: str
    reaches_inside: ClassVar[bool] = False
    """Whether `a.b` names what lies inside a field."""

    @property
    def reads(self) -> tuple[str, ...]:
        """Fields that it has nothing to do without."""
        return ()

    @property
    def makes(self) -> tuple[str, ...]:
        """Fields that it may add to a row."""
        return ()

    @property
    def encoder(self) -> Encoder | None:
        """The model that makes vectors of the rows' texts; None where the step needs none."""
        made_by = getattr(self, "by", None)
        return made_by if isinstance(made_by, Encoder) else None

    @property
    def asked(self) -> Mapping[str, StepEngine]:
        """Who is asked, by the key below the step: `engine`, `engines.0` or `engines.formal`."""
        return {}

    @property
    def answers_fit(self) -> dict[str, Any] | None:
        """The JSON Schema that its engines' answers must fit; None for any text."""
        return None

    def identity(self) -> dict[str, Any]:
        """What the step's result depends on, as JSON values by the keys of the recipe."""
        plain: dict[str, Any] = self.model_dump(mode="json", by_alias=True)
        for place, engine in self.asked.items():
            key, _, inner = place.partition(".")
            if isinstance(plain[key], list):
                plain[key][int(inner)] = engine.identity()
            elif inner:
                plain[key][inner] = engine.identity()
            else:
                plain[key] = engine.identity()
        return plain


class FileStep(Step):
    """One step that reads a file of the user's, which counts by its content.

    Attributes:
        file: JSONL, CSV, ...; relative to the recipe.
    """

    file: str

    def identity(self) -> dict[str, Any]:
        """What the result depends on: of the file its form; its content stands beside it."""
        return super().identity() | {"file": PurePath(self.file).suffix}


class AskingStep(Step):
    """One step that may ask engines.

    Attributes:
        deferred_at_most: share of the rows that may stay without an answer and wait; above it the
            step is not done, and the next run asks for them again. With another share the step is
            done again, as with `--from step@NAME`: asked is only what has no answer yet.
    """

    deferred_at_most: Fraction = 0.0


class MayAsk(AskingStep):
    """One step that asks an engine where it has one, and else keeps to its rule.

    Attributes:
        engine: who is asked; by rule alone when absent.
    """

    engine: StepEngine | None = None

    @property
    def asked(self) -> Mapping[str, StepEngine]:
        """Who is asked."""
        return {"engine": self.engine} if self.engine else {}
