"""Steps that turn exercises into questions: blanks to fill in, and options to choose from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from stillhouse.core.rows import Drop, Keep, Outcome, Row
from stillhouse.data.blanks import ask_for_blanks
from stillhouse.data.choices import Choices, find_choices
from stillhouse.data.option_match import Embed, Match, match_option
from stillhouse.recipes.data_steps import ConvertBlanks, ConvertChoices, DropWhere

_OWN_OPTIONS = re.compile(
    r"\b(?:of|from|among)\s+(?:the|these|those)\s+(?:following|options|choices|below)|"
    r"\b(?:the\s+following|these|those)\s+(?:\w+\s+){0,2}(?:is|are|was|were|would|will|best|can)\b|"
    r"\bbelow\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class DropWhereStep:
    """Ends the rows in which a field says what the recipe names."""

    wanted: DropWhere
    name: str = "drop_where"
    version: int = 1
    kind: str = "map"

    def process(self, batch: Sequence[Row]) -> list[Outcome]:
        """Drop what matches; a row without the field is kept."""
        named = self.wanted.equals
        values = named if isinstance(named, tuple) else (named,)
        forms = {_folded(value) for value in values}
        return [self._judge(row, forms) for row in batch]

    def _judge(self, row: Row, forms: set[str]) -> Outcome:
        value = row.fields.get(self.wanted.field)
        if value is None or _folded(value) not in forms:
            return Keep(row)
        return Drop(row, f"{self.wanted.field} is {_folded(value)}", f"{value!r}")


def _folded(value: object) -> str:
    return str(value).strip().casefold()


@dataclass(frozen=True, slots=True)
class ConvertBlanksStep:
    """Makes a question of each text with a blank."""

    wanted: ConvertBlanks
    name: str = "convert_blanks"
    version: int = 1
    kind: str = "map"

    def process(self, batch: Sequence[Row]) -> list[Outcome]:
        """Keep every row; one with a blank asks for it."""
        return [Keep(self._convert(row)) for row in batch]

    def _convert(self, row: Row) -> Row:
        text, answer = row.fields.get(self.wanted.question), row.fields.get(self.wanted.answer)
        if not isinstance(text, str):
            return row
        asked = ask_for_blanks(text, answer if isinstance(answer, str) else "")
        if asked is None:
            return row
        return replace(row, fields=row.fields | {self.wanted.question: asked})


@dataclass(frozen=True, slots=True)
class ConvertChoicesStep:
    """Makes a question and its answer of each multiple choice question.

    Attributes:
        wanted: the recipe's settings.
        embed: finds answers in other words.
    """

    wanted: ConvertChoices
    embed: Embed | None = None
    name: str = "convert_choices"
    version: int = 1
    kind: str = "map"

    def process(self, batch: Sequence[Row]) -> list[Outcome]:
        """Keep every row but those whose answer, or question, is of no use without its options."""
        return [self._convert(row) for row in batch]

    def _convert(self, row: Row) -> Outcome:
        text, answer = row.fields.get(self.wanted.question), row.fields.get(self.wanted.answer)
        if not isinstance(text, str) or not isinstance(answer, str | int):
            return Keep(row)
        found = find_choices(text)
        if found is None or len(found.options) < self.wanted.at_least:
            return Keep(row)
        match = match_option(str(answer), found.options, self.embed)
        if match is None:
            if self.wanted.unmatched == "keep":
                return Keep(row)
            return Drop(row, "no option is the answer", f"{answer!r} of {len(found.options)}")
        is_of_them = bool(_OWN_OPTIONS.search(found.stem))
        if is_of_them and self.wanted.of_the_following == "drop":
            return Drop(row, "asks about its own options", found.stem[-80:])
        question = text if is_of_them else _alone(found)
        return Keep(self._answered(row, question, found, match), (f"matched by {match.tier}",))

    def _answered(self, row: Row, question: str, found: Choices, match: Match) -> Row:
        return replace(
            row,
            fields=row.fields
            | {
                self.wanted.question: question,
                self.wanted.answer: found.options[match.place].text,
                f"{self.wanted.answer}_matched_by": match.tier,
            },
        )


def _alone(found: Choices) -> str:
    """The question without its options, text that stood behind them before it."""
    return f"{found.rest}\n\n{found.stem}" if found.rest else found.stem
