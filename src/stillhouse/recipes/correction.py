"""The section `corrections` of a recipe: values of a document that it does not take."""

from __future__ import annotations

from stillhouse.recipes.section import Section


class Correction(Section):
    """One value of a document that this recipe does not take.

    Attributes:
        key: of this recipe, dotted, such as `train.kd_temperature`; a number is a place in a list.
        document: what the document says there.
        why: one sentence, without a full stop.
    """

    key: str
    document: str | int | float | bool | tuple[str, ...] | None
    why: str
