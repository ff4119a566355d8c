"""Named steps are instances of their own: kept, resumed, explained, made again only when new."""

import json
from pathlib import Path

import pytest

import stillhouse
from stillhouse.api import Call
from stillhouse.core.errors import InputError
from stillhouse.data.shards import read_rows_of, read_shards

STEPS = [
    {"name": "drop_where", "field": "verdict", "equals": "no"},
    {"name": "convert_blanks"},
    {"name": "convert_choices"},
]


def write_rows(folder, number=60):
    rows = []
    for index in range(number):
        kinds = (
            {"question": f"A debt of {index} is ____.", "answer": "a liability"},
            {"question": f"What is {index}?\n(a) odd\n(b) even", "answer": "ab"[1 - index % 2]},
            {"question": f"Is {index} a number?", "answer": "yes"},
            {"question": f"What is item {index}?", "answer": "none", "verdict": "No"},
        )
        rows.append({"verdict": "yes"} | kinds[index % 4])
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def recipe(tmp_path):
    write_rows(tmp_path)
    tiny = (Path(__file__).parent / "tiny.yaml").read_text()
    head, _, rest = tiny.partition("collect:")
    _, _, tail = rest.partition("finetune:")
    text = f"""{head}collect: {{source: {{file: rows.jsonl}}}}
prepare:
  user: "{{question}}"
  answer: answer
  split: {{parts: {{holdout: 6, validation: 5, labelled: 10, unlabelled: 8, teacher: rest}}}}
  steps: []
finetune:{tail}"""
    path = tmp_path / "r.yaml"
    path.write_text(text)
    return path


def call(tmp_path, steps, *more):
    return Call(
        overrides=(f"prepare.steps={json.dumps(steps)}", "finetune.length.steps=2", *more),
        runs=tmp_path / "runs",
    )


def test_steps_are_counted_explained_and_reused(recipe, tmp_path, in_this_process):
    status = stillhouse.run(str(recipe), call(tmp_path, STEPS))

    folders = {
        one.key: tmp_path / "runs" / "artifacts" / one.artifact_id
        for one in status.stages
        if one.key.startswith(("collect", "step"))
    }
    assert list(folders)[1:] == [
        "step@clean", "step@drop_where", "step@convert_blanks", "step@convert_choices",
    ]  # fmt: skip
    rows = list(read_shards(folders["step@convert_choices"]))
    assert len(rows) == 45
    assert {row.fields["answer"] for row in rows} == {"a liability", "odd", "yes"}
    flow = stillhouse.read_report("tiny", tmp_path / "runs").row_flow
    assert [(one.step, one.rows_in, one.rows_out, one.changed) for one in flow[:4]] == [
        ("clean", 60, 60, 0), ("drop_where", 60, 45, 0), ("convert_blanks", 45, 45, 15),
        ("convert_choices", 45, 45, 15),
    ]  # fmt: skip

    gone = next(r for r in read_rows_of(folders["collect"]) if r.fields["verdict"] == "No")
    said = stillhouse.explain(gone.row_id, runs=tmp_path / "runs")
    assert [(one.step, one.outcome) for one in said.steps] == [
        ("clean", "kept"), ("drop_where", "dropped"),
    ]  # fmt: skip

    longer = [STEPS[0], {"name": "drop_where", "field": "verdict", "equals": "maybe"}, *STEPS[1:]]
    again = stillhouse.check(str(recipe), call(tmp_path, longer))
    assert {one.key: one.is_done for one in again.instances if one.key.startswith("step")} == {
        "step@clean": True, "step@drop_where": True, "step@drop_where-2": False,
        "step@convert_blanks": False, "step@convert_choices": False,
    }  # fmt: skip


def test_steps_that_leave_nothing_are_refused_before_anything_runs(recipe, tmp_path):
    nothing = [{"name": "drop_where", "field": "verdict", "equals": ["yes", "no"]}]

    with pytest.raises(InputError, match=r"step drop_where left none of 60 rows: verdict is no"):
        stillhouse.check(str(recipe), call(tmp_path, nothing))
