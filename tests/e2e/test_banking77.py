"""Real questions to a bank: the student keeps up with its teacher, its twin on 400 labels does not.

Slow: the teacher once, then a student and a twin a seed.
"""

from pathlib import Path

import pytest
from tests.conftest import SHARED_DATA

import stillhouse

ROWS = SHARED_DATA / "finance" / "banking77_train_half.csv"
RECIPE = Path(__file__).parents[2] / "docs" / "how-to" / "banking77.yaml"
SEEDS = (0, 1, 2)
pytestmark = [
    pytest.mark.long,
    pytest.mark.xdist_group("banking77"),
    pytest.mark.skipif(not ROWS.is_file(), reason=f"the data set is not here: {ROWS.name}"),
]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module", params=SEEDS)
def found(root, request):
    """Exact match on the holdout, by candidate, with its interval."""
    call = stillhouse.Call(
        [f"collect.source.file={ROWS}", f"train.seed={request.param}", "gate.enforce=false"],
        str(root),
        f"seed-{request.param}",
    )
    status = stillhouse.run(str(RECIPE), call)
    measured = {
        stage.key.removeprefix("evaluate@"): stage.summary["metrics"]["exact_match"]
        for stage in status.stages
        if stage.key.startswith("evaluate@")
    }
    print(f"\nseed {request.param}: exact match on 750 questions, 95 % interval")
    for name, metric in measured.items():
        print(f"  {name:<8} {metric['value']:.4f} [{metric['low']:.4f}, {metric['high']:.4f}]")
    return measured


def test_the_teacher_is_right_on_seven_of_ten_questions(found):
    assert found["teacher"]["value"] >= 0.70


def test_the_student_is_within_a_twentieth_of_its_teacher(found):
    assert found["student"]["value"] >= found["teacher"]["value"] - 0.05


def test_the_interval_of_the_twin_lies_below_that_of_the_student(found):
    assert found["twin"]["high"] < found["student"]["low"]
