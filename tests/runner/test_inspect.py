"""A run that is there, asked about afterwards: the gate says what it said in the run."""

import numpy as np
import pytest

from stillhouse.core.errors import ArtifactError, InputError
from stillhouse.evals.scores import Scores, write_scores
from stillhouse.recipes.compute import ResolvedCompute
from stillhouse.recipes.instance_config import Content
from stillhouse.recipes.load import load_recipe
from stillhouse.recipes.plan import build_plan
from stillhouse.runner.inspect import judge
from stillhouse.runner.opening import named_place
from stillhouse.runner.outgoing import recipe_of
from stillhouse.stages.evaluate_files import SCORES
from stillhouse.store.artifacts import Manifest
from stillhouse.store.runs import RunInstance, RunRecord

RULES = "{rules: [{metric: exact_match, at_least: 0.5}, {metric: bundle_bytes, at_most: 1000}]}"
ALONE = {
    "exported": {"bundle_bytes": np.full(40, 7.0)},
}
"""Columns that one form alone has."""


def seal(place, instance, columns):
    with place.store.work_folder(instance.artifact_id) as work:
        if columns:
            ids = tuple(map(str, range(40)))
            write_scores(work / "out" / SCORES, Scores(ids, columns))
        told = {"files": (), "summary": {}, "versions": {}, "inputs": {}, "stage_version": 1}
        place.store.seal(
            Manifest(
                artifact_id=instance.artifact_id,
                instance=instance.key,
                config=instance.config,
                **told,
            )
        )


@pytest.fixture
def place(tmp_path):
    recipe = load_recipe("quickstart", [f"gate={RULES}"]).recipe
    plan = build_plan(recipe, Content(source="rows"), ResolvedCompute("cpu", "float32", 2))
    found = named_place(str(tmp_path), "r")
    for one in plan.instances:
        if one.stage == "evaluate":
            seal(found, one, {"exact": np.ones(40)} | ALONE.get(one.variant, {}))
        elif one.stage == "gate":
            seal(found, one, {})
    instances = tuple(
        RunInstance(key=one.key, stage=one.stage, artifact_id=one.artifact_id, inputs=one.inputs)
        for one in plan.instances
    )
    plain = recipe.model_dump(mode="json", by_alias=True)
    found.folder.write(RunRecord(name="r", recipe=plain, instances=instances), "")
    return found


@pytest.mark.parametrize(
    ("candidate", "metrics"),
    [
        ("student", ["exact_match"]),
        ("teacher", ["exact_match"]),
        ("exported", ["exact_match", "bundle_bytes"]),
    ],
)
def test_a_gate_is_asked_by_the_rules_of_its_run(place, candidate, metrics):
    verdict = judge(place, candidate)
    assert verdict.passed
    assert [rule.metric for rule in verdict.rules] == metrics


def test_what_was_not_measured_or_asked_yet_is_named(place):
    ids = {one.key: one.artifact_id for one in place.folder.read().instances}
    place.store.remove(ids["gate@exported"])
    with pytest.raises(InputError, match="gate@exported of 'r' is not there yet"):
        judge(place, "exported")
    place.store.remove(ids["evaluate@twin"])
    with pytest.raises(InputError, match="evaluate@twin of 'r' is not there yet"):
        judge(place, "student")


def test_a_run_of_a_recipe_that_this_version_does_not_take_is_named(place):
    record = place.folder.read()
    place.folder.update(record.model_copy(update={"recipe": record.recipe | {"speed": "fast"}}))
    with pytest.raises(ArtifactError, match="the recipe of 'r' is none of this version: speed: "):
        recipe_of(place)
