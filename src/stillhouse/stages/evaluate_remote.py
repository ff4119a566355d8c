"""Evaluate a teacher behind an API on the holdout: its answers; it gives no distribution."""

from __future__ import annotations

from dataclasses import replace

from stillhouse.core.protocols import Progress
from stillhouse.core.sampling import Sampling
from stillhouse.data.answers import AnswerChecks
from stillhouse.data.storage import write_completions
from stillhouse.evals.fields import require_references
from stillhouse.evals.scores import write_scores
from stillhouse.recipes.measuring import Evaluate
from stillhouse.stages.asking_again import AskedAgain
from stillhouse.stages.comparing import Answers, Told, summarise
from stillhouse.stages.confidence import confidence_note, score_own_confidence
from stillhouse.stages.contract import StageRequest, StageResult
from stillhouse.stages.corpus import open_corpus
from stillhouse.stages.endpoint import open_teacher
from stillhouse.stages.evaluate_files import COMPLETIONS, SCORES
from stillhouse.stages.looked_for import look_for
from stillhouse.stages.measured import find_asked, find_measured
from stillhouse.stages.sections import section_of
from stillhouse.stages.teachers_answers import checks_of_reference, is_reference, settle
from stillhouse.stages.whole_answers import WholeAnswers


def run(request: StageRequest, progress: Progress) -> StageResult:
    """Write `completions.parquet` and `scores.parquet`."""
    config = request.config
    prepared = request.inputs["examples"]
    corpus = open_corpus(prepared)
    is_gold = not is_reference(request)
    measured = find_measured(corpus, prepared) if is_gold else find_asked(corpus, prepared)
    settings = section_of(Evaluate, config["evaluate"])
    as_objects = config["answer_format"] == "json"
    if is_gold:
        # Asked before answers are paid for.
        require_references(settings.fields, measured.references(), as_objects=as_objects)
    schema = config["answer_schema"]
    checks = AnswerChecks(schema, ()) if is_gold else checks_of_reference(request)
    sampling = Sampling(config["max_new_tokens"], config["temperature"])
    left_out: dict[str, int] = {}
    with open_teacher(request, progress, checks, schema) as engine:
        teacher = WholeAnswers(engine, "teacher.api", schema is not None)
        said = [checks.judge(one) for one in teacher.generate(measured.examples, sampling)]
        if not is_gold:
            settled = settle(request, corpus, measured, said)
            measured, said, left_out = settled.measured, settled.said, settled.left_out
        answers = Answers(measured, said, settings, as_objects, schema, not is_gold)
        again = AskedAgain(teacher, measured, settings, sampling, answers.as_objects)
        # One by one is how an API is asked anyway.
        columns = replace(again, settings=settings.model_copy(update={"alone": 0})).columns(
            answers.texts
        )
    write_completions(request.out / COMPLETIONS, said)
    columns |= answers.compared() | answers.of_the_teacher()
    if is_gold:
        columns |= score_own_confidence(settings, said, answers.right(columns))
    found = look_for(request, corpus, answers)
    scores = answers.scores(columns | found.columns)
    write_scores(request.out / SCORES, scores)
    told = Told(found.notes, confidence_note(settings, said), left_out=left_out)
    return StageResult(summarise(answers, scores, told))
