"""What one field of an answer is, so that it can be measured as what it is."""

from __future__ import annotations

import json
import math
from typing import Literal, Self

from pydantic import Field, model_validator

from stillhouse.recipes.section import NotNegative, Section

Class = str | bool | int
"""A class as it stands in an answer; true and false may be classes too."""

_READ_BY = {
    "label": frozenset({"classes", "positive"}),
    "labels": frozenset({"classes"}),
    "number": frozenset({"low", "high", "within"}),
    "text": frozenset[str](),
}
"""Which keys a kind reads."""


class AnswerKind(Section):
    """What a field of the answers is; a plain answer is one field, `answer`.

    Attributes:
        kind: `label` is one class, `labels` a list of classes whose order does not count, `number`
            lies on a scale, `text` is compared by its words.
        classes: of a label, or of labels: all there are; any other answer is wrong, and unreadable
            where one class is asked for. Without them a label's are those of the references and
            of `positive`, and labels have no macro averages.
        positive: of a label: the classes that are the positive side of precision, recall and
            rates of error; without them only averages over classes are measured.
        low: of a number: the scale's lower end; an answer below it is unreadable.
        high: of a number: the scale's upper end; an answer above it is unreadable.
        within: of a number: the largest difference from the reference that is near enough.
    """

    kind: Literal["label", "labels", "number", "text"]
    classes: tuple[Class, ...] = ()
    positive: tuple[Class, ...] = ()
    low: float | None = Field(default=None, allow_inf_nan=False)
    high: float | None = Field(default=None, allow_inf_nan=False)
    within: NotNegative | None = None

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes as text."""
        return tuple(map(name_class, self.classes))

    @property
    def positive_names(self) -> frozenset[str]:
        """The positive classes as text."""
        return frozenset(map(name_class, self.positive))

    @property
    def scale(self) -> tuple[float, float]:
        """Both ends of a number's scale."""
        return (
            -math.inf if self.low is None else self.low,
            math.inf if self.high is None else self.high,
        )

    @model_validator(mode="after")
    def _keys_belong_to_the_kind(self) -> Self:
        # A default that is spelled out is let pass: a recipe shown in full says every one of them.
        changed = {name for name, value in self if value != type(self).model_fields[name].default}
        unread = sorted(changed - {"kind"} - _READ_BY[self.kind])
        if unread:
            owner = next(name for name, keys in _READ_BY.items() if unread[0] in keys)
            raise ValueError(
                f"{unread[0]} is read by kind: {owner}, not by kind: {self.kind}; remove it, or "
                "change the kind"
            )
        return self

    @model_validator(mode="after")
    def _scale_is_whole(self) -> Self:
        if self.kind != "number":
            return self
        if self.low is None or self.high is None:
            raise ValueError("a number needs both ends of its scale: low and high")
        if self.low >= self.high:
            raise ValueError(f"low is {self.low:g} and high is {self.high:g}; low must be smaller")
        if self.within is not None and self.within >= self.high - self.low:
            raise ValueError(
                f"within is {self.within:g}, which every answer from {self.low:g} to "
                f"{self.high:g} keeps; it must be below {self.high - self.low:g}"
            )
        return self

    @model_validator(mode="after")
    def _classes_are_apart(self) -> Self:
        for key, names in (
            ("classes", self.class_names),
            ("positive", tuple(map(name_class, self.positive))),
        ):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{key} has {twice[0]!r} twice")
        if not self.classes:
            return self
        strangers = sorted(self.positive_names - set(self.class_names))
        if strangers:
            raise ValueError(
                f"positive has {strangers[0]!r}, which is none of the classes "
                f"{', '.join(self.class_names)}"
            )
        if self.positive and len(self.positive) == len(self.classes):
            raise ValueError("every class is positive, so no answer could be a false alarm")
        return self


def name_class(value: Class) -> str:
    """A class as text: blanks at its ends do not count, true and 1 are as JSON writes them."""
    return value.strip() if isinstance(value, str) else json.dumps(value)
