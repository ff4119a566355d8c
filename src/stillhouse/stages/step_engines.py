"""The engines that a step of the rows asks, opened for its instance; or noted, to price them.

Answers of a model behind an API are kept in the account before anything is built on them. Those of
a model of this machine are kept in the instance's scratch folder. Either way a second run asks only
what has no answer yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stillhouse.core.errors import StillhouseError
from stillhouse.core.hashing import digest_value
from stillhouse.core.protocols import Generator, Progress
from stillhouse.core.rows import Completion, Example, StepCount
from stillhouse.core.sampling import Sampling
from stillhouse.data.answers import AnswerChecks
from stillhouse.data.asking import AskedEngine
from stillhouse.data.storage import read_completions, write_completions
from stillhouse.engines.wire import Demands
from stillhouse.recipes.endpoints import ApiEndpoint
from stillhouse.recipes.prompts import PromptTemplate
from stillhouse.recipes.row_step import Step
from stillhouse.recipes.step_engine import StepEngine
from stillhouse.stages.contract import StageRequest
from stillhouse.stages.endpoint import DEFERRED, Asked, open_engine, what_helps
from stillhouse.stages.sections import section_of

_BATCHES_KEPT = 4
"""assumption: batches of a local model between two files: what a kill may cost."""


@contextmanager
def open_engines(
    request: StageRequest, step: Step, progress: Progress
) -> Iterator[dict[str, AskedEngine]]:
    """The engines of a step, by their key below it, while the block runs.

    Args:
        request: with `engines` in its configuration and, for those behind an API, its `access`.
        step: the step's settings.
        progress: told after each answer.

    Yields:
        Ready to be asked; the account is told afterwards which answers became part of the rows.

    Raises:
        UsageError: no key, no price under a budget, or the provider cannot be asked like that.
    """
    with ExitStack() as stack:
        found = {}
        for place, engine in step.asked.items():
            said = request.config["engines"][place]
            prompt = section_of(PromptTemplate, said["prompt"]) if said["prompt"] else None
            found[place] = _open(
                stack, request, _Named(place, engine, prompt, step.answers_fit), progress
            )
        yield found


@dataclass(frozen=True, slots=True)
class _Named:
    place: str
    engine: StepEngine
    prompt: PromptTemplate | None
    schema: Mapping[str, Any] | None


def _open(
    stack: ExitStack, request: StageRequest, named: _Named, progress: Progress
) -> AskedEngine:
    engine = named.engine
    sampling = Sampling(engine.max_new_tokens, engine.temperature, engine.batch_size)
    if not engine.api:
        # It brings torch, which most steps do without.
        from stillhouse.stages.local_engine import local_engine

        local = local_engine(request, named.place, engine, named.schema)
        # Two engines may be asked the very same.
        folder = request.scratch / "answers" / named.place
        kept = KeptAnswers(local, folder, engine.batch_size * _BATCHES_KEPT)
        return AskedEngine(kept, named.prompt, sampling)
    api = section_of(ApiEndpoint, request.access["engines"][named.place])
    label = named.prompt.label if named.prompt else ""
    role = "" if named.place == "engine" else named.place.removeprefix("engines.")
    demands = Demands(named.schema, AnswerChecks(named.schema, ()).problems)
    asked = Asked(api, demands, label, " ".join(filter(None, (_who(request), role))))
    remote = stack.enter_context(open_engine(request, asked, progress))
    opened = AskedEngine(remote, named.prompt, sampling, DEFERRED)
    stack.callback(lambda: remote.account_for({(name, 0) for name in opened.used}))
    return opened


def _who(request: StageRequest) -> str:
    return request.variant or "augment"


def refuse_waiting(count: StepCount, step: Step, rows: int) -> None:
    """Make sure that not too many rows wait for an answer.

    Args:
        count: of the step.
        step: its settings, with the share that may wait.
        rows: that it was done to.

    Raises:
        StillhouseError: more wait; a second run asks for these alone.
    """
    waiting, at_most = sum(count.deferred.values()), getattr(step, "deferred_at_most", 0.0)
    if waiting <= at_most * rows:
        return
    reasons = {name.rpartition(": ")[2]: number for name, number in count.deferred.items()}
    key = f"{next(iter(step.asked), 'engine')}.api"
    told = ", ".join(f"{number:,} {name}" for name, number in count.deferred.items())
    raise StillhouseError(
        f"{waiting:,} of {rows:,} rows of the step {count.step} wait for an answer: {told}",
        what_helps(reasons, key),
    )


@dataclass(frozen=True, slots=True)
class KeptAnswers:
    """A local engine whose answers are written down group by group; a `Generator`.

    Attributes:
        engine: that answers.
        folder: for its answers.
        group: prompts between two files.
    """

    engine: Generator
    folder: Path
    group: int

    def generate(self, examples: Sequence[Example], sampling: Sampling) -> Iterator[Completion]:
        """One completion per example, in the order of the examples."""
        for start in range(0, len(examples), self.group):
            asked = examples[start : start + self.group]
            name = digest_value([[one.example_id, _turns(one)] for one in asked])[:20]
            path = self.folder / f"{name}.parquet"
            if not path.is_file():
                self.folder.mkdir(parents=True, exist_ok=True)
                write_completions(path, list(self.engine.generate(asked, sampling)))
            yield from read_completions(path)


def _turns(example: Example) -> list[Any]:
    return [turn.as_list() for turn in example.prompt]


@dataclass(slots=True)
class Noted:
    """An engine that answers nothing and remembers what it was asked; a `Generator`.

    Attributes:
        examples: what it was asked.
    """

    examples: list[Example] = field(default_factory=list)

    def generate(self, examples: Sequence[Example], sampling: Sampling) -> Iterator[Completion]:  # noqa: ARG002
        """No answer, for every example."""
        for example in examples:
            self.examples.append(example)
            yield Completion(example.example_id, "", "error", 0, "not_asked")


@dataclass(frozen=True, slots=True)
class NotedEngine:
    """An engine as a step asks it, and what it was asked.

    Attributes:
        engine: for the step.
        noted: what remembers.
    """

    engine: AskedEngine
    noted: Noted


def note_engines(config: dict[str, Any], step: Step) -> dict[str, NotedEngine]:
    """Engines that remember what a step would ask.

    Args:
        config: of the step's instance.
        step: its settings.

    Returns:
        By their key below the step.
    """
    found = {}
    for place, engine in step.asked.items():
        said = config["engines"][place]["prompt"]
        prompt = section_of(PromptTemplate, said) if said else None
        sampling = Sampling(engine.max_new_tokens, engine.temperature, engine.batch_size)
        noted = Noted()
        found[place] = NotedEngine(AskedEngine(noted, prompt, sampling, is_real=False), noted)
    return found
