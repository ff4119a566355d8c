"""`report`, `leaderboard`, `explain`: runs side by side, all in a list, one row's whole way."""

import json
import re
import shutil
from dataclasses import replace

import pytest

import stillhouse
from stillhouse.core.errors import InputError, UsageError
from stillhouse.data.storage import read_examples, read_rows_file, write_examples
from stillhouse.evals.scores import read_scores

pytestmark = pytest.mark.xdist_group("e2e")


@pytest.fixture
def root(tmp_path, tiny_run):
    """The finished run `tiny`, and `other`: the same artifacts, another learning rate told."""
    root = tmp_path / "runs"
    shutil.copytree(tiny_run.root, root)
    _copy_run(root, "other", lambda record: _set(record["recipe"]["train"], 0.5))
    return root


def _set(training, rate):
    training["optimizer"]["learning_rate"] = rate


def _copy_run(root, name, change):
    """A run that is `tiny` but for its name and what `change` does to its record."""
    shutil.copytree(root / "tiny", root / name)
    path = root / name / "run.json"
    record = json.loads(path.read_text())
    record["name"] = name
    change(record)
    path.write_text(json.dumps(record))


def _swap_artifact(root, record, key, change):
    """Let a run have an artifact of its own in the place of one of `tiny`."""
    item = next(one for one in record["instances"] if one["key"] == key)
    old, new = root / "artifacts" / item["artifact_id"], f"{key.partition('@')[0]}-{'f' * 16}"
    folder = root / "artifacts" / new
    shutil.copytree(old, folder)
    change(folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["artifact_id"] = item["artifact_id"] = new
    for entry in manifest["files"]:
        entry["bytes"] = (folder / entry["path"]).stat().st_size
    (folder / "manifest.json").write_text(json.dumps(manifest))


def _with_other_references(folder):
    path = folder / "examples.parquet"
    write_examples(path, [replace(one, reference="{}") for one in read_examples(path)])


def _teacher_as_student(record):
    """The teacher's evaluation in the place of the student's, so that there is a difference."""
    ids = {item["key"]: item for item in record["instances"]}
    ids["evaluate@student"]["artifact_id"] = ids["evaluate@teacher"]["artifact_id"]


def test_a_comparison_pairs_examples_and_lists_the_lines_that_differ(root, called):
    _copy_run(root, "better", _teacher_as_student)

    code, out, err = called("report", "tiny", "other", "better", "--runs", root, "--json")

    assert (code, err) == (0, "")
    found = json.loads(out)
    metrics = {one["name"]: one for one in found["metrics"]}
    same = metrics["kl_to_teacher"]["differences"]["other"]
    assert (same["value"], same["low"], same["high"]) == (0.0, 0.0, 0.0)
    gap = metrics["kl_to_teacher"]["differences"]["better"]
    values = metrics["kl_to_teacher"]["values"]
    assert gap["value"] == pytest.approx(values["better"]["value"] - values["tiny"]["value"])
    assert gap["high"] < 0
    assert [line["key"] for line in found["recipe"]] == ["train.optimizer.learning_rate"]
    assert found["recipe"][0]["values"]["other"] == "0.5"
    assert stillhouse.compare(["tiny", "other"], runs=str(root)).candidate == "student"


def test_a_comparison_is_read_by_people_as_text_and_as_markdown(root, called):
    text = called("report", "tiny", "other", "--runs", root)[1]
    markdown = called("report", "tiny", "other", "--runs", root, "--format", "md")[1]

    for out in (text, markdown):
        assert "kl_to_teacher (lower is better)" in out
        assert "other minus tiny" in out
        assert "train.optimizer.learning_rate" in out
    numbers = re.findall(r"\[[−\d.]+, [−\d.]+\]", text)
    assert len(numbers) > 20
    assert numbers == re.findall(r"\[[−\d.]+, [−\d.]+\]", markdown)
    assert markdown.startswith("# tiny, other\n")


def test_a_comparison_over_other_references_is_refused_with_its_reason(root, called):
    def change(record):
        _swap_artifact(root, record, "prepare", _with_other_references)

    _copy_run(root, "moved", change)

    code, out, err = called("report", "tiny", "moved", "--runs", root)

    assert (code, out) == (2, "")
    assert "'moved' was measured on another holdout than 'tiny'" in err
    assert "the same examples are asked or answered in another way" in err


def test_a_comparison_over_other_examples_says_how_many_are_shared(root):
    def fewer(folder):
        path = folder / "examples.parquet"
        examples = read_examples(path)
        lost = next(one for one in examples if one.part == "holdout")
        write_examples(path, [one for one in examples if one is not lost])

    _copy_run(root, "moved", lambda record: _swap_artifact(root, record, "prepare", fewer))

    with pytest.raises(InputError, match="they share 19 of 20 and 19 examples"):
        stillhouse.compare(["tiny", "moved"], runs=str(root))


@pytest.mark.parametrize(
    ("names", "candidate", "error", "words"),
    [
        (["tiny", "tiny"], "student", UsageError, "cannot be compared with itself"),
        (["tiny", "none"], "student", InputError, "no run 'none'"),
        (["tiny", "other"], "nobody", InputError, "no numbers of 'nobody'"),
    ],
)
def test_what_cannot_be_compared_is_refused(root, names, candidate, error, words):
    with pytest.raises(error, match=words):
        stillhouse.compare(names, candidate, runs=str(root))


def test_the_leaderboard_puts_the_best_first_and_knows_the_direction(root, called):
    _copy_run(root, "better", _teacher_as_student)
    (root / "torn").mkdir()
    (root / "torn" / "run.json").write_text("{")

    lower = stillhouse.leaderboard("kl_to_teacher", runs=str(root))
    higher = stillhouse.leaderboard("top1_agreement", runs=str(root))

    assert [row.name for row in lower.rows] == ["better", "other", "tiny"]
    assert [row.name for row in higher.rows] == ["better", "other", "tiny"]
    first = lower.rows[0]
    assert (first.gate, first.state, first.parameters) == ("pass", "passed", 18944)
    assert first.disk_bytes > 7168
    assert lower.unreadable == ("torn",)
    out = called("leaderboard", "--runs", root, "--metric", "kl_to_teacher")[1]
    assert out.index("\nbetter ") < out.index("\nother ") < out.index("\ntiny ")
    assert "not read, its record is torn: torn" in out


def test_the_leaderboard_warns_where_holdouts_differ_and_names_the_nearest_metric(root, called):
    def change(record):
        _swap_artifact(root, record, "prepare", _with_other_references)

    _copy_run(root, "moved", change)

    out = called("leaderboard", "--runs", root)[1]
    code, _, err = called("leaderboard", "--runs", root, "--metric", "kl_to_techer")

    assert "2 holdouts: numbers of two of them say nothing" in out
    assert code == 2
    assert 'did you mean "kl_to_teacher"' in err


def test_a_leaderboard_of_nothing_says_what_is_there(tmp_path):
    with pytest.raises(InputError, match="has numbers of 'student'"):
        stillhouse.leaderboard(runs=str(tmp_path))


def _example_of(tiny_run, part):
    folder = next((tiny_run.root / "artifacts").glob("prepare-*"))
    return next(one for one in read_examples(folder / "examples.parquet") if one.part == part)


def test_explain_joins_a_holdout_row_with_every_answer_and_its_scores(called, tiny_run):
    example = _example_of(tiny_run, "holdout")

    code, out, err = called("explain", example.example_id, "--runs", tiny_run.root, "--json")

    assert (code, err) == (0, "")
    found = json.loads(out)
    collected = next((tiny_run.root / "artifacts").glob("collect-*"))
    row = {r.row_id: r for r in read_rows_file(collected / "rows.parquet")}[example.example_id]
    assert (found["fields"], found["provenance"]) == (row.fields, row.provenance)
    assert [one["step"] for one in found["steps"]] == [
        "clean", "shape", "drop", "dedup", "split", "fit_to_context"
    ]  # fmt: skip
    assert found["steps"][4]["detail"] == "dealt to the part holdout"
    (told,) = found["examples"]
    assert (told["part"], told["trained"]) == ("holdout", [])
    assert [one["candidate"] for one in told["predictions"]] == [
        "teacher",
        "student",
        "twin",
        "exported",
    ]
    student = told["predictions"][1]
    manifest = next(
        path.parent
        for path in (tiny_run.root / "artifacts").glob("evaluate-*/manifest.json")
        if json.loads(path.read_text())["instance"] == "evaluate@student"
    )
    scores = read_scores(manifest / "scores.parquet")
    place = scores.example_ids.index(example.example_id)
    assert student["scores"]["kl"] == scores.column("kl")[place]


def test_explain_says_what_was_learned_of_a_row_and_takes_its_first_letters(called, tiny_run):
    example = _example_of(tiny_run, "unlabelled")

    code, out, _ = called("explain", example.example_id[:8], "--runs", tiny_run.root)

    assert code == 0
    assert "part unlabelled" in out
    assert "the teacher's answer: " in out
    assert "learned by: train student\n" in out
    assert " said: " not in out


def test_explain_names_the_other_runs_and_refuses_what_is_not_there(root, called):
    example_id = read_examples(next((root / "artifacts").glob("prepare-*")) / "examples.parquet")[0]
    row = example_id.example_id

    found = stillhouse.explain(row, runs=str(root))
    code, _, err = called("explain", "nothing", "--runs", root)

    assert {found.run, *found.other_runs} == {"tiny", "other"}
    assert stillhouse.explain(row, "tiny", runs=str(root)).run == "tiny"
    assert code == 2
    assert "no row 'nothing'" in err
    assert "tiny" in err
    with pytest.raises(InputError, match="no run 'none'"):
        stillhouse.explain(row, "none", runs=str(root))


@pytest.mark.parametrize("form", ["md", "json"])
def test_a_report_in_another_form_is_printed_and_nothing_is_written(called, tiny_run, form):
    page = tiny_run.root / "tiny" / "report.html"
    before = page.stat().st_mtime_ns

    code, out, err = called("report", "tiny", "--runs", tiny_run.root, "--format", form)

    assert (code, err) == (0, "")
    assert page.stat().st_mtime_ns == before
    report = stillhouse.read_report("tiny", str(tiny_run.root))
    if form == "json":
        assert json.loads(out) == json.loads(report.model_dump_json())
    else:
        assert out.startswith("# tiny\n")
        assert "## Scorecard" in out
    assert report.metrics[0].differences.keys() == {"teacher", "twin", "exported"}


def test_chat_writes_the_examples_of_a_run_for_other_tools(called, tiny_run, tmp_path):
    folder = next((tiny_run.root / "artifacts").glob("prepare-*"))
    examples = read_examples(folder / "examples.parquet")
    code, out, err = called("chat", "tiny", tmp_path, "--runs", tiny_run.root)

    assert (code, err) == (0, "")
    assert f"{tmp_path}/test_annotations.jsonl: " in out
    lines = [
        json.loads(line) for line in (tmp_path / "val_annotations.jsonl").read_text().splitlines()
    ]
    wanted = [one for one in examples if one.part == "validation"]
    assert [one["messages"][-1]["content"] for one in lines] == [one.answer for one in wanted]
    files = {"asked": ["unlabelled"]}
    written = stillhouse.write_chat("tiny", str(tmp_path), files, str(tiny_run.root))
    assert written == {"asked.jsonl": sum(one.part == "unlabelled" for one in examples)}


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("train", "is not NAME=PART"),
        ("a/b=holdout", "cannot name a file"),
        ("a=labeled", 'did you mean "labelled"'),
        ("a=holdout,holdout", "goes into 2 files"),
    ],
)
def test_chat_refuses_files_that_it_cannot_make(called, tiny_run, tmp_path, wanted, said):
    code, _, err = called("chat", "tiny", tmp_path, "--file", wanted, "--runs", tiny_run.root)

    assert code == 2
    assert said in err
    assert not list(tmp_path.iterdir())
