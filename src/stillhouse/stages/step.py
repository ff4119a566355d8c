"""Step: one of the recipe's named steps, done to every row, shard by shard."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stillhouse.core.protocols import Progress
from stillhouse.data.account import Step
from stillhouse.data.asking import NO_ENGINES, AskedEngine
from stillhouse.data.cluster import RayCluster
from stillhouse.data.dealing import deal
from stillhouse.data.execution import (
    COUNTS,
    Executor,
    Inline,
    Processes,
    forget_waiting,
    run_sharded,
)
from stillhouse.data.pairing import Setting
from stillhouse.data.row_steps import Aids, build_row_step, require_rows
from stillhouse.data.shards import COLLECTED, read_shards, shard_paths
from stillhouse.data.step_files import location_of_step_file
from stillhouse.data.steps import CleanStep
from stillhouse.data.tables_told import TellingStep
from stillhouse.evals.coverage import CoverageStep
from stillhouse.models.encode import TextEncoder
from stillhouse.recipes.annotations import CheckAnnotations
from stillhouse.recipes.coverage import Coverage
from stillhouse.recipes.data_steps import STEP_SECTIONS, DataStep
from stillhouse.recipes.meaning_steps import COMPARING
from stillhouse.recipes.prompt_steps import TransformByRule
from stillhouse.recipes.row_step import FileStep
from stillhouse.recipes.rows import Clean
from stillhouse.stages.contract import StageRequest, StageResult
from stillhouse.stages.sections import section_of
from stillhouse.stages.step_engines import open_engines, refuse_waiting
from stillhouse.tasks.prompts.transform_step import TransformStep
from stillhouse.tasks.songs.annotation_step import CheckAnnotationsStep

_ABOVE: dict[type, Callable[[Any], Step]] = {
    CheckAnnotations: CheckAnnotationsStep,
    Coverage: CoverageStep,
    TransformByRule: TransformStep,
}
"""Steps that know more than the floor of the rows does."""

_SHARDS_FOR_PROCESSES = 4
"""measured: starting two processes takes a second, which three shards do not save."""


def run(request: StageRequest, progress: Progress) -> StageResult:
    """Write the rows that go on in shards, and beside them `ended/` with those that do not."""
    source = request.inputs["rows"]
    if not shard_paths(source):
        source = _dealt(source, request.scratch / "dealt")
    made = request.scratch / "made"
    # A model has the processors for itself, and stands in memory once.
    is_alone = "machine" in request.config
    executor = Inline() if is_alone else _executor(request.locations, len(shard_paths(source)))
    settings, encoder = settings_of(request.config), _encoder(request)
    if settings is not None and settings.asked:
        with open_engines(request, settings, progress) as engines:
            # Here, because the account has one writer.
            step = step_of(request.config, request.locations, encoder, engines)
            count = run_sharded(step, source, made, Inline(), progress)
        forget_waiting(made)
        refuse_waiting(count, settings, count.rows_in)
    else:
        step = step_of(request.config, request.locations, encoder)
        count = run_sharded(step, source, made, executor, progress)
    require_rows(count)
    # Raises where the rows are not as the step wants them.
    told = step.tell(read_shards(made)) if isinstance(step, TellingStep) else {}
    tables = {"tables": told} if told else {}
    shutil.copytree(made, request.out, dirs_exist_ok=True, ignore=shutil.ignore_patterns(COUNTS))
    return StageResult({"rows": count.rows_out, "flow": [asdict(count)], **tables})


def settings_of(config: dict[str, Any]) -> DataStep | None:
    """The settings of a named step; None for the cleaning before all of them."""
    if "clean" in config:
        return None
    wanted = config["step"]
    return section_of(STEP_SECTIONS[wanted["name"]], wanted)  # type: ignore[return-value]


def step_of(
    config: dict[str, Any],
    locations: Mapping[str, str],
    encode: TextEncoder | None = None,
    engines: Mapping[str, AskedEngine] = NO_ENGINES,
) -> Step:
    """The step that an instance's configuration means.

    Args:
        config: of the instance.
        locations: where its file lies, see `location_of_step_file`.
        encode: the model that it names; None where it names none, or is not to be asked.
        engines: that it asks, by their key below the step.

    Returns:
        Picklable where no engine is asked.
    """
    settings = settings_of(config)
    if settings is None:
        return CleanStep(section_of(Clean, config["clean"]))
    above = _ABOVE.get(type(settings))
    if above:
        return above(settings)
    paired, against = [Setting(*one) for one in config.get("paired", ())], config.get("against", "")
    if isinstance(settings, FileStep):
        file = locations[location_of_step_file(against)]
        settings = settings.model_copy(update={"file": file})
    aids = Aids(paired, against, encode, engines)
    return build_row_step(settings, aids)


def _encoder(request: StageRequest) -> TextEncoder | None:
    """The model that the step compares texts with."""
    machine = request.config.get("machine")
    if machine is None:
        return None
    step = request.config["step"]
    content = step["by"]["path"]
    return TextEncoder(
        folder=Path(request.locations[f"encoder {content}"]),
        # A few texts at a time are not worth a file.
        kept=request.scratch / "vectors" if step["name"] in COMPARING else None,
        device=machine["device"],
        dtype=machine["dtype"],
    )


def _dealt(source: Path, folder: Path) -> Path:
    """The collected rows in shards, made once: the folder is renamed when it is whole."""
    if not folder.is_dir():
        part = folder.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        deal(source / COLLECTED, part)
        part.rename(folder)
    return folder


def _executor(locations: dict[str, str], num_shards: int) -> Executor:
    kind, workers = locations.get("rows_by", "inline"), int(locations.get("rows_workers", "1"))
    if kind == "ray":
        return RayCluster(locations.get("ray", ""), workers)
    is_worth_it = workers > 1 and num_shards >= _SHARDS_FOR_PROCESSES
    if kind == "processes" or (kind == "auto" and is_worth_it):
        return Processes(workers)
    return Inline()
