"""The engine that has the last word on a suspected row: does it belong to the others?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stillhouse.core.rows import Completion, Row
from stillhouse.data.answers import AnswerChecks, without_fence
from stillhouse.data.asking import AskedEngine
from stillhouse.data.outlier_step import Suspect, Verdict
from stillhouse.recipes.meaning_steps import DropOutliers
from stillhouse.store.call_cache import ROWS_APART

PROMPT = "belongs"
_WHY = {
    "keyword": "it holds {keyword!r}",
    "score": "it is unlike the other rows",
    "cluster": "{rows} rows like it are unlike the others",
}
_CHECKS = AnswerChecks(
    {
        "title": "belonging",
        "type": "object",
        "properties": {"reason": {"type": "string"}, "belongs": {"type": "boolean"}},
        "required": ["belongs"],
    },
    (),
)


@dataclass(frozen=True, slots=True)
class OutlierJudge:
    """Asks an engine about each suspect; an `AskJudge`.

    Attributes:
        engine: who decides; an answer that cannot be read leaves a suspect open.
    """

    engine: AskedEngine

    def __call__(self, suspects: Sequence[Suspect]) -> list[Verdict]:
        """One verdict for each suspect, in their order."""
        names = [_name(suspect) for suspect in suspects]
        questions = {name: _parts(suspect) for name, suspect in zip(names, suspects, strict=True)}
        said = self.engine.ask(PROMPT, questions)
        verdicts = {name: self._verdict(said[name]) for name in questions}
        self.engine.used.update(
            name for name, one in verdicts.items() if one.ruling in ("keep", "drop")
        )
        return [verdicts[name] for name in names]

    def _verdict(self, said: Completion) -> Verdict:
        if said.reason in self.engine.no_answer:
            return Verdict("waits", said.reason)
        if said.finish != "stop":
            return Verdict("open", said.reason or "cut")
        if _CHECKS.problems(said.text):
            return Verdict("open", "no verdict in the answer")
        told: dict[str, Any] = json.loads(without_fence(said.text))
        return Verdict("keep" if told["belongs"] else "drop", str(told.get("reason", "")))


def likely_suspects(wanted: DropOutliers, rows: Sequence[Row]) -> list[Suspect]:
    """As many rows as may be suspected by score, to price what a judge is asked.

    Args:
        wanted: the step's settings.
        rows: that it will see.

    Returns:
        The longest ones, each beside three others.
    """
    texts = [
        (text, row.row_id) for row in rows if isinstance(text := row.fields.get(wanted.field), str)
    ]
    most = wanted.at_most
    number = int(most * len(texts)) if isinstance(most, float) else most
    longest = sorted(texts, key=lambda one: len(one[0]), reverse=True)
    near = tuple(text for text, _ in longest[:3])
    return [
        Suspect((text,), 1, near, (row_id,), 0.0, rank, "score")
        for rank, (text, row_id) in enumerate(longest[:number], 1)
    ]


def _name(suspect: Suspect) -> str:
    """By every row whose words it shows, so that erasing one of them finds what was said."""
    return ROWS_APART.join(suspect.row_ids)


def _parts(suspect: Suspect) -> dict[str, object]:
    why = _WHY[suspect.why].format(keyword=suspect.keyword, rows=suspect.rows)
    return {"row": list(suspect.texts), "why": why, "others": list(suspect.near)}
