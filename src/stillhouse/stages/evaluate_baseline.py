"""Evaluate a baseline: a task's rules, a model behind an API, or a service of the user."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from stillhouse.core.errors import StillhouseError
from stillhouse.core.protocols import Generator, Progress
from stillhouse.core.rows import Completion
from stillhouse.core.sampling import Sampling
from stillhouse.data.answers import AnswerChecks
from stillhouse.data.storage import write_completions
from stillhouse.engines.analyser import HttpAnalyser
from stillhouse.engines.wire import Demands
from stillhouse.evals.scores import write_scores
from stillhouse.evals.summary import Speed
from stillhouse.recipes.baselines import Analyser
from stillhouse.recipes.endpoints import ApiEndpoint
from stillhouse.recipes.measuring import Evaluate
from stillhouse.stages.asking_again import AskedAgain
from stillhouse.stages.comparing import Answers, Told, summarise
from stillhouse.stages.confidence import confidence_note, score_own_confidence
from stillhouse.stages.contract import StageRequest, StageResult
from stillhouse.stages.corpus import open_corpus
from stillhouse.stages.endpoint import Asked, open_engine
from stillhouse.stages.evaluate_files import COMPLETIONS, SCORES
from stillhouse.stages.looked_for import look_for
from stillhouse.stages.measured import measured_of
from stillhouse.stages.sections import section_of
from stillhouse.stages.whole_answers import WholeAnswers
from stillhouse.tasks.prompts.rules import RuleBaseline as PromptRules
from stillhouse.tasks.songs.rules import RuleBaseline as SongRules

_RULES: dict[str, Callable[[], Generator]] = {"songs": SongRules, "prompts": PromptRules}


def run(request: StageRequest, progress: Progress) -> StageResult:
    """Write `completions.parquet` and `scores.parquet`."""
    config = request.config
    corpus = open_corpus(request.inputs["examples"])
    measured = measured_of(request, corpus)
    settings = section_of(Evaluate, config["evaluate"])
    schema = config["answer_schema"]
    sampling = Sampling(config["max_new_tokens"], config["baseline"].get("temperature", 0.0))
    key = f"evaluate.baselines: {request.variant}"
    with _engine(request, progress) as asked:
        engine = WholeAnswers(asked, key, schema is not None)
        started = time.perf_counter()
        said = list(engine.generate(measured.examples, sampling))
        seconds = time.perf_counter() - started
        _refuse_failures(key, said)
        progress(len(said), len(said), "examples")
        answers = Answers(measured, said, settings, config["answer_format"] == "json", schema)
        # One by one is how it is asked anyway.
        again = AskedAgain(
            engine,
            measured,
            settings.model_copy(update={"alone": 0}),
            sampling,
            answers.as_objects,
        )
        columns = again.columns(answers.texts)
    write_completions(request.out / COMPLETIONS, said)
    columns |= answers.compared() | answers.against_teacher(request.inputs["teacher"])
    if not answers.by_teacher:
        columns |= score_own_confidence(settings, said, answers.right(columns))
    found = look_for(request, corpus, answers)
    scores = answers.scores(columns | found.columns)
    write_scores(request.out / SCORES, scores)
    told = Told(found.notes, confidence_note(settings, said))
    return StageResult(summarise(answers, scores, told), _pace(config, len(said), seconds))


def _pace(config: dict[str, Any], num_answers: int, seconds: float) -> dict[str, float]:
    """How fast it answered; nothing where answers may have been kept from before."""
    if config["baseline"]["api"] or not seconds:
        return {}
    return Speed(per_minute=60.0 * num_answers / seconds).as_measured()


@contextmanager
def _engine(request: StageRequest, progress: Progress) -> Iterator[Generator]:
    baseline: dict[str, Any] = request.config["baseline"]
    if baseline["rules"]:
        yield _RULES[baseline["rules"]]()
    elif baseline["http"]:
        service = section_of(Analyser, request.access["http"])
        yield HttpAnalyser(service.url, service.timeout_s, service.concurrency, service.tries)
    else:
        api = section_of(ApiEndpoint, request.access["api"])
        schema = request.config["answer_schema"]
        demands = Demands(schema, AnswerChecks(schema, ()).problems)
        asked = Asked(api, demands, role=f"baseline {request.variant}")
        with open_engine(request, asked, progress) as engine:
            yield engine


def _refuse_failures(key: str, said: list[Completion]) -> None:
    """A service that is down is no bad answer."""
    failed = [answer for answer in said if answer.finish == "error"]
    if failed and len(failed) == len(said):
        raise StillhouseError(
            f"{key} answered none of {len(said)} prompts: {failed[0].reason}",
            "ask it once by hand, then run the same command again",
        )
