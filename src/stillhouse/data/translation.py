"""The step that has texts translated which are not English."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from stillhouse.core.rows import Completion, Defer, Drop, Keep, Outcome, Row
from stillhouse.data.asking import AskedEngine
from stillhouse.data.language import is_english
from stillhouse.data.rewording import bare
from stillhouse.recipes.prompt_steps import Translate

PROMPT = "translate"
_MOST_TOLD = 300


@dataclass(frozen=True, slots=True)
class TranslateStep:
    """Has texts translated.

    Attributes:
        wanted: the settings.
        engines: one, or none.
    """

    wanted: Translate
    engines: Sequence[AskedEngine] = ()
    name: str = "translate"
    version: int = 1
    kind: str = "map"

    def process(self, batch: Sequence[Row]) -> list[Outcome]:
        """Keep rows in English, as they were or translated."""
        questions = {
            _question(row, field): {"text": row.fields[field]}
            for row in batch
            for field in self._foreign(row)
        }
        said: dict[str, Completion] = {}
        for engine in self.engines:
            said = engine.ask(PROMPT, questions)
        return [self._outcome(row, said) for row in batch]

    def _foreign(self, row: Row) -> list[str]:
        """The fields of a row that are to be translated."""
        return [
            field
            for field in self.wanted.fields
            if isinstance(text := row.fields.get(field), str) and not is_english(text)
        ]

    def _outcome(self, row: Row, said: Mapping[str, Completion]) -> Outcome:
        foreign = self._foreign(row)
        if not foreign:
            return Keep(row)
        if not self.engines:
            return self._untranslated(row, "not English", "")
        engine = self.engines[0]
        fields = dict(row.fields)
        for field in foreign:
            answer = said[_question(row, field)]
            if answer.reason in engine.no_answer:
                return Defer(row, answer.reason)
            text = bare(answer.text)
            flaw = _flaw(answer, text)
            if flaw and engine.is_real:
                return self._untranslated(row, f"not translated: {flaw}", answer.text[:_MOST_TOLD])
            fields[field] = text or fields[field]
            engine.used.add(_question(row, field))
        return Keep(replace(row, fields=fields), ("translated",))

    def _untranslated(self, row: Row, why: str, evidence: str) -> Outcome:
        return Keep(row, (why,)) if self.wanted.untranslated == "keep" else Drop(row, why, evidence)


def _question(row: Row, field: str) -> str:
    return f"{row.row_id}#{field}"


def _flaw(answer: Completion, text: str) -> str:
    if answer.finish != "stop":
        return "cut" if answer.finish == "length" else answer.reason
    if not text:
        return "nothing was said"
    return "" if is_english(text) else "the answer is not English"
