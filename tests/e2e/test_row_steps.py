"""Named steps are instances of their own: kept, resumed, explained, made again only when new."""

import csv
import json
from pathlib import Path

import pytest
from tests.faults.killed_runs import run

import stillhouse
from stillhouse.api import Call
from stillhouse.core.errors import InputError, RecipeError
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


def read_csv(path):
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_copies_for_people_are_written_beside_the_report(recipe, tmp_path, in_this_process):
    steps = [
        {"name": "require", "fields": {"question": "text"}},
        *STEPS,
        {"name": "report_duplicates"},
    ]
    copies = {
        "converted_mcq.csv": "convert_choices",
        "discarded_rows.csv": "discarded",
        "exact_duplicate_qa_pairs.csv": "exact_duplicates",
        "same_question_diff_answers.csv": "same_question",
        "same_answer_diff_questions.csv": "same_answer",
    }
    plain = stillhouse.run(str(recipe), call(tmp_path, steps))
    told = call(tmp_path, steps, f"prepare.csv={json.dumps(copies)}")

    status = stillhouse.run(str(recipe), told)

    assert [one.artifact_id for one in status.stages] == [one.artifact_id for one in plain.stages]
    found = {name: read_csv(tmp_path / "runs" / "tiny" / "csv" / name) for name in copies}
    assert {name: len(rows) for name, rows in found.items()} == {
        "converted_mcq.csv": 45,
        "discarded_rows.csv": 15,
        "exact_duplicate_qa_pairs.csv": 0,
        "same_question_diff_answers.csv": 0,
        "same_answer_diff_questions.csv": 45,
    }
    assert {row["reason"] for row in found["discarded_rows.csv"]} == {"verdict is no"}
    assert {row["step"] for row in found["discarded_rows.csv"]} == {"drop_where"}
    groups = {row["group"] for row in found["same_answer_diff_questions.csv"]}
    assert len(groups) == len({row["answer"] for row in found["converted_mcq.csv"]}) == 3
    (last,) = [
        one
        for one in stillhouse.read_report("tiny", tmp_path / "runs").row_flow
        if one.step == "report_duplicates"
    ]
    assert (last.notes, last.rows_out) == ({"same answer": 45}, 45)

    folder = tmp_path / "runs" / "tiny" / "csv"
    (folder / "mine.csv").write_text("kept")
    fewer = json.dumps({"other.csv": "discarded"})
    stillhouse.run(str(recipe), call(tmp_path, steps, f"prepare.csv={fewer}"))
    assert {path.name for path in folder.glob("*.csv")} == {"other.csv", "mine.csv"}
    stillhouse.run(str(recipe), call(tmp_path, steps))
    assert {path.name for path in folder.glob("*.csv")} == {"mine.csv"}


@pytest.mark.parametrize(
    ("copies", "message"),
    [
        ({"a.csv": "convert_choices"}, "a.csv copies 'convert_choices'; there are discarded"),
        ({"../a.csv": "discarded"}, "should match pattern"),
    ],
)
def test_copies_of_nothing_are_refused(recipe, tmp_path, copies, message):
    with pytest.raises(RecipeError, match=message):
        stillhouse.check(str(recipe), call(tmp_path, [], f"prepare.csv={json.dumps(copies)}"))


@pytest.mark.long
def test_a_run_by_ray_gives_the_bytes_of_a_run_alone(recipe, tmp_path):
    contents = {}
    for way in ("inline", "ray"):
        done = run(
            "run", recipe, "--runs", tmp_path / way, "--set", f"compute.rows={way}",
            "--set", f"prepare.steps={json.dumps(STEPS)}", "--set", "finetune.length.steps=2",
            timeout=600,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        artifacts = tmp_path / way / "artifacts"
        contents[way] = {
            str(path.relative_to(artifacts)): path.read_bytes()
            for path in sorted(artifacts.glob("step-*/**/*.parquet"))
        }
    assert contents["inline"] == contents["ray"]
    assert len(contents["ray"]) == 8
