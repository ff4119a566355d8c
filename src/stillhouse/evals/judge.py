"""A model as judge: what it is asked, and what of its answer counts.

A judgement that did not come, was cut, or cannot be read is missing: it is counted as missing and
never as a pass. Who is asked, at what price and against which budget is the engine's business.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from stillhouse.core.protocols import Generator
from stillhouse.core.rows import Completion, Example, Message
from stillhouse.core.sampling import Sampling
from stillhouse.data.answers import AnswerChecks, without_fence
from stillhouse.recipes.prompts import PromptTemplate, load_prompt

MOST_TOKENS = 300
"""assumption: one sentence and its JSON; a judgement that is cut is missing."""
_KIN = {
    "chatgpt": "gpt",
    "codestral": "mistral",
    "codellama": "llama",
    "devstral": "mistral",
    "magistral": "mistral",
    "ministral": "mistral",
    "mixtral": "mistral",
    "o": "gpt",
    "qwq": "qwen",
}
"""assumption: model names that do not begin with the name of their family."""


@dataclass(frozen=True, slots=True)
class Judge:
    """Who judges.

    Attributes:
        engine: every question goes through it, and through nothing else.
        model: its name, as its provider calls it.
        prompt: what it is told; the label stands in reports.
        temperature: of its answers.
        max_new_tokens: of its answers.
    """

    engine: Generator
    model: str
    prompt: PromptTemplate
    temperature: float = 0.0
    max_new_tokens: int = MOST_TOKENS


@dataclass(frozen=True, slots=True)
class Asked:
    """One question to a judge.

    Attributes:
        example_id: names it, in the ledger too.
        parts: the texts, each under the name that the prompt uses.
    """

    example_id: str
    parts: Mapping[str, str]


@cache
def own_prompt(name: str) -> PromptTemplate:
    """A judge's prompt that comes with this version.

    Args:
        name: `preference` or `context_fidelity`.

    Returns:
        The template; another one is loaded with `recipes.prompts.load_prompt`.
    """
    path = resources.files("stillhouse.evals") / "prompts" / f"{name}.yaml"
    return load_prompt(Path(str(path)), name)


def schema_of(value: str, allowed: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON Schema of a judgement: a reason, then the value.

    Args:
        value: the key of what is judged.
        allowed: its JSON Schema.

    Returns:
        A schema that engines can be held to, and that judgements are read by.
    """
    return {
        "title": "judgement",
        "type": "object",
        "properties": {"reason": {"type": "string"}, value: dict(allowed)},
        "required": ["reason", value],
        "additionalProperties": False,
    }


def ask_judge(
    judge: Judge, questions: Sequence[Asked], schema: Mapping[str, Any]
) -> list[dict[str, Any] | None]:
    """What a judge said to each question, in order.

    Args:
        judge: who is asked.
        questions: with names of their own.
        schema: what a judgement must fit.

    Returns:
        The judgement; None where it is missing.
    """
    examples = [_example(judge.prompt, question) for question in questions]
    sampling = Sampling(judge.max_new_tokens, judge.temperature)
    checks = AnswerChecks(schema, ())
    return [_read(said, checks) for said in judge.engine.generate(examples, sampling)]


def _example(prompt: PromptTemplate, question: Asked) -> Example:
    # As JSON, so that no text can pretend to be another part.
    message = Message("user", json.dumps(question.parts, ensure_ascii=False, indent=1))
    return Example(question.example_id, "holdout", prompt.apply((message,)), None)


def _read(said: Completion, checks: AnswerChecks) -> dict[str, Any] | None:
    if said.finish != "stop" or checks.problems(said.text):
        return None
    judgement: dict[str, Any] = json.loads(without_fence(said.text))
    return judgement


def told(example: Example) -> str:
    """An example's conversation as one text, for a judge.

    Args:
        example: whose prompt is told.

    Returns:
        Each turn with its role.
    """
    return "\n\n".join(f"{turn.role}: {turn.content}" for turn in example.prompt)


def family_of(model: str) -> str:
    """The family that a model's name begins with.

    Args:
        model: such as `Qwen/Qwen3-4B`, `qwen3:4b`, `claude-sonnet-4-6` or `us.anthropic.claude-x`.

    Returns:
        `qwen`, `claude`; empty for a name without letters.
    """
    name = re.split(r"[/\\]", model.strip().casefold())[-1]
    if "anthropic." in name:
        name = name.rpartition("anthropic.")[2]
    found = re.match(r"[^\W\d_]+", name)
    family = found[0] if found else ""
    return _KIN.get(family, family)


def self_preference(judge: str, candidates: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    """A warning for each candidate that is of the judge's own family.

    Args:
        judge: the judge's model.
        candidates: each with the models that it comes from: its own, its base's, its teacher's.

    Returns:
        Sentences; judges prefer texts like their own.

    Source: Panickssery et al. 2024, arXiv:2404.13076, section 3.
    """
    own = family_of(judge)
    return tuple(
        f"the judge {judge} and {name} ({model}) are of one family ({own}): judges prefer texts "
        "like their own; ask a judge of another family"
        for name, models in candidates.items()
        for model in models
        if own and family_of(model) == own
    )
