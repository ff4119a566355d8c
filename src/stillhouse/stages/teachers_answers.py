"""The teacher's answers to measured rows, where all candidates are measured against them.

They are held to what labels are held to. A row whose answer was cut, refused or is empty is left
out for every candidate alike, and counted with the reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Completion
from stillhouse.data.answers import AnswerChecks
from stillhouse.data.storage import write_completions
from stillhouse.stages.contract import StageRequest
from stillhouse.stages.corpus import Corpus
from stillhouse.stages.evaluate_files import LEFT_OUT
from stillhouse.stages.long_answers import end_unreadable
from stillhouse.stages.measured import Measured

TEACHER = "teacher"
CUT, EMPTY = "cut", "empty"
"""Why an answer is not measured against, beside the reasons of an engine and of the checks."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What is measured against.

    Attributes:
        measured: the rows that the teacher answered, with its answers.
        said: the same answers, in the same order.
        left_out: reason to the number of rows that nobody is measured on.
    """

    measured: Measured
    said: list[Completion]
    left_out: dict[str, int]


def is_reference(request: StageRequest) -> bool:
    """Whether an evaluation is the teacher's, and others are measured against its answers."""
    return request.variant == TEACHER and request.config.get("reference") == "teacher"


def checks_of_reference(request: StageRequest) -> AnswerChecks:
    """What an answer must be that others are measured against: the same as a label."""
    return AnswerChecks(request.config["answer_schema"], request.config["reject"])


def settle(
    request: StageRequest, corpus: Corpus, asked: Measured, said: Sequence[Completion]
) -> Settled:
    """The rows that candidates can be measured on, and the answers that they are measured against.

    Args:
        request: of the teacher's evaluation; the answers that are left out are written to it.
        corpus: of the run.
        asked: every row of the holdout.
        said: an answer to each, as the engine gave it.

    Returns:
        At least one row.

    Raises:
        InputError: the teacher gave no answer that can be measured against.
    """
    examples = {example.example_id: example for example in asked.examples}
    checks = checks_of_reference(request)
    judged = [checks.judge(one) for one in said]
    most = request.config["max_tokens"]
    judged = end_unreadable(judged, examples, corpus.read_by("student"), most)
    usable = [one for one in judged if not _flaw(one)]
    left = [one for one in judged if _flaw(one)]
    left_out = dict(sorted(Counter(map(_flaw, left)).items()))
    if not usable:
        counts = ", ".join(f"{count:,} {reason}" for reason, count in left_out.items())
        raise InputError(
            f"the teacher gave no answer to {len(judged):,} measured rows that others could be "
            f"measured against: {counts}",
            "raise evaluate.max_new_tokens where they were cut, look at label.reject and "
            "label.answer_schema where they were refused, or train the teacher for longer",
        )
    write_completions(request.out / LEFT_OUT, left)
    return Settled(asked.answered_by(usable), usable, left_out)


def _flaw(answer: Completion) -> str:
    """Why an answer is not measured against; empty where it is."""
    if answer.finish == "length":
        return CUT
    if answer.finish != "stop":
        return answer.reason or answer.finish
    return "" if answer.text.strip() else EMPTY
