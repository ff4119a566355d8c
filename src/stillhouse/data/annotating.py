"""The step that has an engine annotate rows, each with a JSON object of a declared form."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from stillhouse.core.rows import Completion, Defer, Drop, Keep, Outcome, Row
from stillhouse.data.answers import AnswerChecks, without_fence
from stillhouse.data.asking import AskedEngine
from stillhouse.recipes.answer_schema import object_of_schema
from stillhouse.recipes.field_steps import Annotate

PROMPT = "annotate"
NOTHING = "not annotated: none of the fields is there"
_MOST_TOLD = 300


@dataclass(frozen=True, slots=True)
class AnnotateStep:
    """Has rows annotated.

    Attributes:
        wanted: the settings.
        engine: that annotates.
    """

    wanted: Annotate
    engine: AskedEngine
    name: str = "annotate"
    version: int = 2
    kind: str = "remote"

    def process(self, batch: Sequence[Row]) -> list[Outcome]:
        """Keep the rows that have an annotation by now."""
        open_rows = [row for row in batch if not self._is_annotated(row) and self._told(row)]
        said = self.engine.ask(PROMPT, {row.row_id: self._question(row) for row in open_rows})
        checks = AnswerChecks(self.wanted.answer_schema, ())
        return [self._outcome(row, said.get(row.row_id), checks) for row in batch]

    def _is_annotated(self, row: Row) -> bool:
        return row.fields.get(self.wanted.as_) is not None

    def _told(self, row: Row) -> dict[str, object]:
        found = {name: row.fields.get(name) for name in self.wanted.fields}
        return {name: value for name, value in found.items() if value not in (None, "")}

    def _question(self, row: Row) -> Mapping[str, object]:
        return {"task": self.wanted.task, "of": self._told(row)}

    def _outcome(self, row: Row, said: Completion | None, checks: AnswerChecks) -> Outcome:
        if self._is_annotated(row):
            return Keep(row, ("annotated before",))
        if said is None:
            return Drop(row, NOTHING, "")
        if not self.engine.is_real:
            return self._annotated(row, object_of_schema(self.wanted.answer_schema))
        if said.reason in self.engine.no_answer:
            return Defer(row, said.reason)
        flaw = _flaw(said, checks)
        if flaw:
            return Drop(row, f"not annotated: {flaw}", said.text[:_MOST_TOLD])
        self.engine.used.add(row.row_id)
        return self._annotated(row, json.loads(without_fence(said.text)))

    def _annotated(self, row: Row, annotation: Any) -> Keep:
        return Keep(replace(row, fields=row.fields | {self.wanted.as_: annotation}), ("annotated",))


def _flaw(said: Completion, checks: AnswerChecks) -> str:
    if said.finish != "stop":
        return "cut" if said.finish == "length" else said.reason
    # A model of this machine may write what its form does not hold it to.
    return "wrong_schema" if checks.problems(said.text) else ""
