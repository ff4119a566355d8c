"""Harness: one candidate on tasks of lm-evaluation-harness, which is an extra of its own."""

from __future__ import annotations

import contextlib
import difflib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import AutoTokenizer

from stillhouse.core.errors import InputError
from stillhouse.core.protocols import Progress
from stillhouse.evals.bootstrap import Resampling
from stillhouse.evals.harness import read_results
from stillhouse.evals.scores import write_scores
from stillhouse.recipes.harness import METRICS, Harness
from stillhouse.stages.candidates import model_of
from stillhouse.stages.comparing import summarise_metrics
from stillhouse.stages.contract import StageRequest, StageResult
from stillhouse.stages.corpus import open_corpus
from stillhouse.stages.evaluate_files import SCORES
from stillhouse.stages.sections import section_of
from stillhouse.stages.weights import use_compute

if TYPE_CHECKING:
    from lm_eval.tasks import TaskManager

_STDERR_DRAWS = 1000
"""assumption: a standard error that is only told is known well enough within 3 %."""


def run(request: StageRequest, progress: Progress) -> StageResult:
    """Write `scores.parquet`: one row a document of a task, with what the harness measured."""
    use_compute(request.config)
    settings = section_of(Harness, request.config["harness"])
    results = _ask(request, settings)
    found = read_results(results)
    write_scores(request.out / SCORES, found.scores)
    progress(len(settings.tasks), len(settings.tasks), "tasks")
    resampling = Resampling(*(request.config[name] for name in ("draws", "confidence", "seed")))
    notes = {METRICS + name: note for name, note in found.notes.items()}
    told = summarise_metrics(found.scores, resampling, notes)
    return StageResult(
        {
            "examples": len(found.scores),
            "undefined": ", ".join(found.undefined),
            "tasks": {name: str(version) for name, version in results["versions"].items()},
            "metrics": {name: one.model_dump(mode="json") for name, one in told.items()},
        }
    )


def _ask(request: StageRequest, settings: Harness) -> dict[str, Any]:
    """What the harness says of the candidate."""
    # Its standard errors need no processes beside this one, which has torch's threads.
    os.environ["DISABLE_MULTIPROC"] = "1"
    from datasets.exceptions import DatasetsError
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    corpus = open_corpus(request.inputs["examples"], request.config["of"])
    folder = Path(request.locations["harness"]) if settings.include else None
    # Its own tasks are downloaded; thousands of files are not looked through for nothing.
    manager = TaskManager(include_path=folder, include_defaults=request.network != "none")
    _refuse_unknown(settings, manager)
    model = HFLM(
        pretrained=model_of(request, corpus),
        tokenizer=AutoTokenizer.from_pretrained(corpus.tokenizer_folder, local_files_only=True),
        batch_size=settings.batch_size,
    )
    try:
        # Where paths in task files start.
        with contextlib.chdir(folder or Path.cwd()):
            found: dict[str, Any] = simple_evaluate(
                model=model,
                tasks=list(settings.tasks),
                num_fewshot=settings.num_fewshot,
                limit=settings.limit,
                batch_size=settings.batch_size,
                bootstrap_iters=_STDERR_DRAWS,
                log_samples=True,
                task_manager=manager,
            )
    except (DatasetsError, OSError, ValueError, KeyError) as error:
        raise InputError(
            f"lm-evaluation-harness cannot ask {', '.join(settings.tasks)}: "
            f"{type(error).__name__}: {error}",
            "the task's data must be there, or network: hub lets it be downloaded; the whole trace "
            "stands in log.txt of the run",
        ) from error
    return found


def _refuse_unknown(settings: Harness, manager: TaskManager) -> None:
    for name in settings.tasks:
        if name not in manager.task_index:
            near = difflib.get_close_matches(name, manager.all_tasks, n=3)
            guess = f"did you mean {' or '.join(near)}? " if near else ""
            raise InputError(
                f"evaluate.harness.tasks: lm-evaluation-harness has no task {name!r}",
                f"{guess}lm-eval ls tasks lists its own; evaluate.harness.include adds a folder",
            )
