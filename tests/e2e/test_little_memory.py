"""The recipe of the page "little memory" holds what the page says."""

from __future__ import annotations

import importlib.util

import pytest

import stillhouse
from stillhouse.recipes.load import load_recipe
from stillhouse.recipes.optimizer_state import state_bytes
from stillhouse.recipes.sizes import sizes_of
from stillhouse.recipes.trained_shapes import trained_shapes

pytestmark = [pytest.mark.xdist_group("e2e"), pytest.mark.usefixtures("in_this_process")]
RECIPE = "docs/how-to/little-memory.yaml"


def test_the_recipe_of_the_page_keeps_to_its_budget(tmp_path):
    if importlib.util.find_spec("bitsandbytes") is None:
        pytest.skip("bitsandbytes is not installed")
    status = stillhouse.run(RECIPE, stillhouse.Call(runs=str(tmp_path)))

    stages = {stage.key: stage.summary for stage in status.stages}
    teacher, student = stages["finetune"], stages["train@student"]
    assert 0 < teacher["galore_rank"] < 64
    assert teacher["optimizer_bytes"] <= 350_000
    assert teacher["galore_matrices"] == 2 * 7
    assert teacher["galore_projections"] == 3
    recipe = load_recipe(RECIPE).recipe
    sizes = sizes_of(recipe.student.scratch.config | {"model_type": "qwen3"}, 300)
    planned = state_bytes(recipe.train.optimizer, trained_shapes(sizes, recipe.train))
    assert student["optimizer_bytes"] == pytest.approx(planned, rel=0.02)
    assert student["optimizer_bytes"] < 0.7 * 8 * student["parameters"]
