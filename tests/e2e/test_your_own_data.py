"""The recipes of docs/how-to on somebody else's files: short, valid, and the small one runs."""

from pathlib import Path

import pytest
from tests.conftest import SHARED_DATA

import stillhouse

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"
FILES = {
    "banking77": SHARED_DATA / "finance" / "banking77_train_half.csv",
    "commonsense-qa": SHARED_DATA / "mcq" / "commonsense_qa_val.jsonl",
}


def call(name, runs, **more):
    if not FILES[name].is_file():
        pytest.skip(f"the data set is not here: {FILES[name].name}")
    return stillhouse.Call([f"collect.source.file={FILES[name]}"], str(runs), **more)


@pytest.mark.parametrize("name", FILES)
def test_a_recipe_for_own_rows_is_under_forty_lines(name):
    lines = (HOW_TO / f"{name}.yaml").read_text().splitlines()
    assert len(lines) < 40


TESTED_ELSEWHERE = {
    "accounting-qa",
    "classes",
    "collect",
    "diversity-audit",
    "domains",
    "little-memory",
    "live-teacher",
    "measured",
    "near-its-base",
    "qlora",
    "watched",
}
"""By a test of the same name, `collect` in test_collections, `near-its-base` beside its teacher,
the audit in tests/evals."""


def test_every_recipe_of_the_how_to_is_tested_here():
    assert {path.stem for path in HOW_TO.glob("*.yaml")} == TESTED_ELSEWHERE | set(FILES)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("banking77", {"holdout": 750, "labelled": 400, "teacher": 3850}),
        ("commonsense-qa", {"holdout": 400, "labelled": 100, "teacher": 421, "unlabelled": 300}),
    ],
)
def test_check_reads_the_real_file_and_fits(tmp_path, name, parts):
    found = stillhouse.check(str(HOW_TO / f"{name}.yaml"), call(name, tmp_path))
    found.refuse_what_stands_in_the_way()
    assert found.parts == parts
    assert found.cut_prompts == 0


@pytest.mark.xdist_group("your_own_data")
def test_a_smoke_run_on_nested_rows_goes_to_the_end(tmp_path):
    # given two examples a part and two steps a training
    status = stillhouse.run(
        str(HOW_TO / "commonsense-qa.yaml"), call("commonsense-qa", tmp_path, smoke=2)
    )
    # then every stage ran, and the gate of a smoke run only reports
    assert status.state == "passed"
    assert all(stage.is_done for stage in status.stages)
    assert Path(status.report).is_file()
