"""One row's whole way through a run: steps, part, the teacher's answers, every prediction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from stillhouse.core.errors import ArtifactError, InputError
from stillhouse.core.rows import Example, Keep, Outcome, Row
from stillhouse.data.augment import CHECK_VERSIONS
from stillhouse.data.history import (
    Account,
    History,
    StepAccount,
    ended_account,
    stored_outcomes,
    trace_row,
)
from stillhouse.data.prepare import build_steps
from stillhouse.data.row_columns import iterate_column
from stillhouse.data.shards import read_rows_of
from stillhouse.data.storage import read_completions, read_ended
from stillhouse.recipes.domains import Domain
from stillhouse.recipes.rows import Prepare
from stillhouse.runner.run import Place
from stillhouse.runner.run_facts import RunFacts, variant_of
from stillhouse.stages.corpus import DROPPED
from stillhouse.stages.label_files import COMPLETIONS
from stillhouse.stages.sections import section_of

_FIT = "fit_to_context"
_LEAST_PREFIX = 4


@dataclass(frozen=True, slots=True)
class Prediction:
    """A candidate's answer to an example.

    Attributes:
        candidate: who.
        text: the answer.
        finish: how it ended.
        scores: what was measured on this example, by column.
    """

    candidate: str
    text: str
    finish: str
    scores: dict[str, float]


@dataclass(frozen=True, slots=True)
class ExampleHistory:
    """An example that was made of the row.

    Attributes:
        example_id: of the example.
        part: what it is for.
        prompt: as the models see it.
        answer: what is learned of it; None when only the teacher may say.
        reference: what answers are measured against.
        labels: the teacher's answers to it, with how each ended.
        trained: instances that learned from its part.
        predictions: of every candidate that was measured on it.
    """

    example_id: str
    part: str
    prompt: str
    answer: str | None
    reference: str | None
    labels: tuple[str, ...]
    trained: tuple[str, ...]
    predictions: tuple[Prediction, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """A row's history in a run.

    Attributes:
        run: its name.
        other_runs: runs that have the same row.
        row_id: of the collected row.
        provenance: where it was read.
        fields: its columns.
        steps: what each step did to it.
        examples: what was made of it.
    """

    run: str
    other_runs: tuple[str, ...]
    row_id: str
    provenance: str
    fields: dict[str, Any]
    steps: tuple[StepAccount, ...]
    examples: tuple[ExampleHistory, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def explain_row(root: Place, row_id: str, run: str = "") -> Explanation:
    """The history of a row.

    Args:
        root: the folder of all runs.
        row_id: of a row or an example, or its beginning where that is of one row alone.
        run: the run to look into; the last one that has the row if empty.

    Returns:
        What became of the row, step by step.

    Raises:
        InputError: no run has it, or several rows begin so.
    """
    runs = _runs(root, run)
    for facts in runs:
        found = _find(facts, row_id)
        if found is None:
            continue
        history = found
        others = () if run else tuple(
            other.record.name for other in runs
            if other is not facts and _has_row(other, history.row.row_id)
        )  # fmt: skip
        return Explanation(
            run=facts.record.name,
            other_runs=others,
            row_id=history.row.row_id,
            provenance=history.row.provenance,
            fields=history.row.fields,
            steps=(*history.accounts, *_fitted(facts, history)),
            examples=tuple(_examples(facts, history)),
        )
    names = ", ".join(facts.record.name for facts in runs) or "none"
    raise InputError(
        f"no row {row_id!r} in the runs below {root.root}",
        f"looked into: {names}; ids stand on a report's page below each example",
    )


def _runs(root: Place, run: str) -> list[RunFacts]:
    """The run, or all of them, the last one first."""
    if run:
        place = Place(root.root, run)
        return [RunFacts(place.folder, place.store)]
    paths = sorted(root.root.glob("*/run.json"), key=_written, reverse=True)
    found = []
    for path in paths:
        place = Place(root.root, path.parent.name)
        try:
            found.append(RunFacts(place.folder, place.store))
        except ArtifactError:
            continue
    return found


def _written(path: Path) -> tuple[float, str]:
    return path.stat().st_mtime, path.parent.name


def _rows_of(facts: RunFacts) -> list[Row]:
    folder = facts.folder_of("collect")
    return read_rows_of(folder) if folder else []


def _has_row(facts: RunFacts, row_id: str) -> bool:
    return any(row.row_id == row_id for row in _rows_of(facts)) or any(
        one.row.row_id == row_id for _, one in facts.ended_when_collected()
    )


def _find(facts: RunFacts, row_id: str) -> History | None:
    rows = _rows_of(facts)
    held_back = {one.row.row_id: (step, one) for step, one in facts.ended_when_collected()}
    known = dict.fromkeys([row.row_id for row in rows] + [e.example_id for e in facts.examples])
    known |= dict.fromkeys(held_back)
    for item, _ in facts.of_stage("step"):
        # A row that one step made and a later one ended stands nowhere else.
        known |= dict.fromkeys(iterate_column(facts.store.path(item.artifact_id), "row_id"))
    chosen = row_id
    if row_id not in known and len(row_id) >= _LEAST_PREFIX:
        near = [name for name in known if name.startswith(row_id)]
        if len(near) > 1:
            raise InputError(
                f"{len(near)} rows of {facts.record.name!r} begin with {row_id!r}",
                f"write more of it: {', '.join(near[:5])}",
            )
        chosen = near[0] if near else row_id
    if chosen in held_back:
        step, one = held_back[chosen]
        return History(one.row, (ended_account(step, one),), ())
    if not rows:
        return None
    return trace_row(rows, _steps(facts), chosen)


def _steps(facts: RunFacts) -> list[tuple[str, Account]]:
    """What the named steps wrote down, then those of `prepare`, done again."""
    stored: list[tuple[str, Account]] = [
        (variant_of(item), partial(stored_outcomes, facts.store.path(item.artifact_id)))
        for item, _ in facts.of_stage("step")
    ]
    prepared = next((manifest for _, manifest in facts.of_stage("prepare")), None)
    if prepared is None:
        return stored
    domains = {
        name: section_of(Domain, plain) for name, plain in prepared.config.get("domains", ())
    }
    prepare = section_of(Prepare, prepared.config["prepare"])
    folder = facts.folder_of("prepare")
    assert folder is not None
    told = {CHECK_VERSIONS: partial(_checked, folder)}
    reference = prepared.config.get("reference", "gold")
    steps = build_steps(prepare, domains, reference=reference)
    return stored + [(step.name, told.get(step.name, step.process)) for step in steps]


def _checked(folder: Path, versions: Sequence[Row]) -> list[Outcome]:
    """What was thought of versions, which nobody asks for again: as `prepare` kept it."""
    ended = {one.row.row_id: one for one in read_ended(folder / DROPPED)}
    return [ended.get(row.row_id) or Keep(row) for row in versions]


def _fitted(facts: RunFacts, history: History) -> Iterator[StepAccount]:
    """What fitting to the context did, which needs the tokenizer: as `prepare` kept it."""
    folder = facts.folder_of("prepare")
    if folder is None:
        return
    kept = {example.example_id for example in facts.examples}
    reasons = {drop.row.row_id: drop for drop in read_ended(folder / DROPPED)}
    for name in history.descendants:
        if name in kept:
            yield StepAccount(_FIT, name, "kept")
        elif name in reasons:
            drop = reasons[name]
            yield StepAccount(_FIT, name, "dropped", f"{drop.reason} ({drop.evidence})")


def _examples(facts: RunFacts, history: History) -> Iterator[ExampleHistory]:
    wanted = set(history.descendants)
    labels = _labels(facts)
    for example in facts.examples:
        if example.example_id in wanted:
            yield ExampleHistory(
                example_id=example.example_id,
                part=example.part,
                prompt="\n".join(turn.content for turn in example.prompt),
                answer=example.answer,
                reference=example.reference,
                labels=tuple(labels.get(example.example_id, ())),
                trained=tuple(_trained_on(facts, example)),
                predictions=tuple(_predictions(facts, example)),
            )


def _labels(facts: RunFacts) -> dict[str, list[str]]:
    folder = facts.folder_of("label")
    found: dict[str, list[str]] = {}
    if folder and (folder / COMPLETIONS).is_file():
        for one in read_completions(folder / COMPLETIONS):
            ended = f" [{one.reason or one.finish}]" if one.finish != "stop" else ""
            found.setdefault(one.example_id, []).append(f"{one.text}{ended}")
    return found


def _trained_on(facts: RunFacts, example: Example) -> Iterator[str]:
    for stage in ("finetune", "train"):
        for item, manifest in facts.of_stage(stage):
            if example.part in manifest.config["training"]["parts"]:
                yield " ".join(filter(None, (stage, variant_of(item))))


def _predictions(facts: RunFacts, example: Example) -> Iterator[Prediction]:
    for name, said in facts.completions.items():
        answer = said.get(example.example_id)
        if answer is None:
            continue
        scores = facts.scores[name]
        place = scores.example_ids.index(example.example_id)
        columns = {column: float(values[place]) for column, values in scores.columns.items()}
        yield Prediction(name, answer.text, answer.finish, columns)
