"""A tiny gpt-oss learns from a tiny Qwen 3, each with tokenizer, template and context of its own.

`pytest tests/e2e/test_two_readers.py -m long` kills the labelling and the training, too.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.faults.killed_runs import begin_at, contents, differing, killed_at, run
from transformers import AutoModelForCausalLM, AutoTokenizer

import stillhouse
from stillhouse.cli.main import app
from stillhouse.runner.opening import named_place
from stillhouse.runner.page_numbers import metric_rows
from stillhouse.runner.run_facts import RunFacts
from stillhouse.stages.corpus import open_corpus

pytestmark = pytest.mark.xdist_group("e2e_two_readers")
URGENCIES = ("it can wait", "in the order", "now, before")
RECIPE = Path(__file__).with_name("two_readers.yaml")


@pytest.fixture(scope="module")
def done(tmp_path_factory, one_process):
    """The folder of the runs, and of each instance its artifact and summary."""
    root = tmp_path_factory.mktemp("two")
    status = stillhouse.run(str(RECIPE), stillhouse.Call(runs=str(root)))
    folders = {one.key: root / "artifacts" / one.artifact_id for one in status.stages}
    return root, folders, {one.key: one.summary for one in status.stages}


def test_two_families_go_from_rows_to_a_registered_version(done):
    _, folders, told = done
    corpus = open_corpus(folders["prepare"])

    assert told["prepare"]["readers"] == ["student", "teacher"]
    assert (corpus.tokenizer.vocab_size, corpus.read_by("teacher").tokenizer.vocab_size) == (
        400,
        300,
    )
    assert told["label"]["class_examples"] == 48
    assert told["train@student"]["examples"] == 40
    assert told["gate"]["verdict"]["passed"]
    assert json.loads((folders["register"] / "manifest.json").read_text())["instance"] == "register"
    student, twin = (
        told[f"evaluate@{name}"]["metrics"]["class_kl_to_teacher"] for name in ("student", "twin")
    )
    # The twin has never seen the teacher's probabilities.
    assert student["high"] < twin["low"]


def test_a_second_run_does_nothing(done):
    root, _, _ = done
    before = contents(root)
    status = stillhouse.run(str(RECIPE), stillhouse.Call(runs=str(root)))

    assert all(stage.is_done for stage in status.stages)
    assert contents(root) == before


def test_what_ships_reads_as_the_student_does(done):
    _, folders, _ = done
    merged = folders["export"] / "bundle" / "merged"
    corpus = open_corpus(folders["prepare"])

    tokenizer = AutoTokenizer.from_pretrained(merged, local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(merged, local_files_only=True)

    text = "Ticket: the fan is broken\nSays: "
    assert tokenizer(text, add_special_tokens=False)["input_ids"] == (
        corpus.tokenizer.encode(text)[0].tolist()
    )
    assert model.config.model_type == "gpt_oss"


def test_the_page_says_what_does_not_compare(done):
    root, _, _ = done
    place = named_place(str(root), "tiny")
    rows = {row.name: row for row in metric_rows(RunFacts(place.folder, place.store))}

    assert "kl_to_teacher" not in rows
    for name in ("cross_entropy", "perplexity", "answer_token_accuracy"):
        assert "bits per byte compares" in rows[name].note
        assert "teacher" not in rows[name].differences
        assert "twin" in rows[name].differences
    assert {"teacher", "twin"} <= set(rows["bits_per_byte"].differences)


def test_the_check_says_so_and_counts_each_ones_tokens(done):
    root, folders, _ = done
    found = stillhouse.check(str(RECIPE), stillhouse.Call(runs=str(root)))

    said = [one for one in found.cautions if one.startswith("teacher and student read by words")]
    assert len(said) == 1
    corpus = open_corpus(folders["prepare"])
    tokens = {one.key: one.cost.tokens for one in found.instances}
    lengths = [
        sum(len(own.encode(example).ids) for example in own.of_parts(["holdout"]))
        for own in (corpus, corpus.read_by("teacher"))
    ]
    assert lengths[0] < lengths[1]
    assert tokens["evaluate@student"] < tokens["evaluate@teacher"]


def test_a_mask_is_shown_as_each_reads_it(capsys):
    app(["mask", str(RECIPE), "--part", "labelled"], standalone_mode=False)
    said = capsys.readouterr().out
    app(["mask", str(RECIPE), "--part", "labelled", "--json"], standalone_mode=False)
    plain = json.loads(capsys.readouterr().out)

    assert said.index("as the student reads it:") < said.index("as the teacher reads it:")
    written = "".join(one["text"] for one in plain["tokens"])
    assert written.startswith("Ticket: ")
    assert any(f"\nSays: {name}" in written for name in URGENCIES)
    assert plain["tokens"][0] != plain["teacher"]["tokens"][0]
    for view in (plain, plain["teacher"]):
        learned = "".join(one["text"] for one in view["tokens"] if one["is_trained"])
        assert learned.startswith(URGENCIES)


@pytest.mark.long
@pytest.mark.parametrize(
    ("instance", "count"), [("prepare", 1), ("label", 3), ("train@student", 9)]
)
def test_a_killed_run_ends_with_the_same_bytes(instance, count, done, tmp_path):
    root, _, _ = done
    again = tmp_path / "runs"
    begin_at(root, again, instance)
    arguments = ["run", str(RECIPE), "--runs", str(again)]
    spec = {"instance": instance, "point": "progress", "who": "group", "count": count}

    end = killed_at(spec, arguments, tmp_path / "killed")
    finished = run(*arguments)

    assert end.code == -9, end.err
    assert finished.returncode == 0, finished.stderr
    assert differing(again, contents(root)) == []
