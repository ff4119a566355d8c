"""What is true of a finished run: its artifacts, numbers, page, version, and what a rerun does."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.report.browser import inspect_page

import stillhouse
from stillhouse.core.errors import GateRefusedError
from stillhouse.core.targets import TargetKey
from stillhouse.data.storage import read_completions, read_examples, read_rows_file
from stillhouse.registry.versions import Registry
from stillhouse.report.content import RunReport
from stillhouse.stages.corpus import open_corpus
from stillhouse.stages.evaluate_files import COMPLETIONS, SCORES
from stillhouse.store.artifacts import ArtifactStore
from stillhouse.targets.read import TargetReader

pytestmark = pytest.mark.xdist_group("e2e")
GATED = ["gate", "export", "evaluate@exported", "gate@exported", "register"]
RELEASE = {"gate", "export", "evaluate", "register"}


@pytest.fixture(scope="module")
def status(tiny_run):
    return stillhouse.status(tiny_run.name, str(tiny_run.root))


@pytest.fixture(scope="module")
def store(tiny_run):
    return ArtifactStore(tiny_run.root / "artifacts")


@pytest.fixture(scope="module")
def manifests(status, store):
    return {stage.key: store.verify(stage.artifact_id) for stage in status.stages}


@pytest.fixture(scope="module")
def folders(manifests, store):
    return {key: store.path(manifest.artifact_id) for key, manifest in manifests.items()}


@pytest.fixture(scope="module")
def report(status):
    page = Path(status.report).read_text(encoding="utf-8")
    data = re.search(r'id="report-data"[^>]*>(.*?)</script>', page, re.S)
    return RunReport.model_validate_json(data.group(1))


@pytest.fixture
def copied(tiny_run, tmp_path):
    """The finished run to be run again; gives how to call it."""
    shutil.copytree(tiny_run.root, tmp_path / "runs")

    def call(*overrides, name=tiny_run.name):
        return stillhouse.Call(overrides, runs=str(tmp_path / "runs"), name=name)

    return call


class Heard:
    """Which instances were made and which were reused, in order."""

    def __init__(self):
        self.events = []

    def __call__(self, event):
        self.events.append(event)

    def of(self, kind):
        return [event.instance for event in self.events if event.kind == kind]


def test_every_manifest_lists_every_file_with_its_digest(manifests, folders):
    for key, manifest in manifests.items():
        there = {
            path.relative_to(folders[key]).as_posix()
            for path in folders[key].rglob("*")
            if path.is_file()
        }
        assert there == {entry.path for entry in manifest.files} | {"manifest.json"}
        assert manifest.instance == key
        assert manifest.versions["python"]


def test_every_input_of_an_artifact_is_an_artifact_of_the_run(manifests):
    made = {manifest.artifact_id for manifest in manifests.values()}
    for manifest in manifests.values():
        assert set(manifest.inputs.values()) <= made


def test_no_pickle_and_no_work_in_progress_is_left(tiny_run):
    names = [path.name for path in tiny_run.root.rglob("*") if path.is_file()]
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pth", ".pkl", ".tmp"))]
    work = tiny_run.root / "artifacts" / ".work"
    assert not work.exists() or not list(work.iterdir())


def test_every_collected_row_is_an_example_of_one_part_or_dropped_with_its_reason(
    manifests, folders
):
    prepared = manifests["prepare"].summary
    rows = list(read_rows_file(folders["collect"] / "rows.parquet"))
    examples = read_examples(folders["prepare"] / "examples.parquet")
    flow = prepared["flow"]

    assert flow[0]["rows_in"] == manifests["collect"].summary["rows"] == len(rows)
    for before, after in pairwise(flow):
        assert before["rows_out"] == after["rows_in"]
    for step in flow:
        assert step["rows_in"] == step["rows_out"] + sum(step["dropped"].values())
    assert flow[-1]["rows_out"] == prepared["examples"] == len(examples)
    assert Counter(example.part for example in examples) == prepared["parts"]
    assert len({example.example_id for example in examples}) == len(examples)


def test_every_stored_target_belongs_to_the_text_that_the_student_learned(manifests, folders):
    corpus = open_corpus(folders["prepare"])
    reader = TargetReader(folders["label"] / "targets")
    said = {
        item.example_id: item for item in read_completions(folders["label"] / "completions.parquet")
    }

    reader.verify()

    asked = corpus.of_parts(["labelled", "unlabelled", "validation"])
    whole = [example for example in asked if said[example.example_id].finish == "stop"]
    assert set(reader.example_ids) == {example.example_id for example in whole}
    for example in whole:
        encoded = corpus.encode(example, said[example.example_id].text)
        key = TargetKey(example.example_id, encoded.completion_digest, encoded.view_digest)
        reader.get_for(key)
    assert reader.num_tokens == manifests["label"].summary["target_tokens"]
    assert reader.header.weights_digest
    assert len(asked) - len(whole) == manifests["label"].summary["cut"]


def test_training_learned_and_both_students_were_measured_on_one_holdout(manifests, folders):
    for key in ("finetune", "train@student", "train@twin"):
        trend = json.loads((folders[key] / "kd_metrics.json").read_bytes())["trend"]
        assert trend["last_loss"] < trend["first_loss"]
    holdout = manifests["prepare"].summary["parts"]["holdout"]
    for who in ("teacher", "student", "twin", "exported"):
        summary = manifests[f"evaluate@{who}"].summary
        assert summary["examples"] == holdout
        assert summary["metrics"]["exact_match"]["n"] == holdout
    assert manifests["evaluate@teacher"].summary["metrics"]["kl_to_teacher"]["value"] == 0.0


def test_the_page_shows_the_figures_of_the_manifests(report, manifests):
    shown = {
        (metric.name, who): (estimate.value, estimate.low, estimate.high, estimate.n)
        for metric in report.metrics
        for who, estimate in metric.values.items()
    }
    measured = {
        (name, who): (metric["value"], metric["low"], metric["high"], metric["n"])
        for who in ("teacher", "student", "twin", "exported")
        for name, metric in manifests[f"evaluate@{who}"].summary["metrics"].items()
    }

    assert shown == measured
    assert [step.model_dump() for step in report.row_flow] == manifests["prepare"].summary["flow"]
    assert report.parts == manifests["prepare"].summary["parts"]
    assert [stage.artifact_id for stage in report.stages] == [
        manifest.artifact_id for manifest in manifests.values()
    ]
    assert report.run_state == "passed"
    assert report.gate.passed is manifests["gate"].summary["verdict"]["passed"] is True
    assert dict(report.facts)["Version"] == manifests["register"].summary["version_id"]


def test_the_page_draws_the_curves_of_the_artifacts(report, folders):
    for who, key in (("teacher", "finetune"), ("student", "train@student")):
        stored = json.loads((folders[key] / "kd_metrics.json").read_bytes())
        drawn = {(c.of, c.kind): list(c.points) for c in report.curves if c.name == who}
        for kind, name in (("train", "steps"), ("validation", "validation")):
            assert drawn["Loss", kind] == [(one["step"], one["loss"]) for one in stored[name]]
        assert [step for step, _ in drawn["Peak memory", "train"]] == [
            one["step"] for one in stored["steps"]
        ]


@pytest.mark.browser
@pytest.mark.parametrize(
    ("width", "scheme"), [(390, "light"), (390, "dark"), (1280, "light"), (1280, "dark")]
)
def test_the_page_of_a_real_run_opens_whole_silent_and_alone(status, report, width, scheme):
    findings = inspect_page(Path(status.report), width, 844, scheme)

    assert findings.problems() == []
    assert findings.content == report


def test_events_tell_the_start_and_the_end_of_each_stage_in_order(tiny_run, status):
    path = tiny_run.root / tiny_run.name / "events.jsonl"
    events = [json.loads(line) for line in path.read_text().splitlines()]

    keys = [stage.key for stage in status.stages]
    assert [e["instance"] for e in events if e["event"] == "start"] == keys
    assert [e["instance"] for e in events if e["event"] == "done"] == keys
    assert events[0]["state"] == "running"
    assert events[-1]["state"] == "passed"
    assert [e["time"] for e in events] == sorted(e["time"] for e in events)


def test_the_registered_version_holds_the_bundle_byte_by_byte(tiny_run, manifests, folders):
    registry = Registry(tiny_run.root / "registry")
    version = registry.read("tiny", manifests["register"].summary["version_id"])

    registry.verify(version)

    shipped = {
        entry.path.removeprefix("bundle/"): entry.sha256 for entry in manifests["export"].files
    }
    assert {file.path: file.sha256 for file in version.files} == shipped
    assert version.numbers == manifests["evaluate@exported"].summary["metrics"]
    assert version.verdict == manifests["gate@exported"].summary["verdict"]


def test_what_ships_is_bit_by_bit_what_was_trained_and_measured(manifests, folders):
    trained, shipped = (
        {entry.path: entry.sha256 for entry in manifests[key].files}
        for key in ("train@student", "export")
    )
    name = "model.safetensors"
    assert shipped[f"bundle/merged/{name}"] == trained[f"model/{name}"]
    measured, loaded = (folders[f"evaluate@{who}"] for who in ("student", "exported"))
    assert (measured / COMPLETIONS).read_bytes() == (loaded / COMPLETIONS).read_bytes()
    scores, of_bundle = (pq.read_table(folder / SCORES) for folder in (measured, loaded))
    assert set(of_bundle.column_names) - set(scores.column_names) == {"bundle_bytes"}
    assert of_bundle.select(scores.column_names).equals(scores)


def test_the_code_of_the_card_answers_as_the_bundle_was_measured(
    status, folders, monkeypatch, capsys
):
    bundle = Path(status.bundle)
    [example, *_] = open_corpus(folders["prepare"]).of_parts(["holdout"])
    answers = read_completions(folders["evaluate@exported"] / COMPLETIONS)
    measured = next(one.text for one in answers if one.example_id == example.example_id)
    code = re.search(r"```python\n(.*?)```", (bundle / "README.md").read_text(), re.S).group(1)
    most = json.loads((bundle / "prompt.json").read_text())["room_for_answer"]
    told = {'"..."': repr(example.prompt[0].content), "tokens=256": f"tokens={most}"}
    assert all(one in code for one in told)
    monkeypatch.chdir(bundle)

    exec(re.sub("|".join(map(re.escape, told)), lambda found: told[found.group()], code), {})

    assert capsys.readouterr().out == f"{measured}\n"


def test_two_runs_in_two_folders_make_the_same_bytes(manifests, watched_run):
    theirs = ArtifactStore(watched_run.root / "artifacts")

    for manifest in manifests.values():
        assert theirs.verify(manifest.artifact_id) == manifest


def test_run_twice_does_nothing_the_second_time(copied, tiny_recipe, status, monkeypatch):
    monkeypatch.delattr("stillhouse.runner.run.StageServer")
    heard = Heard()

    again = stillhouse.run(str(tiny_recipe), copied(), on_event=heard)

    assert heard.of("start") == []
    assert heard.of("reused") == [stage.key for stage in status.stages]
    assert again.stages == status.stages


@pytest.mark.usefixtures("in_this_process")
def test_changing_the_gate_makes_the_release_anew_and_nothing_before_it(
    copied, tiny_recipe, status
):
    heard = Heard()
    rule = "gate.rules.0.at_most=19.0"

    other = stillhouse.run(str(tiny_recipe), copied(rule, name="other"), on_event=heard)

    assert heard.of("start") == GATED
    before = {stage.key: stage.artifact_id for stage in status.stages}
    for stage in other.stages:
        assert (stage.artifact_id == before[stage.key]) is (stage.key not in GATED)


@pytest.mark.usefixtures("in_this_process")
def test_from_makes_a_stage_and_what_follows_again_with_the_same_bytes(copied, tiny_recipe, status):
    heard = Heard()

    again = stillhouse.run(str(tiny_recipe), copied(), from_stage="gate", on_event=heard)

    assert heard.of("start") == GATED
    assert [s.summary for s in again.stages] == [s.summary for s in status.stages]


@pytest.mark.parametrize(
    ("override", "made_anew"),
    [
        ("train.seed=7", {"train", *RELEASE}),
        ("evaluate.draws=300", RELEASE),
        ("finetune.seed=7", {"finetune", "label", "train", *RELEASE}),
        ("register.name=other", {"register"}),
        ("description=other words", set()),
    ],
)
def test_a_change_touches_only_what_depends_on_it(tiny_run, tiny_recipe, override, made_anew):
    call = stillhouse.Call([override], runs=str(tiny_run.root), name=tiny_run.name)

    found = stillhouse.check(str(tiny_recipe), call)

    todo = {item.key for item in found.instances if not item.is_done}
    assert {key.partition("@")[0] for key in todo} == made_anew
    if override.startswith("train"):
        assert "evaluate@teacher" not in todo


@pytest.mark.usefixtures("in_this_process")
def test_a_refused_student_is_neither_exported_nor_registered(copied, tiny_recipe):
    call = copied("gate.rules.0.at_most=0.0", name="strict")

    with pytest.raises(GateRefusedError, match="the gate refused the student") as caught:
        stillhouse.run(str(tiny_recipe), call)

    assert caught.value.exit_code == 3
    done = {stage.key: stage.is_done for stage in stillhouse.status("strict", call.runs).stages}
    assert done["gate"]
    assert not done["export"]
    assert not done["register"]
    assert not stillhouse.gate("strict", runs=call.runs).passed


@pytest.mark.usefixtures("in_this_process")
def test_a_teacher_that_its_own_gate_refuses_labels_nothing(copied, tiny_recipe, tmp_path):
    refusing = "finetune.gate={rules: [{metric: exact_match, at_least: 0.9}]}"
    call = copied(refusing, name="unfit")
    shutil.rmtree(next((tmp_path / "runs" / "artifacts").glob("label-*")))
    heard = Heard()

    with pytest.raises(GateRefusedError, match="refused the fine-tuned teacher") as caught:
        stillhouse.run(str(tiny_recipe), call, on_event=heard)

    assert caught.value.exit_code == 3
    assert "nothing was labelled" in caught.value.hint
    assert heard.of("start") == ["evaluate@finetuned", "gate@finetuned"]
    assert not stillhouse.gate("unfit", "finetuned", call.runs).passed
    page = Path(stillhouse.status("unfit", call.runs).report).read_text(encoding="utf-8")
    assert "exact_match" in page


@pytest.mark.usefixtures("in_this_process")
def test_a_teacher_that_passes_its_gate_keeps_every_later_artifact(copied, tiny_recipe):
    passing = "finetune.gate={rules: [{metric: cross_entropy, at_most: 99}]}"
    heard = Heard()

    done = stillhouse.run(str(tiny_recipe), copied(passing, name="fit"), on_event=heard)

    assert heard.of("start") == ["evaluate@finetuned", "gate@finetuned"]
    stages = {stage.key: stage for stage in done.stages}
    assert stages["evaluate@finetuned"].summary["examples"] == 10
    assert "agreement" not in stages["evaluate@finetuned"].summary["metrics"]


def test_the_python_twin_says_what_the_artifacts_say(tiny_run, tiny_recipe, manifests, copied):
    call = stillhouse.Call(runs=str(tiny_run.root), name=tiny_run.name)

    found = stillhouse.check(str(tiny_recipe), call)
    verdict = stillhouse.gate(tiny_run.name, runs=call.runs)
    example, views = stillhouse.mask(str(tiny_recipe), part="labelled", example=3)
    page = stillhouse.write_report(tiny_run.name, copied().runs)

    assert all(item.is_done for item in found.instances)
    assert found.parts == manifests["prepare"].summary["parts"]
    # Gold answers are what a stored verdict that says nothing was measured against.
    stored = {"reference": "gold"} | manifests["gate"].summary["verdict"]
    assert verdict.model_dump(mode="json") == stored
    assert stillhouse.gate(tiny_run.name, "twin", call.runs).candidate == "twin"
    assert "".join(t.text for t in views["student"].tokens if t.is_trained).startswith(
        example.answer
    )
    assert page.is_file()
