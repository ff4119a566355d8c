"""The steps of `prepare` that look at rows: clean, shape, drop, dedup."""

from __future__ import annotations

import heapq
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import ftfy

from stillhouse.core.rows import Drop, Keep, Message, Outcome, Row
from stillhouse.data.drafts import Draft, drafts_of
from stillhouse.data.row_texts import change_texts, texts_of
from stillhouse.recipes import rows as recipe

# Only repairs of damage: curly quotes, ligatures and full-width letters are what the author wrote.
_REPAIRS = ftfy.TextFixerConfig(
    unescape_html=False,
    fix_latin_ligatures=False,
    fix_character_width=False,
    uncurl_quotes=False,
    normalization=None,
    explain=False,
)

_LONE = re.compile(r"((?<!\S)[ÂÃ](?=[ \t\n]|\Z))")
"""Letters of their own, of which ftfy would make a blank or `à`."""

_NOT_ASCII_SIGNS = re.compile(r"""[^\w\s.,;:!?"'()\-]""", re.ASCII)
"""source: the founding description of the accounting system, step clean."""


@dataclass(frozen=True, slots=True)
class CleanStep:
    """Repairs the texts of a row's fields; keys of objects stay as they are."""

    settings: recipe.Clean
    name: str = "clean"
    version: int = 2
    kind: str = "map"

    def process(self, batch: Sequence[Row]) -> list[Outcome]:
        """Keep every row, with clean texts."""
        return [self._clean(row) for row in batch]

    def _clean(self, row: Row) -> Keep:
        fields = change_texts(row.fields, lambda text: clean_text(text, self.settings))
        if fields == row.fields:
            return Keep(row)
        cleaned = replace(row, fields=fields)
        return Keep(cleaned, _deleted(row, cleaned) if self.settings.normalize == "ascii" else ())


def clean_text(text: str, settings: recipe.Clean) -> str:
    """The text after the repairs that the recipe asks for.

    Args:
        text: any text, lone surrogates included.
        settings: which repairs.

    Returns:
        The repaired text.
    """
    if not _is_plain(text):
        if settings.fix_text:
            parts = _LONE.split(text)
            parts[::2] = [ftfy.fix_text(part, _REPAIRS) for part in parts[::2]]
            text = "".join(parts)
        if settings.normalize in ("NFC", "NFKC"):
            text = unicodedata.normalize(settings.normalize, text)
    if settings.normalize == "ascii":
        text = _to_ascii(text)
    return text.strip() if settings.strip else text


def _to_ascii(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return " ".join(_NOT_ASCII_SIGNS.sub("", plain).split())


def _deleted(before: Row, after: Row) -> tuple[str, ...]:
    """A note for each sign or script of which a letter is gone."""
    gone = Counter(_letters(before)) - Counter(_letters(after))
    return tuple(sorted({f"deleted {_name_of(sign)}" for sign in gone if not sign.isspace()}))


def _letters(row: Row) -> str:
    return "".join(unicodedata.normalize("NFKD", text) for _, text in texts_of(row.fields))


def _name_of(sign: str) -> str:
    """A sign itself, or the script of a letter: what people know it by."""
    if sign.isascii() or not sign.isalpha():
        return sign if sign.isprintable() and not unicodedata.combining(sign) else "an accent"
    return f"{unicodedata.name(sign, 'UNKNOWN').split()[0].lower()} letters"


def _is_plain(text: str) -> bool:
    # Neither repair changes such text, and most text is such.
    # measured: preparing 100,000 tickets takes 6 CPU seconds, not 14.
    return text.isascii() and text.replace("\n", "").replace("\t", "").isprintable()


@dataclass(frozen=True, slots=True)
class ShapeStep:
    """Makes a draft of each row: prompt, answer, reference."""

    shape: Callable[[Row], Draft]
    name: str = "shape"
    version: int = 1
    kind: str = "map"

    def process(self, batch: Sequence[Row]) -> list[Outcome]:
        """Keep every row as a draft."""
        return [Keep(self.shape(row)) for row in batch]


@dataclass(frozen=True, slots=True)
class DropStep:
    """Ends rows that are empty, too short or too long.

    Attributes:
        rules: what the recipe asks for.
        needs_answer: no part takes rows without an answer, so an empty one ends the row.
    """

    rules: recipe.Drop
    needs_answer: bool
    name: str = "drop"
    version: int = 1
    kind: str = "map"

    def process(self, batch: Sequence[Row]) -> list[Outcome]:
        """Drop what a rule forbids; an empty answer that nobody needs becomes no answer."""
        return [self._judge(draft) for draft in drafts_of(batch)]

    def _judge(self, draft: Draft) -> Outcome:
        if not draft.prompt or draft.prompt[-1].role not in ("user", "tool"):
            return Drop(draft, "no user turn", "the prompt must end with a user or tool turn")
        num_chars = len(draft.prompt_text)
        if self.rules.empty and not draft.has_content:
            return Drop(draft, "empty prompt")
        if num_chars < self.rules.min_chars:
            return Drop(draft, "prompt too short", f"{num_chars} < {self.rules.min_chars} chars")
        if self.rules.max_chars and num_chars > self.rules.max_chars:
            return Drop(draft, "prompt too long", f"{num_chars} > {self.rules.max_chars} chars")
        if not self.rules.empty or draft.answer is None or draft.answer.strip():
            return Keep(draft)
        if self.needs_answer:
            return Drop(draft, "empty answer")
        return Keep(replace(draft, answer=None, reference=None))


@dataclass(frozen=True, slots=True)
class DedupStep:
    """Ends rows that say the same again, and rows that contradict each other."""

    rules: recipe.Drop
    name: str = "dedup"
    version: int = 1
    kind: str = "whole"

    def process(self, batch: Sequence[Row]) -> list[Outcome]:
        """Keep one of equals; with `conflicts`, keep none of those that disagree."""
        seen = _Seen()
        drafts = drafts_of(batch)
        for draft in drafts:
            seen.add(draft)
        return [self._judge(draft, seen) for draft in drafts]

    def _judge(self, draft: Draft, seen: _Seen) -> Outcome:
        kept = seen.kept_by_answer[_asked(draft)][draft.answer]
        if self.rules.duplicates and kept != draft.row_id:
            return Drop(draft, "duplicate", f"duplicate of {kept}")
        if self.rules.conflicts and (other := seen.other_answer(draft)):
            return Drop(draft, "conflicting answer", f"{other} has another answer to this prompt")
        return Keep(draft)


_Asked = tuple[str, tuple[Message, ...]]


def _asked(draft: Draft) -> _Asked:
    """Equal for rows that one adapter is asked alike."""
    return draft.domain, draft.prompt


@dataclass(slots=True)
class _Seen:
    """One row of every prompt and answer: that of the smallest id, whatever their order."""

    kept_by_answer: dict[_Asked, dict[str | None, str]] = field(default_factory=dict)
    _firsts: dict[_Asked, list[tuple[str, str]]] = field(default_factory=dict)

    def add(self, draft: Draft) -> None:
        answers = self.kept_by_answer.setdefault(_asked(draft), {})
        answers[draft.answer] = min(draft.row_id, answers.get(draft.answer, draft.row_id))

    def other_answer(self, draft: Draft) -> str | None:
        """The smallest row with another answer, once all rows are added."""
        if draft.answer is None:
            return None
        asked = _asked(draft)
        if asked not in self._firsts:
            known = self.kept_by_answer[asked].items()
            named = ((row_id, text) for text, row_id in known if text is not None)
            # Of two at least one has another answer, whatever a row's own is.
            self._firsts[asked] = heapq.nsmallest(2, named)
        others = (row_id for row_id, text in self._firsts[asked] if text != draft.answer)
        return next(others, None)
