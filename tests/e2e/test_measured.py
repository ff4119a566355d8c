"""The recipe of the page "measure and gate" does what the page says."""

from __future__ import annotations

import pytest

import stillhouse
from stillhouse.evals.summary import EvaluationSummary

pytestmark = [pytest.mark.xdist_group("e2e"), pytest.mark.usefixtures("in_this_process")]
RECIPE = "docs/how-to/measured.yaml"


def test_the_recipe_of_the_page_measures_what_it_names_and_gates_three_times(tmp_path):
    call = stillhouse.Call(runs=str(tmp_path))

    status = stillhouse.run(RECIPE, call)

    stages = {stage.key: stage.summary for stage in status.stages}
    assert status.state == "passed"
    gates = [key for key in stages if key.startswith("gate")]
    assert gates == ["gate@finetuned", "gate", "gate@exported"]
    assert stages["gate@finetuned"]["verdict"]["passed"] is False
    assert len(stages["gate"]["verdict"]["rules"]) == 5
    student = EvaluationSummary.model_validate(stages["evaluate@student"])
    names = ("accuracy.product", "batch_equality", "answer_token_accuracy", "ece", "jsd_to_teacher")
    assert set(names) <= student.metrics.keys()
    assert "answers that were learned" in student.metrics["near_copy_rate"].note
    assert student.metrics["classes_named"].n == 12
    assert {one.kind for one in student.slices} == {
        "truth.mood", "length", "class of product", "class of urgency",
    }  # fmt: skip
    assert {key for key in stages if key.startswith("speed@")} == {
        f"speed@{who}" for who in ("teacher", "student", "twin", "exported")
    }
    for candidate in ("finetuned", "student", "exported", "twin"):
        assert stillhouse.gate("measured", candidate, call.runs).candidate == candidate
