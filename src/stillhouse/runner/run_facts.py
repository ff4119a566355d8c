"""What is known of a run: its record, its manifests, and what its evaluations wrote."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from stillhouse.core.errors import ArtifactError
from stillhouse.core.hashing import digest_value
from stillhouse.core.rows import Completion, Ended, Example
from stillhouse.data.execution import ENDED
from stillhouse.data.shards import shard_paths
from stillhouse.data.storage import read_completions, read_ended, read_examples
from stillhouse.evals.bootstrap import Resampling
from stillhouse.evals.scores import Scores, read_scores
from stillhouse.evals.summary import EvaluationSummary, Speed
from stillhouse.stages.corpus import EXAMPLES
from stillhouse.stages.evaluate_files import COMPLETIONS, SCORES
from stillhouse.store.account import ACCOUNT, JOURNAL
from stillhouse.store.artifacts import ArtifactStore, Manifest
from stillhouse.store.runs import RunFolder, RunInstance, RunRecord
from stillhouse.store.spending import StageSpending, spending_by_stage

STUDENT, TEACHER, HOLDOUT = "student", "teacher", "holdout"


class RunFacts:
    """A run, read once; torn artifacts count as absent.

    Args:
        folder: of the run.
        store: with its artifacts.
    """

    def __init__(self, folder: RunFolder, store: ArtifactStore) -> None:
        self.folder = folder
        self.store = store
        self.record: RunRecord = folder.read()
        self.manifests = {item.key: self._find(item) for item in self.record.instances}

    def _find(self, item: RunInstance) -> Manifest | None:
        try:
            return self.store.find(item.artifact_id)
        except ArtifactError:
            return None

    def of_stage(self, stage: str) -> Iterator[tuple[RunInstance, Manifest]]:
        """The finished instances of a stage."""
        for item in self.record.instances:
            manifest = self.manifests[item.key]
            if item.stage == stage and manifest:
                yield item, manifest

    def summary_of(self, stage: str) -> dict[str, Any]:
        """The summary of a stage's first finished instance; empty without one."""
        return next((manifest.summary for _, manifest in self.of_stage(stage)), {})

    def folder_of(self, stage: str) -> Path | None:
        """Where a stage's first finished instance lies."""
        return next((self.store.path(item.artifact_id) for item, _ in self.of_stage(stage)), None)

    def ended_when_collected(self) -> Iterator[tuple[str, Ended]]:
        """Rows that were held back before any step saw them, without fields, each with by what."""
        for item, manifest in self.of_stage("collect"):
            step_of = step_by_reason(manifest.summary)
            for path in shard_paths(self.store.path(item.artifact_id) / ENDED):
                for one in read_ended(path):
                    yield step_of.get(one.reason, "collect"), one

    def _on_the_holdout(self) -> Iterator[tuple[str, RunInstance, Manifest]]:
        for item, manifest in self.of_stage("evaluate"):
            # A teacher with a gate of its own is measured on other examples too.
            if manifest.config.get("part", "holdout") == "holdout":
                yield variant_of(item), item, manifest

    @cached_property
    def evaluated(self) -> dict[str, Path]:
        """Candidate to the folder of its evaluation."""
        return {name: self.store.path(item.artifact_id) for name, item, _ in self._on_the_holdout()}

    @cached_property
    def evaluations(self) -> dict[str, EvaluationSummary]:
        """Candidate to what its evaluation says of itself, and how it did on public tasks."""
        tasks = {variant_of(item): one.summary["metrics"] for item, one in self.of_stage("harness")}
        return {
            name: EvaluationSummary.model_validate(
                {
                    **manifest.summary,
                    "metrics": manifest.summary.get("metrics", {}) | tasks.get(name, {}),
                }
            )
            for name, _, manifest in self._on_the_holdout()
        }

    @cached_property
    def scores(self) -> dict[str, Scores]:
        """Candidate to its scores."""
        return {name: read_scores(folder / SCORES) for name, folder in self.evaluated.items()}

    @cached_property
    def completions(self) -> dict[str, dict[str, Completion]]:
        """Candidate to its answers, by example."""
        return {
            name: {one.example_id: one for one in read_completions(folder / COMPLETIONS)}
            for name, folder in self.evaluated.items()
        }

    @cached_property
    def examples(self) -> list[Example]:
        """All examples; none before `prepare` is done."""
        folder = self.folder_of("prepare")
        return read_examples(folder / EXAMPLES) if folder else []

    @property
    def is_by_teacher(self) -> bool:
        """Whether the teacher's answers are measured against."""
        return bool(self.record.recipe["evaluate"].get("reference") == "teacher")

    @property
    def holdout(self) -> list[Example]:
        """The examples that are measured, with the answers that they are measured against."""
        measured = [one for one in self.examples if one.part == HOLDOUT]
        if not self.is_by_teacher:
            return [one for one in measured if one.answer is not None]
        said = self.completions.get(TEACHER, {})
        return [
            replace(one, answer=said[one.example_id].text)
            for one in measured
            if one.example_id in said
        ]

    @cached_property
    def holdout_digest(self) -> str:
        """Equal for runs that were measured on the same examples with the same references."""
        asked = [
            [one.example_id, [turn.as_list() for turn in one.prompt], one.reference, one.answer]
            for one in self.holdout
        ]
        return digest_value(sorted(asked, key=lambda one: str(one[0])))

    @property
    def baselines(self) -> dict[str, dict[str, Any]]:
        """The other candidates that the recipe names, as it says them."""
        return {one["name"]: one for one in self.record.recipe["evaluate"].get("baselines", ())}

    @property
    def answers_are_objects(self) -> bool:
        """Whether answers are compared as JSON."""
        return bool(self.record.recipe["prepare"]["answer_format"] == "json")

    @property
    def resampling(self) -> Resampling:
        """How the recipe wants its intervals."""
        settings = self.record.recipe["evaluate"]
        return Resampling(settings["draws"], settings["confidence"], settings["seed"])

    def speed_of(self, candidate: str) -> Speed | None:
        """How fast a candidate answered; None where it was not measured.

        A baseline that is no model in memory is timed while it is evaluated.
        """
        timed = [*self.of_stage("speed"), *self.of_stage("evaluate")]
        found = (
            Speed.from_measured(self.store.read_measured(item.artifact_id))
            for item, _ in timed
            if variant_of(item) == candidate
        )
        return next((speed for speed in found if speed), None)

    def spending(self) -> list[StageSpending]:
        """What this run spent on models behind an API, by stage."""
        account = self.folder.path.parent / ACCOUNT / JOURNAL
        stages = spending_by_stage(account) if account.is_file() else []
        return [one for one in stages if one.run == self.record.name]

    def read_json(self, item: RunInstance, name: str) -> Any:
        """A JSON file of an artifact."""
        return json.loads((self.store.path(item.artifact_id) / name).read_bytes())


def variant_of(item: RunInstance) -> str:
    """The variant of an instance; empty when its stage has one."""
    return item.key.partition("@")[2]


def step_by_reason(summary: Mapping[str, Any]) -> dict[str, str]:
    """Reason to the step that ended rows for it, of a stage whose summary has a flow."""
    return {reason: one["step"] for one in summary.get("flow", ()) for reason in one["dropped"]}
