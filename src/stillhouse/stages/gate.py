"""Gate: the recipe's rules asked about a candidate, on scores already written."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

from stillhouse.core.errors import ArtifactError
from stillhouse.core.files import write_json
from stillhouse.core.protocols import Progress
from stillhouse.evals.bootstrap import Resampling
from stillhouse.evals.gates import Verdict, decide
from stillhouse.evals.scores import Scores, read_scores
from stillhouse.recipes.gating import Gate
from stillhouse.recipes.harness import METRICS as HARNESS_METRICS
from stillhouse.recipes.plan import HARNESS_OF, JUDGED_OF, SPEED_OF
from stillhouse.stages.contract import StageRequest, StageResult
from stillhouse.stages.evaluate_files import SCORES
from stillhouse.stages.sections import section_of

_FURTHER = (SPEED_OF, JUDGED_OF)


def ask_gate(config: dict[str, Any], inputs: dict[str, Path], candidate: str) -> Verdict:
    """The verdict on a candidate, from the folders that `evaluate` wrote.

    Args:
        config: a gate instance's configuration.
        inputs: candidate to its evaluate artifact's folder.
        candidate: one of them.

    Returns:
        The verdict, rule by rule.
    """
    gate = section_of(Gate, config["gate"])
    resampling = Resampling(
        draws=config["draws"],
        confidence=config["confidence"],
        seed=config["seed"],
    )
    tables = {name: read_scores(folder / SCORES) for name, folder in inputs.items()}
    on_tasks = {
        name.removeprefix(HARNESS_OF): tables.pop(name)
        for name in list(tables)
        if name.startswith(HARNESS_OF)
    }
    scores = {name: table for name, table in tables.items() if not name.startswith(_FURTHER)}
    for name, kind in product(scores, _FURTHER):
        if kind + name in tables:
            scores[name] = with_columns(scores[name], tables[kind + name])
    verdict = _decide(gate, scores, on_tasks, candidate, resampling)
    return verdict.model_copy(update={"reference": config.get("reference", "gold")})


def _decide(
    gate: Gate,
    scores: Mapping[str, Scores],
    on_tasks: Mapping[str, Scores],
    candidate: str,
    resampling: Resampling,
) -> Verdict:
    """The verdict of two tables, because public tasks are other examples than the holdout."""
    of_tasks = tuple(rule for rule in gate.rules if rule.metric.startswith(HARNESS_METRICS))
    others = tuple(rule for rule in gate.rules if rule not in of_tasks)
    verdict = decide(gate.model_copy(update={"rules": others}), scores, candidate, resampling)
    if not of_tasks:
        return verdict
    more = decide(gate.model_copy(update={"rules": of_tasks}), on_tasks, candidate, resampling)
    return verdict.model_copy(
        update={"passed": verdict.passed and more.passed, "rules": verdict.rules + more.rules}
    )


def with_columns(scores: Scores, more: Scores) -> Scores:
    """Scores with further columns of the same examples.

    Args:
        scores: of a candidate.
        more: further scores of it.

    Returns:
        Both.

    Raises:
        ArtifactError: they are of other examples.
    """
    if scores.example_ids != more.example_ids:
        raise ArtifactError(
            "a candidate was timed or judged on other examples than it was measured on",
            "run the recipe again",
        )
    return Scores(scores.example_ids, {**scores.columns, **more.columns})


def run(request: StageRequest, progress: Progress) -> StageResult:
    """Write `verdict.json`; a refusal is a result, not a failure of the stage."""
    verdict = ask_gate(request.config, request.inputs, request.config["candidate"])
    # Where gold answers are measured against, nothing is said that was not said before.
    unsaid = {"reference"} if verdict.reference == "gold" else set()
    plain = verdict.model_dump(mode="json", exclude=unsaid)
    write_json(request.out / "verdict.json", plain)
    progress(1, 1, "verdicts")
    return StageResult({"verdict": plain})
