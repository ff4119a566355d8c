"""The student's answers that are wrong, or learned by heart, on a run's page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from stillhouse.core.rows import Example
from stillhouse.data.drafts import without_system
from stillhouse.evals.errors import Answered, can_be_wrong, cluster_errors
from stillhouse.evals.scores import Scores
from stillhouse.report.findings import (
    CopiedAnswer,
    CopiedReport,
    ErrorCluster,
    ErrorExample,
    ErrorReport,
)
from stillhouse.runner.run_facts import STUDENT, RunFacts
from stillhouse.stages.evaluate_files import COPIED

_SHOWN = 5
_RIGHT = "exact"
_SLICE = "slice:"


def error_report(facts: RunFacts, candidate: str = STUDENT) -> ErrorReport | None:
    """The candidate's errors; None where it was not measured or nothing counts as an error."""
    scores = facts.scores.get(candidate)
    if scores is None or not scores.has(_RIGHT) or not facts.holdout:
        return None
    answered = list(_answered(facts, candidate, scores))
    as_objects = facts.answers_are_objects
    if not can_be_wrong(answered, as_objects=as_objects):
        return None
    clusters = cluster_errors(answered, as_objects=as_objects)
    return ErrorReport(
        candidate=candidate,
        num_wrong=sum(one.is_wrong for one in answered),
        num_examples=len(answered),
        clusters=tuple(
            ErrorCluster(
                kind=one.kind,
                title=one.title,
                num_wrong=len(one.wrong),
                num_seen=one.num_seen,
                advice=one.advice,
                examples=tuple(map(_shown, one.wrong[:_SHOWN])),
            )
            for one in clusters
        ),
    )


def copied_report(facts: RunFacts, candidate: str = STUDENT) -> CopiedReport | None:
    """What the candidate says as it was learned; None where the recipe does not ask."""
    folder = facts.evaluated.get(candidate)
    if folder is None or not (folder / COPIED).is_file():
        return None
    found = json.loads((folder / COPIED).read_bytes())
    said = facts.completions[candidate]
    return CopiedReport(
        candidate=candidate,
        num_copied=found["num_copied"],
        num_examples=len(said),
        num_learned=found["learned"],
        num_prompts_seen=len(found["prompts_seen"]),
        answers=tuple(
            CopiedAnswer(**one, given=said[one["example_id"]].text) for one in found["copied"]
        ),
    )


def _answered(facts: RunFacts, candidate: str, scores: Scores) -> Iterator[Answered]:
    examples = {one.example_id: one for one in facts.holdout}
    completions = facts.completions[candidate]
    is_right = scores.column(_RIGHT)
    for place, example_id in enumerate(scores.example_ids):
        example, said = examples.get(example_id), completions.get(example_id)
        if example is None or said is None:
            continue
        yield Answered(
            example_id=example_id,
            prompt=prompt_of(example),
            expected=example.reference or example.answer or "",
            given=said.text,
            is_wrong=not is_right[place],
            is_cut=said.finish == "length",
            slices=_slices(scores, place),
        )


def _slices(scores: Scores, place: int) -> dict[str, str]:
    """The slices that an example lies in; of several of one kind the first."""
    found: dict[str, str] = {}
    for column, values in scores.columns.items():
        if column.startswith(_SLICE) and values[place]:
            kind, _, name = column.removeprefix(_SLICE).partition("=")
            found.setdefault(kind, name)
    return found


def prompt_of(example: Example) -> str:
    """What an example asks, without the system message that all may share."""
    turns: Sequence[str] = [turn.content for turn in without_system(example.prompt)]
    return "\n".join(turns)


def _shown(one: Answered) -> ErrorExample:
    return ErrorExample(
        example_id=one.example_id, prompt=one.prompt, expected=one.expected, given=one.given
    )
