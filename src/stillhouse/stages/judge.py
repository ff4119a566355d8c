"""Judge: a model behind an API compares a candidate's answers with another's, and rates them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from stillhouse.core.protocols import Generator, Progress
from stillhouse.core.rows import Completion, Example
from stillhouse.core.sampling import Sampling
from stillhouse.data.answers import AnswerChecks
from stillhouse.engines.wire import Demands
from stillhouse.evals.judge import Judge, own_prompt
from stillhouse.evals.preference import SCHEMA as PREFERENCE
from stillhouse.evals.preference import ask_preferences
from stillhouse.evals.rubric import SCHEMA as RUBRIC
from stillhouse.evals.rubric import score_fidelity
from stillhouse.evals.scores import Column, Scores, write_scores
from stillhouse.recipes.endpoints import ApiEndpoint
from stillhouse.stages.contract import StageRequest, StageResult
from stillhouse.stages.corpus import open_corpus
from stillhouse.stages.endpoint import Asked, open_engine, refuse_deferred
from stillhouse.stages.evaluate_files import SCORES
from stillhouse.stages.measured import measured_of, read_answers, texts_of
from stillhouse.stages.sections import section_of


def run(request: StageRequest, progress: Progress) -> StageResult:
    """Write `scores.parquet`: one row an example, with what was judged."""
    measured = measured_of(request, open_corpus(request.inputs["examples"]))
    own = texts_of(read_answers(request.inputs["own"], measured))
    columns: dict[str, Column] = {}
    if "other" in request.inputs:
        other = texts_of(read_answers(request.inputs["other"], measured))
        with _judge(request, "preference", PREFERENCE, progress) as judge:
            columns |= ask_preferences(judge, measured.examples, own, other).columns
    for rubric in request.config["judge"]["rubrics"]:
        with _judge(request, rubric, RUBRIC, progress) as judge:
            columns |= score_fidelity(judge, measured.examples, own)
    write_scores(request.out / SCORES, Scores(measured.ids, columns))
    return StageResult({"examples": len(own), "judge": request.config["judge"]["api"]["model"]})


@contextmanager
def _judge(
    request: StageRequest, prompt: str, schema: dict[str, Any], progress: Progress
) -> Iterator[Judge]:
    """The judge, while the block runs; what could not be asked is no missing judgement."""
    api = section_of(ApiEndpoint, request.access["api"])
    template = own_prompt(prompt)
    demands = Demands(schema, AnswerChecks(schema, ()).problems)
    with open_engine(request, Asked(api, demands, template.label, "judge"), progress) as engine:
        heard = _Heard(engine)
        yield Judge(heard, api.model, template, request.config["judge"]["temperature"])
    refuse_deferred(heard.said, len(heard.said), 0.0, "evaluate.judge.api")


@dataclass(slots=True)
class _Heard:
    """An engine whose answers are remembered; a `Generator`."""

    engine: Generator
    said: list[Completion] = field(default_factory=list)

    def generate(self, examples: Sequence[Example], sampling: Sampling) -> Iterator[Completion]:
        for completion in self.engine.generate(examples, sampling):
            self.said.append(completion)
            yield completion
