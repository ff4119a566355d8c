"""Rights, hashed ids and erasure over a whole run: what is held back is nowhere, and is counted."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.e2e.searching import where
from typer.testing import CliRunner

import stillhouse
from stillhouse.api import Call
from stillhouse.cli.main import app
from stillhouse.core.errors import BusyError, InputError, RecipeError, UsageError
from stillhouse.runner.opening import root_place
from stillhouse.store.erasures import read_erasures
from stillhouse.store.lock import hold_lock

SALT = "0123456789abcdef-a-salt"
LICENCES = ("MIT", "cc by 4.0", "own", "somebody's", None)
SHORT = (
    "finetune.length.steps=1", "train.length.steps=1", "train.validation={}", "gate=null",
    "train.early_stopping=null", "train.twin=null", "label.completions=mix", "label.cut_at_most=1",
    'label.parts=["labelled","unlabelled"]', 'train.parts=["labelled","unlabelled"]',
    "label.max_new_tokens=8", "evaluate.draws=100",
)  # fmt: skip
SECRET = "this must be nowhere"


def write_rows(folder, number=120):
    rows = [
        {
            "question": f"What is {index}?" + (f" {SECRET}" if index % 8 == 7 else ""),
            "answer": f"the number {index}",
            "lic": LICENCES[index % 5],
            "ok": "no" if index % 8 == 7 else "yes",
            "who": f"person-{index % 6}",
        }
        for index in range(number)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return rows


RIGHTS = {
    "licence_field": "lic",
    "consent_field": "ok",
    "subject_field": "who",
    "hash_fields": ["who"],
    "salt_env": "ROWS_SALT",
    "let_through": ["unknown_licence"],
}


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    monkeypatch.setenv("ROWS_SALT", SALT)
    write_rows(tmp_path)
    tiny = (Path(__file__).parent / "tiny.yaml").read_text()
    head, _, rest = tiny.partition("collect:")
    _, _, tail = rest.partition("finetune:")
    text = f"""{head}collect:
  source: {{file: rows.jsonl}}
  columns: {{question: question, answer: answer, who: who}}
  rights: {json.dumps(RIGHTS)}
prepare:
  user: "{{question}}"
  answer: answer
  split: {{parts: {{holdout: 6, validation: 5, labelled: 10, unlabelled: 8, teacher: rest}}}}
  steps: [{{name: convert_blanks}}]
finetune:{tail}"""
    path = tmp_path / "r.yaml"
    path.write_text(text)
    return path


def call(tmp_path, *more):
    return Call(
        overrides=(*SHORT, *more),
        runs=str(tmp_path / "runs"),
    )


def test_a_run_keeps_what_may_be_used_and_says_what_it_let_through(
    recipe, tmp_path, monkeypatch, in_this_process
):
    stillhouse.run(str(recipe), call(tmp_path))

    runs = tmp_path / "runs"
    report = stillhouse.read_report("tiny", str(runs))
    first = report.row_flow[0]
    assert (first.step, first.rows_in, first.rows_out) == ("rights", 120, 105)
    assert first.dropped == {"no consent": 15}
    assert report.warnings == ("42 rows were let through: unknown licence",)
    assert report.licences == (
        "CC-BY-4.0 (21 rows), MIT (21 rows), none is said (21 rows), own (21 rows), "
        "somebody's (21 rows)"
    )
    page = (runs / "tiny" / "report.html").read_text()
    assert "42 rows were let through: unknown licence" in page
    [card] = runs.rglob("artifacts/export-*/bundle/README.md")
    assert "## Warnings\n\n- 42 rows were let through: unknown licence" in card.read_text()
    assert "| rows | CC-BY-4.0 (21 rows)" in card.read_text()
    for text in (SECRET, SALT, "person-1"):
        assert where(runs, text) == [], text

    erased_by_its_id(recipe, tmp_path, monkeypatch)


def erased_by_its_id(recipe, tmp_path, monkeypatch):
    """The rest of the test above, which has a finished run to erase from."""
    runs = tmp_path / "runs"
    listed = stillhouse.erase(subject="person-1", runs=str(runs))
    assert len(listed.rows) == 15
    assert not listed.is_done
    assert {name.rpartition("-")[0] for name in listed.artifacts} == {
        "collect", "step", "prepare", "label", "evaluate",
    }  # fmt: skip
    assert {name.rpartition("-")[0] for name in listed.weights} == {
        "finetune", "train", "export", "register",
    }  # fmt: skip
    assert len(listed.versions) == 1
    assert listed.places[0].startswith("rows.jsonl:")

    said = CliRunner().invoke(app, ["erase", "--subject", "person-1", "--runs", str(runs)])
    assert "15 rows, read at:" in said.output
    assert "nothing was removed; call it again with --yes" in said.output

    done = stillhouse.erase(subject="person-1", yes=True, runs=str(runs))
    assert done.is_done
    for name in done.artifacts:
        assert not (runs / "artifacts" / name).exists()
    assert all((runs / "artifacts" / name).is_dir() for name in done.weights)
    assert where(runs, "What is 1?") == []
    assert where(runs, "person-1") == []
    [entry] = read_erasures(runs).entries
    assert entry.is_done

    collected_alone(tmp_path, monkeypatch, recipe)
    first = stillhouse.read_report("tiny", str(runs)).row_flow[0]
    assert first.dropped == {"erased": 20, "no consent": 10}
    assert where(runs, "What is 1?") == []
    # Asked again, it finds nothing more, and nothing is undone.
    again = stillhouse.erase(subject="person-1", yes=True, runs=str(runs))
    assert (again.rows, again.artifacts) == ((), ())
    assert stillhouse.check(str(recipe), call(tmp_path)).instances[0].is_done


def test_an_erasure_that_meets_no_row_undoes_no_work(recipe, tmp_path):
    before = stillhouse.check(str(recipe), call(tmp_path)).instances[0].artifact_id

    stillhouse.erase(subject="somebody else", yes=True, runs=str(tmp_path / "runs"))
    same = stillhouse.check(str(recipe), call(tmp_path)).instances[0].artifact_id
    stillhouse.erase(source="rows.csv", yes=True, runs=str(tmp_path / "runs"))
    still = stillhouse.check(str(recipe), call(tmp_path)).instances[0].artifact_id
    stillhouse.erase(source="rows.jsonl", yes=True, runs=str(tmp_path / "runs"))
    with pytest.raises(InputError, match=r"none of 120 rows may be used: erased \(120\)"):
        stillhouse.check(str(recipe), call(tmp_path))

    assert before == same == still


def collected_alone(tmp_path, monkeypatch, recipe):
    """A runs folder of which only `collect` and a step were made."""
    monkeypatch.setattr("stillhouse.stages.prepare.make_examples", refuse)
    with pytest.raises(UsageError, match="no further"):
        stillhouse.run(str(recipe), call(tmp_path))
    return tmp_path / "runs"


def refuse(*_):
    raise UsageError("no further")


_KILLED = """
import os, sys
import stillhouse
from stillhouse.store.artifacts import ArtifactStore

left = int(sys.argv[2])
real = ArtifactStore.remove

def remove(self, artifact_id):
    global left
    if left == 0:
        os.kill(os.getpid(), 9)
    left -= 1
    real(self, artifact_id)

ArtifactStore.remove = remove
stillhouse.erase(source="rows.jsonl", yes=True, runs=sys.argv[1])
"""


@pytest.mark.parametrize(
    "removed", [1, *(pytest.param(one, marks=pytest.mark.long) for one in (0, 2))]
)
def test_an_erasure_that_was_killed_goes_on(
    recipe, tmp_path, monkeypatch, in_this_process, removed
):
    runs = collected_alone(tmp_path, monkeypatch, recipe)
    killed = subprocess.run([sys.executable, "-c", _KILLED, str(runs), str(removed)], check=False)
    assert killed.returncode == -9
    assert where(runs, "What is 1?")

    stillhouse.erase(source="rows.jsonl", yes=True, runs=str(runs))

    assert where(runs, "What is 1?") == []
    assert all(one.is_done for one in read_erasures(runs).entries)


def test_copies_for_people_are_erased_with_the_rows(recipe, tmp_path, monkeypatch, in_this_process):
    copies = "csv: {asked.csv: convert_blanks, gone.csv: discarded}\n  steps: ["
    recipe.write_text(recipe.read_text().replace("steps: [", copies))
    runs = collected_alone(tmp_path, monkeypatch, recipe)
    assert "What is 1?" in (runs / "tiny" / "csv" / "asked.csv").read_text()
    with (runs / "tiny" / "csv" / "gone.csv").open(newline="") as stream:
        gone = list(csv.DictReader(stream))
    assert [(one["step"], one["reason"]) for one in gone] == [("rights", "no consent")] * 15
    told = stillhouse.explain(gone[0]["row_id"], runs=str(runs))
    assert told.provenance == gone[0]["provenance"] == "rows.jsonl:8"
    assert [(one.step, one.outcome, one.detail) for one in told.steps] == [
        ("rights", "dropped", "no consent (ok)")
    ]
    assert (told.fields, told.examples) == ({}, ())

    stillhouse.erase(source="rows.jsonl", yes=True, runs=str(runs))

    assert where(runs, "What is 1?") == []


def test_nothing_is_erased_below_a_run_that_goes_on(recipe, tmp_path, monkeypatch, in_this_process):
    runs = collected_alone(tmp_path, monkeypatch, recipe)

    with hold_lock(runs / "tiny" / "lock", "", ""), pytest.raises(BusyError, match="is in use"):
        stillhouse.erase(source="rows.jsonl", yes=True, runs=str(runs))

    assert where(runs, "What is 1?")


def test_a_missing_salt_is_named_before_anything_runs(recipe, tmp_path, monkeypatch):
    monkeypatch.delenv("ROWS_SALT")

    with pytest.raises(UsageError, match="ROWS_SALT is not set"):
        stillhouse.check(str(recipe), call(tmp_path))


def test_another_salt_collects_anew(recipe, tmp_path, monkeypatch):
    before = stillhouse.check(str(recipe), call(tmp_path)).instances[0].artifact_id
    monkeypatch.setenv("ROWS_SALT", SALT + "!")

    assert stillhouse.check(str(recipe), call(tmp_path)).instances[0].artifact_id != before


def test_who_is_named_nowhere_is_told_what_is_there(recipe, tmp_path, monkeypatch, in_this_process):
    runs = collected_alone(tmp_path, monkeypatch, recipe)

    with pytest.raises(UsageError, match=r"sources here: rows\.jsonl"):
        stillhouse.erase(source="lrclib", runs=str(runs))
    with pytest.raises(UsageError, match="name one of"):
        stillhouse.erase(runs=str(runs))
    monkeypatch.delenv("ROWS_SALT")
    with pytest.raises(UsageError, match="salt in ROWS_SALT, which is not set"):
        stillhouse.erase(subject="person-1", runs=str(runs))


def test_a_log_without_hashed_devices_is_refused(recipe, tmp_path):
    with pytest.raises(RecipeError, match="ids of devices, which are not kept as they are"):
        stillhouse.check(str(recipe), call(tmp_path, "collect.log={}"))


def test_the_list_of_what_was_erased_names_nobody(tmp_path):
    stillhouse.erase(subject="anna@example.org", yes=True, runs=str(tmp_path))

    assert where(tmp_path, "anna") == []
    assert root_place(str(tmp_path)).erasures.entries[0].kind == "subject"
