"""The `evaluate.baselines`: whoever did the work before, measured beside the student."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from stillhouse.recipes.endpoints import ApiEndpoint
from stillhouse.recipes.section import Count, NotNegative, Positive, Section

TAKEN = frozenset(
    {"absolute", "baseline", "exported", "finetuned", "production", "student", "teacher", "twin"}
)
"""Names that mean something else."""


class Analyser(Section):
    """A service of your own that takes a text and gives an answer.

    Each example is one POST of `{"text": ..., "messages": [{"role": ..., "content": ...}]}`, where
    `text` is the last turn. The answer is a JSON object: taken whole, or where it holds the one key
    `answer`, that text.

    Attributes:
        url: where it listens.
        timeout_s: for one request.
        concurrency: requests at a time.
        tries: of a request that fails on the way.
    """

    url: str = Field(pattern=r"^https?://[^@?]+$")
    timeout_s: Positive = 60.0
    concurrency: Count = 4
    tries: Count = 3


class Baseline(Section):
    """One other candidate; give exactly one of rules, api, http and model.

    Attributes:
        name: what rules and the report call it.
        rules: a task's rules without any model; `songs` and `prompts` are there.
        api: a model behind an API, with a budget of its own.
        http: a service of your own.
        model: `student` is the student as it is before it learns anything, so that the report tells
            what the training has changed.
        temperature: of the answers of a model behind an API; some providers take none but 1.
        usd_per_call: what an answer of it costs, for the comparison; nothing is paid. A model
            behind an API needs none, its calls are counted.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")
    rules: Literal["songs", "prompts"] | None = None
    api: ApiEndpoint | None = None
    http: Analyser | None = None
    model: Literal["student"] | None = None
    temperature: NotNegative = 0.0
    usd_per_call: NotNegative = 0.0

    @model_validator(mode="after")
    def _is_one_candidate(self) -> Self:
        given = [key for key in ("rules", "api", "http", "model") if getattr(self, key)]
        if len(given) != 1:
            stated = " and ".join(given) if given else "none of them"
            raise ValueError(f"give exactly one of rules, api, http and model; this has {stated}")
        if self.name in TAKEN:
            raise ValueError(f"name: {self.name} means something else; choose another")
        if self.api and self.usd_per_call:
            raise ValueError("usd_per_call: what api costs is counted; remove the key")
        if self.temperature and not self.api:
            raise ValueError("temperature: only a model under api is told one; remove the key")
        return self

    def identity(self) -> dict[str, Any]:
        """What shapes its answers, as JSON values; its price does not."""
        return {
            "rules": self.rules,
            "api": self.api.identity() if self.api else None,
            "http": self.http.url if self.http else None,
            # The greedy one is not named, as before there was another.
            **({"temperature": self.temperature} if self.temperature else {}),
        }
