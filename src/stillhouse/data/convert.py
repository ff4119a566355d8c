"""Steps that turn exercises into questions: blanks to fill in, and options to choose from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from stillhouse.core.rows import Defer, Drop, Keep, Outcome, Row
from stillhouse.data.asking import AskedEngine, Wish, Worded, reword
from stillhouse.data.blanks import ask_for_blanks
from stillhouse.data.choices import Choices, find_choices
from stillhouse.data.option_match import Embed, Match, match_option
from stillhouse.data.plain_values import plain_text
from stillhouse.data.rewording import Held
from stillhouse.recipes.data_steps import ConvertBlanks, ConvertChoices, DropWhere

_BLANKS = re.compile(r"_+")
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
    version: int = 2
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
    return plain_text(value).casefold()


@dataclass(frozen=True, slots=True)
class ConvertBlanksStep:
    """Makes a question of each text with a blank.

    Attributes:
        wanted: the recipe's settings.
        engines: one that writes smoother questions than the rule; or none.
        embed: compares meanings.
    """

    wanted: ConvertBlanks
    engines: Sequence[AskedEngine] = ()
    embed: Embed | None = None
    name: str = "convert_blanks"
    version: int = 2

    @property
    def kind(self) -> str:
        """Whether engines are asked."""
        return "remote" if self.engines else "map"

    def process(self, batch: Sequence[Row]) -> list[Outcome]:
        """Keep every row, or let it wait for an answer; one with a blank asks for it."""
        return _worded([self._convert(row) for row in batch], self.engines, "blank", self.embed)

    def _convert(self, row: Row) -> _Converted:
        text, answer = row.fields.get(self.wanted.question), row.fields.get(self.wanted.answer)
        if not isinstance(text, str):
            return _Converted(Keep(row))
        told = answer if isinstance(answer, str) else ""
        choices = find_choices(text)
        if choices is not None:
            # Its options stay behind it, and its answer may be the label of one.
            text, told = choices.stem, ""
        asked = ask_for_blanks(text, told)
        if asked is None:
            return _Converted(Keep(row))
        behind = str(row.fields[self.wanted.question])[len(text) :] if choices else ""
        by_rule = replace(row, fields=row.fields | {self.wanted.question: asked + behind})
        parts = {"text": text, "answer": told}
        wish = Wish(row.row_id, parts, Held(_BLANKS.sub(" ", text), told))
        return _Converted(Keep(by_rule), self.wanted.question, wish, behind=behind)


@dataclass(frozen=True, slots=True)
class ConvertChoicesStep:
    """Makes a question and its answer of each multiple choice question.

    Attributes:
        wanted: the recipe's settings.
        embed: finds answers in other words.
        engines: one that writes questions that ask without their options; or none.
    """

    wanted: ConvertChoices
    embed: Embed | None = None
    engines: Sequence[AskedEngine] = ()
    name: str = "convert_choices"
    version: int = 2

    @property
    def kind(self) -> str:
        """Whether engines are asked."""
        return "remote" if self.engines else "map"

    def process(self, batch: Sequence[Row]) -> list[Outcome]:
        """Keep every row but those whose answer, or question, is of no use without its options."""
        return _worded([self._convert(row) for row in batch], self.engines, "choices", self.embed)

    def _convert(self, row: Row) -> _Converted:
        text, answer = row.fields.get(self.wanted.question), row.fields.get(self.wanted.answer)
        if not isinstance(text, str) or not isinstance(answer, str | int):
            return _Converted(Keep(row))
        found = find_choices(text)
        if found is None or len(found.options) < self.wanted.at_least:
            return _Converted(Keep(row))
        match = match_option(str(answer), found.options, self.embed)
        if match is None:
            if self.wanted.unmatched == "keep":
                return _Converted(Keep(row))
            evidence = f"{answer!r} of {len(found.options)}"
            return _Converted(Drop(row, "no option is the answer", evidence))
        is_of_them = bool(_OWN_OPTIONS.search(found.stem))
        if is_of_them and not self.engines and self.wanted.of_the_following == "drop":
            return _Converted(Drop(row, "asks about its own options", found.stem[-80:]))
        question = text if is_of_them else _alone(found)
        kept = Keep(self._answered(row, question, found, match), (f"matched by {match.tier}",))
        right = found.options[match.place].text
        options = [option.text for option in found.options]
        parts = {"text": _alone(found), "options": options, "answer": right}
        wish = Wish(row.row_id, parts, Held(_alone(found), right))
        is_lost = is_of_them and self.wanted.of_the_following == "drop"
        lost = Drop(row, "asks about its own options", found.stem[-80:]) if is_lost else None
        return _Converted(kept, self.wanted.question, wish, lost)

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


@dataclass(frozen=True, slots=True)
class _Converted:
    """What a rule makes of a row, and what an engine may make of it.

    Attributes:
        by_rule: the outcome.
        field: the question's.
        wish: for an engine; None where there is nothing to ask.
        otherwise: the outcome where no engine finds words; None for that of the rule.
        behind: what follows the engine's words.
    """

    by_rule: Keep | Drop
    field: str = ""
    wish: Wish | None = None
    otherwise: Drop | None = None
    behind: str = ""


def _worded(
    converted: Sequence[_Converted],
    engines: Sequence[AskedEngine],
    prompt: str,
    embed: Embed | None,
) -> list[Outcome]:
    """The outcomes, with an engine's words where there is one and they may be used."""
    if not engines:
        return [one.by_rule for one in converted]
    found = reword([one.wish for one in converted if one.wish], engines, prompt, embed)
    return [_outcome(one, found[one.wish.name] if one.wish else None) for one in converted]


def _outcome(converted: _Converted, worded: Worded | None) -> Outcome:
    kept = converted.by_rule
    if worded is None or isinstance(kept, Drop):
        return kept
    if worded.waits:
        return Defer(kept.row, worded.waits)
    if worded.text:
        fields = kept.row.fields | {converted.field: worded.text + converted.behind}
        return Keep(replace(kept.row, fields=fields), (*kept.notes, "worded by an engine"))
    return converted.otherwise or Keep(kept.row, (*kept.notes, f"worded by rule: {worded.flaw}"))


def _alone(found: Choices) -> str:
    """The question without its options, text that stood behind them before it."""
    return f"{found.rest}\n\n{found.stem}" if found.rest else found.stem
