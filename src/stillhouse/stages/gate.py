"""Gate: the recipe's rules asked about a candidate, on scores already written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stillhouse.core.files import write_json
from stillhouse.core.protocols import Progress
from stillhouse.evals.bootstrap import Resampling
from stillhouse.evals.gates import Verdict, decide
from stillhouse.evals.scores import read_scores
from stillhouse.recipes.gating import Gate
from stillhouse.stages.contract import StageRequest, StageResult
from stillhouse.stages.evaluate_files import SCORES
from stillhouse.stages.sections import section_of


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
    scores = {name: read_scores(folder / SCORES) for name, folder in inputs.items()}
    return decide(gate, scores, candidate, resampling)


def run(request: StageRequest, progress: Progress) -> StageResult:
    """Write `verdict.json`; a refusal is a result, not a failure of the stage."""
    verdict = ask_gate(request.config, request.inputs, request.config["candidate"])
    plain = verdict.model_dump(mode="json")
    write_json(request.out / "verdict.json", plain)
    progress(1, 1, "verdicts")
    return StageResult({"verdict": plain})
