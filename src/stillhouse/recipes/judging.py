"""The `evaluate.judge`: a model that compares candidates' answers, and rates them."""

from __future__ import annotations

from typing import Any, Literal

from stillhouse.recipes.endpoints import ApiEndpoint
from stillhouse.recipes.section import NotNegative, Section


class AnswerJudge(Section):
    """A model behind an API that judges answers of the holdout; silence never counts as a win.

    Attributes:
        api: who judges; its budget is its own.
        against: whose answers every other candidate's are compared with, in both orders: `teacher`,
            `twin` or the name of one of `evaluate.baselines`; null compares nobody.
        rubrics: what each candidate's answers are rated for: `context_fidelity`, from 1 to 5.
        temperature: of its answers; some providers take none but 1.
    """

    api: ApiEndpoint
    against: str | None = "teacher"
    rubrics: tuple[Literal["context_fidelity"], ...] = ()
    temperature: NotNegative = 0.0

    def identity(self) -> dict[str, Any]:
        """What shapes its judgements, as JSON values."""
        plain = self.model_dump(mode="json")
        return plain | {"api": self.api.identity()}
