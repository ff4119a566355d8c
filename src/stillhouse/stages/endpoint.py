"""A model behind an API, opened for one stage: its account, the user's keys, its engine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stillhouse.core.errors import StillhouseError
from stillhouse.core.protocols import Progress
from stillhouse.core.rows import Completion, Example
from stillhouse.core.sampling import Sampling
from stillhouse.data.answers import AnswerChecks
from stillhouse.engines.catalog import budget_of, remote_engine
from stillhouse.engines.keys import find_keys
from stillhouse.engines.outcomes import ENDS, REASONS
from stillhouse.engines.remote import RemoteEngine
from stillhouse.engines.wire import Demands
from stillhouse.recipes.endpoints import ApiEndpoint
from stillhouse.recipes.prompts import PromptTemplate
from stillhouse.stages.contract import StageRequest
from stillhouse.stages.sections import section_of
from stillhouse.store.account import open_account

DEFERRED = frozenset({*REASONS, *ENDS})
"""Reasons why a question has no answer: none came, so that a later run may get one."""

_HINTS = {
    "budget": "raise {key}.budget_usd or budget_tokens",
    "no_key": "every key was refused, or its account is empty: fill it up, or give another key "
    "under {key}.key_env",
    "key_refused": "give a key that is let in under {key}.key_env",
    "quota_used_up": "fill the account up, or give another key",
    "no_connection": "is the address right, and the server up?",
    "redirected": "is {key}.base_url right?",
    "bad_request": "does {key}.model exist, and does it take what is asked? "
    "label.deferred_at_most goes on without some prompts",
    "batch_refused": "has the provider a batch endpoint for this model? without {key}.batch it is "
    "asked one by one",
    "batch_expired": "the provider had no time for the whole batch",
}


@dataclass(frozen=True, slots=True)
class RemoteTeacher:
    """Completes prompts as the teacher sees them; a `Generator`.

    Attributes:
        engine: of its provider.
        prompt: the teacher's own; None where it sees the examples'.
    """

    engine: RemoteEngine
    prompt: PromptTemplate | None

    def generate(self, examples: Sequence[Example], sampling: Sampling) -> Iterator[Completion]:
        """One completion per example, in the order of the examples."""
        if self.prompt is None:
            yield from self.engine.generate(examples, sampling)
            return
        seen = [replace(one, prompt=self.prompt.apply(one.prompt)) for one in examples]
        for completion in self.engine.generate(seen, sampling):
            yield replace(completion, prompt_label=self.prompt.label)

    def account_for(self, done: Sequence[Completion]) -> None:
        """Tell the account which of these completions are learned."""
        used = {(one.example_id, one.sample_index) for one in done if one.finish == "stop"}
        self.engine.account_for(used)


@contextmanager
def open_teacher(
    request: StageRequest, progress: Progress, checks: AnswerChecks, schema: dict[str, Any] | None
) -> Iterator[RemoteTeacher]:
    """The teacher behind the API of a recipe, while the block runs.

    Args:
        request: with `access`, and `prompt` in its configuration.
        progress: told after each answer, with money spent and left.
        checks: what an answer must be.
        schema: told to providers that can be held to one.

    Yields:
        The teacher; what killed processes held of the budget is settled by then.

    Raises:
        UsageError: no key, no price under a budget, or the provider cannot be asked like that.
    """
    plain = request.config["prompt"]
    api = section_of(ApiEndpoint, request.access["api"])
    prompt = section_of(PromptTemplate, plain) if plain else None
    demands = Demands(schema, checks.problems, lambda _, one: checks.judge(one).finish == "stop")
    asking = Asked(api, demands, prompt.label if prompt else "")
    with open_engine(request, asking, progress) as engine:
        yield RemoteTeacher(engine, prompt)


@dataclass(frozen=True, slots=True)
class Asked:
    """Who is asked, and for what.

    Attributes:
        api: the recipe's.
        demands: what an answer must be.
        prompt: label of the prompt template; part of what answers are kept by.
        role: empty for the teacher, else of whom; it has a budget of its own.
    """

    api: ApiEndpoint
    demands: Demands
    prompt: str = ""
    role: str = ""


@contextmanager
def open_engine(request: StageRequest, asked: Asked, progress: Progress) -> Iterator[RemoteEngine]:
    """The engine of a model behind an API, while the block runs.

    Args:
        request: with `access`.
        asked: who is asked.
        progress: told after each answer.

    Yields:
        The engine.

    Raises:
        UsageError: as in `open_teacher`.
    """
    keys = find_keys(asked.api.key_names, Path(request.locations["base"]))
    folder, run = Path(request.access["account"]), request.access["run"]
    budget = budget_of(asked.api, " ".join(filter(None, (run, asked.role))))
    stage = " ".join(filter(None, (_stage_of(request), asked.role)))
    with open_account(folder, budget, run, stage) as account:
        yield remote_engine(asked.api, account, keys, progress, asked.demands, asked.prompt)


def refuse_deferred(
    done: Sequence[Completion], asked: int, at_most: float, key: str = "teacher.api"
) -> int:
    """The number of prompts without an answer; raises when there are too many.

    Args:
        done: every completion.
        asked: prompts.
        at_most: the share that may stay without.
        key: of who was asked, in the recipe.

    Returns:
        How many were deferred.

    Raises:
        StillhouseError: more than that; a second run asks these alone.
    """
    last = {completion.example_id: completion for completion in done}
    reasons = Counter(one.reason for one in last.values() if one.reason in DEFERRED)
    deferred = reasons.total()
    if deferred <= at_most * asked:
        return deferred
    counts = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
    raise StillhouseError(
        f"{deferred:,} of {asked:,} prompts have no answer from {key} yet: {counts}",
        what_helps([reason for reason, _ in reasons.most_common()], key),
    )


def what_helps(reasons: Iterable[str], key: str) -> str:
    """What to do about questions without an answer.

    Args:
        reasons: why there is none, the most frequent first.
        key: of who was asked, in the recipe.

    Returns:
        A hint for people.
    """
    hints = [_HINTS[reason].format(key=key) for reason in reasons if reason in _HINTS]
    again = "run the same command again: answers are kept, only the others are asked"
    return "; ".join([*dict.fromkeys(hints), again])


def _stage_of(request: StageRequest) -> str:
    return f"{request.stage}@{request.variant}" if request.variant else request.stage
