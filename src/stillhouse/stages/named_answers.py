"""The whole answers that name each class: a plain answer, or one field of a JSON answer."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Example
from stillhouse.data.json_spans import value_span
from stillhouse.evals.answers import parse_object
from stillhouse.recipes.answers import Class, name_class
from stillhouse.stages.corpus import Corpus
from stillhouse.tokens.encode import EncodedConversation

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class NamedAnswers:
    """How classes become answers.

    Attributes:
        classes: at least two, all different.
        field: of a JSON answer; None where the whole answer is the class.
    """

    classes: tuple[Class, ...]
    field: str | None = None

    @classmethod
    def of_config(cls, config: Mapping[str, Any]) -> NamedAnswers:
        """As an instance's configuration names them."""
        return cls(tuple(config["classes"]), config["field"])

    @property
    def names(self) -> tuple[str, ...]:
        """The classes as text."""
        return tuple(map(name_class, self.classes))

    def place_in(self, answer: str | None) -> int | None:
        """Which class an answer names; None where it names none of them."""
        if answer is None:
            return None
        if self.field is None:
            name = answer.strip()
        else:
            value = (parse_object(answer) or {}).get(self.field)
            if not isinstance(value, str | bool | int):
                return None
            name = name_class(value)
        return self.names.index(name) if name in self.names else None

    def has_room(self, answer: str | None) -> bool:
        """Whether every class can be put into an answer."""
        return self.field is None or (
            answer is not None and value_span(answer, self.field) is not None
        )

    def answers(self, answer: str) -> tuple[str, ...]:
        """An answer with each class put in, the rest as it stands.

        Args:
            answer: for which `has_room` holds; not looked at where the whole answer is the class.

        Returns:
            One a class.
        """
        if self.field is None:
            return self.names
        span = value_span(answer, self.field)
        assert span is not None
        before, after = answer[: span[0]], answer[span[1] :]
        return tuple(
            f"{before}{json.dumps(one, ensure_ascii=False)}{after}" for one in self.classes
        )

    def ends(self, answer: str) -> tuple[int, ...]:
        """How many characters of each of `answers` tell its class.

        Args:
            answer: for which `has_room` holds.

        Returns:
            One a class; none where the whole answer is the class.
        """
        span = value_span(answer, self.field) if self.field else None
        if span is None:
            return ()
        # A number or a truth value goes on until something else stands there: 1 begins 10.
        return tuple(
            span[0] + len(json.dumps(one, ensure_ascii=False)) + (not isinstance(one, str))
            for one in self.classes
        )

    def encode(self, corpus: Corpus, example: Example, answer: str) -> list[EncodedConversation]:
        """The example's conversation with each of these answers, as token ids."""
        return [corpus.encode(example, one) for one in self.answers(answer)]


def require_different_tokens(named: NamedAnswers, corpus: Corpus, example: Example) -> None:
    """Make sure that no two classes are one to the tokenizer, and none is nothing.

    Args:
        named: the classes.
        corpus: whose tokenizer it is.
        example: any; with an answer that has room for them where they are a field of it.

    Raises:
        InputError: names the classes.
    """
    seen = {_answer_ids(corpus.encode(example, "")): ""} if named.field is None else {}
    for name, one in zip(
        named.names, named.encode(corpus, example, example.answer or ""), strict=True
    ):
        other = seen.setdefault(_answer_ids(one), name)
        if other != name:
            same = f"and {other!r} are the same tokens" if other else "has no token of its own"
            raise InputError(
                f"label.classes: {name!r} {same} to this tokenizer, so that no model can tell",
                "name it in other words",
            )


def _answer_ids(one: EncodedConversation) -> tuple[int, ...]:
    return tuple(one.ids[one.last_answer].tolist())


def strangers(named: NamedAnswers, examples: Iterable[Example]) -> dict[str, int]:
    """Gold answers that are none of the classes, the most frequent first, with their counts.

    Args:
        named: the classes.
        examples: those without an answer do not count.

    Returns:
        The answer, or the text of its field, to the number of examples.
    """
    found: dict[str, int] = {}
    for example in examples:
        if example.answer is not None and named.place_in(example.answer) is None:
            said = _said(named, example.answer)
            found[said] = found.get(said, 0) + 1
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def refuse_strangers_alone(
    named: NamedAnswers, examples: Sequence[Example], found: dict[str, int]
) -> None:
    """Raise InputError where there are gold answers, and not one of them is a class."""
    answered = sum(example.answer is not None for example in examples)
    if answered and sum(found.values()) == answered:
        first = ", ".join(repr(name) for name in list(found)[:_SHOWN])
        raise InputError(
            f"not one of {answered:,} gold answers is among label.classes; they are {first}",
            f"label.classes has {', '.join(map(repr, named.names[:_SHOWN]))}: name the classes as "
            "the answers do, letter by letter",
        )


def _said(named: NamedAnswers, answer: str) -> str:
    span = value_span(answer, named.field) if named.field else None
    return answer[slice(*span)] if span else answer
