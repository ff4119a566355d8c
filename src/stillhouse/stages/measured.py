"""The examples that candidates are measured on, with what their rows tell beside the answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stillhouse.core.errors import ArtifactError, InputError
from stillhouse.core.rows import Completion, Example
from stillhouse.data.storage import read_completions, read_rows_file
from stillhouse.recipes.measuring import Reference
from stillhouse.stages.contract import StageRequest
from stillhouse.stages.corpus import MEASURED_ROWS, Corpus
from stillhouse.stages.evaluate_files import COMPLETIONS


@dataclass(frozen=True, slots=True)
class Measured:
    """What is measured on.

    Attributes:
        part: of the examples.
        examples: at least one, each with an answer.
        fields: of their rows, cleaned, in the same order.
        reference: whose those answers are.
    """

    part: str
    examples: list[Example]
    fields: list[dict[str, Any]]
    reference: Reference = "gold"

    @property
    def ids(self) -> tuple[str, ...]:
        """The examples' names."""
        return tuple(example.example_id for example in self.examples)

    def references(self) -> list[str]:
        """What is right, one for each."""
        return [item.reference or item.answer or "" for item in self.examples]

    def answered_by(self, said: Iterable[Completion]) -> Measured:
        """Those of the examples that the teacher answered, with its answers as their own."""
        answers = {one.example_id: one.text for one in said}
        found = [
            (replace(example, answer=answers[example.example_id], reference=None), fields)
            for example, fields in zip(self.examples, self.fields, strict=True)
            if example.example_id in answers
        ]
        examples = [example for example, _ in found]
        return Measured(self.part, examples, [fields for _, fields in found], "teacher")


def find_measured(corpus: Corpus, prepared: Path, part: str = "holdout") -> Measured:
    """The examples of a part that have an answer.

    Args:
        corpus: of the run.
        prepared: the folder that it was read from.
        part: validation or holdout.

    Returns:
        At least one example.

    Raises:
        InputError: there is none.
    """
    examples = [example for example in corpus.iterate([part]) if example.answer is not None]
    if not examples:
        raise InputError(
            f"no {part} example has an answer, so nothing can be measured",
            "name the column that holds answers under prepare.answer; rows that hold only prompts "
            "are measured with evaluate.reference: teacher",
        )
    return _with_rows(part, examples, prepared)


def find_asked(corpus: Corpus, prepared: Path, part: str = "holdout") -> Measured:
    """The examples of a part, whether or not they have an answer."""
    return _with_rows(part, list(corpus.iterate([part])), prepared)


def measured_of(request: StageRequest, corpus: Corpus) -> Measured:
    """What a candidate is measured on: with gold answers, or those of the teacher's evaluation.

    Args:
        request: of an instance; its input `teacher` is read where its configuration names the
            teacher as reference.
        corpus: of the run.

    Returns:
        At least one example.

    Raises:
        InputError: there is none.
    """
    config, prepared = request.config, request.inputs["examples"]
    part = config.get("part", "holdout")
    if config.get("reference") != "teacher":
        return find_measured(corpus, prepared, part)
    said = read_completions(request.inputs["teacher"] / COMPLETIONS)
    return find_asked(corpus, prepared, part).answered_by(said)


def _with_rows(part: str, examples: list[Example], prepared: Path) -> Measured:
    rows = {row.row_id: row.fields for row in read_rows_file(prepared / MEASURED_ROWS)}
    return Measured(part, examples, [rows[example.example_id] for example in examples])


def read_answers(folder: Path, measured: Measured) -> list[Completion]:
    """The answers that an evaluation wrote, in the order of the examples.

    Args:
        folder: of its artifact.
        measured: what it was measured on.

    Returns:
        One an example.

    Raises:
        ArtifactError: it holds no answers, or those to other examples.
    """
    path = folder / COMPLETIONS
    answers = {answer.example_id: answer for answer in read_completions(path)}
    hint = "measure both on the same rows: run the recipe again"
    if not answers:
        raise ArtifactError(f"{path} holds no answer", hint)
    lacking = [name for name in measured.ids if name not in answers]
    strange = len(answers.keys() - set(measured.ids))
    if lacking or strange:
        raise ArtifactError(
            f"{path} holds answers to other examples than the {measured.part} of this run: "
            f"{len(lacking)} of {len(measured.ids)} are missing, {strange} are of other rows"
            + (f"; the first that is missing is {lacking[0]}" if lacking else ""),
            hint,
        )
    return [answers[name] for name in measured.ids]


def texts_of(answers: Sequence[Completion]) -> list[str]:
    """What was said."""
    return [answer.text for answer in answers]
