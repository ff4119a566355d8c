"""Six domains in one run: one labelling, one base, six adapters, each measured and shipped."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors import safe_open
from tests.e2e.families import write_models
from transformers import AutoModelForCausalLM, PreTrainedModel

import stillhouse
from stillhouse.core.hashing import digest_file
from stillhouse.evals.scores import read_scores
from stillhouse.recipes.training import Train
from stillhouse.registry.versions import Registry
from stillhouse.stages.contract import StageRequest
from stillhouse.stages.corpus import open_corpus
from stillhouse.stages.sections import section_of
from stillhouse.stages.table import stage_function
from stillhouse.store.artifacts import ArtifactStore
from stillhouse.tasks.neurons.rows import DOMAINS

pytestmark = pytest.mark.xdist_group("e2e")
PROGRESS_OF_ONE = 8
"""Six steps and two measurements of validation."""
RECIPE = Path(__file__).parent / "six_domains.yaml"
OF_AN_ADAPTER = {
    "adapter_config.json",
    "adapter_model.safetensors",
    "base.json",
    "kd_config.json",
    "kd_metrics.json",
}


@dataclass(frozen=True)
class Six:
    """The finished run.

    Attributes:
        folders: of the artifacts, by the key of their instance.
        loads: stage to the folders that `from_pretrained` was asked for in it.
    """

    runs: Path
    folders: dict[str, Path]
    summaries: dict[str, dict]
    loads: dict[str, list[str]]
    status: object

    @property
    def trained(self):
        return self.folders["train@student"]

    @property
    def bundle(self):
        return self.folders["export"] / "bundle"


def write_recipe(root):
    """The recipe beside the models that it names."""
    write_models("qwen3", root)
    return shutil.copyfile(RECIPE, root / "six.yaml")


@pytest.fixture(scope="module")
def six(tmp_path_factory, one_process):
    root, loads, now = tmp_path_factory.mktemp("six"), {}, {}
    load, find = PreTrainedModel.from_pretrained.__func__, stillhouse.stages.table.stage_function

    def counted(cls, folder, *rest, **named):
        loads.setdefault(now["key"], []).append(str(folder))
        return load(cls, folder, *rest, **named)

    def told(stage, config):
        def run(request, progress):
            now["key"] = f"{request.stage}@{request.variant}" if request.variant else request.stage
            return find(stage, config)(request, progress)

        return run

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PreTrainedModel, "from_pretrained", classmethod(counted))
        patch.setattr("tests.e2e.conftest.stage_function", told)
        status = stillhouse.run(str(write_recipe(root)), stillhouse.Call(runs=str(root / "runs")))
    store = ArtifactStore(root / "runs" / "artifacts")
    for stage in status.stages:
        store.verify(stage.artifact_id)
    return Six(
        root / "runs",
        {one.key: store.path(one.artifact_id) for one in status.stages},
        {one.key: one.summary for one in status.stages},
        loads,
        status,
    )


def files_of(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_teacher_is_loaded_once_to_label_and_the_base_once_to_train_all_six(six):
    assert len(six.loads["label"]) == 1
    assert [Path(one).name for one in six.loads["train@student"]] == ["student"]
    # Measuring loads each candidate once, also the one of six adapters; exporting none.
    measured = {key: len(six.loads.get(key, ())) for key in six.folders if "evaluate" in key}
    assert measured == dict.fromkeys(measured, 1)
    assert "export" not in six.loads


def test_the_training_leaves_the_tree_that_other_tools_look_for(six):
    expected = {"manifest.json", "kd_summary.json"}
    for name in DOMAINS:
        expected |= {f"adapters_kd/{name}/{file}" for file in OF_AN_ADAPTER}
        for step in (3, 6):
            at = f"adapters_kd/{name}/checkpoint_{step}"
            expected |= {f"{at}/adapter_config.json", f"{at}/adapter_model.safetensors"}
    assert files_of(six.trained) == expected


def test_every_adapter_and_every_checkpoint_of_it_is_loaded_by_plain_peft(six):
    corpus = open_corpus(six.folders["prepare"])
    example = corpus.of_parts(["holdout"])[0]
    ids = torch.from_numpy(corpus.encode(example).ids).long()[None]
    said = {}
    for name in DOMAINS:
        folder = six.trained / "adapters_kd" / name
        for path in (folder, *(folder / f"checkpoint_{step}" for step in (3, 6))):
            base = AutoModelForCausalLM.from_pretrained(
                six.runs.parent / "student", local_files_only=True
            )
            with torch.no_grad():
                model = PeftModel.from_pretrained(base, str(path)).eval()
                said[path] = model(input_ids=ids).logits
        # The last checkpoint of a training that did not stop early is what it ends with.
        assert torch.equal(said[folder], said[folder / "checkpoint_6"])
        assert not torch.equal(said[folder], said[folder / "checkpoint_3"])
    assert len({digest_file(path / "adapter_model.safetensors") for path in said}) == 12


def test_the_configuration_beside_an_adapter_is_the_training_as_it_was(six):
    seeds = set()
    for name in DOMAINS:
        plain = json.loads((six.trained / "adapters_kd" / name / "kd_config.json").read_text())
        training = section_of(Train, plain["training"])
        assert training.model_dump(mode="json", by_alias=True) == plain["training"]
        assert (plain["domain"], plain["kd_alpha"], plain["lora_scale"]) == (name, 0.7, 2.0)
        seeds.add(training.seed)
    assert len(seeds) == 6


def test_the_summary_tells_each_domain_before_and_after_and_all_are_nearer_to_the_teacher(six):
    summary = json.loads((six.trained / "kd_summary.json").read_text())

    assert set(summary["domains"]) == set(DOMAINS)
    for own in summary["domains"].values():
        assert own["steps"] == 6
        assert own["epochs"] in (2.0, 3.0)
        assert own["rows"] == "packed"
        assert own["after"]["kl_to_teacher"] < own["before"]["kl_to_teacher"]
        assert own["after"]["cross_entropy"] < own["before"]["cross_entropy"]
        assert own["after"]["tokens"] == own["before"]["tokens"] > 0
        assert 0.0 <= own["after"]["top1_agreement"] <= 1.0
    overall = summary["overall"]
    assert overall["domains"] == 6
    one = summary["domains"]["debug"]
    base = one["parameters"] - one["trainable_parameters"]
    assert overall["parameters"] == base + 6 * one["trainable_parameters"]
    assert overall["examples"] == sum(own["examples"] for own in summary["domains"].values())
    tokens = sum(own["after"]["tokens"] for own in summary["domains"].values())
    mean = sum(
        own["after"]["kl_to_teacher"] * own["after"]["tokens"]
        for own in summary["domains"].values()
    )
    assert overall["after"]["kl_to_teacher"] == pytest.approx(mean / tokens)


def test_the_wall_time_of_each_domain_is_measured_and_stands_in_no_hashed_file(six):
    store = ArtifactStore(six.runs / "artifacts")
    measured = store.read_measured(six.trained.name)
    seconds = [measured[f"seconds of {name}"] for name in DOMAINS]
    assert all(value > 0 for value in seconds)
    assert sum(seconds) <= measured["seconds"]
    for name in DOMAINS:
        series = store.read_series(six.trained.name, name)
        assert series["step"][-1] == 6
        assert len(series["step"]) == len(series["peak_rss_bytes"]) == len(series["seconds"])
    assert "seconds" not in (six.trained / "kd_summary.json").read_text()


def test_each_holdout_example_is_answered_by_its_own_domains_adapter(six):
    corpus = open_corpus(six.folders["prepare"])
    holdout = corpus.of_parts(["holdout"])
    base_folder = six.runs.parent / "student"
    scores = read_scores(six.folders["evaluate@student"] / "scores.parquet")
    for name in DOMAINS:
        own = next(one for one in holdout if one.domain == name)
        ids = torch.from_numpy(corpus.encode(own).ids).long()
        base = AutoModelForCausalLM.from_pretrained(base_folder, local_files_only=True)
        adapter = six.trained / "adapters_kd" / name
        with torch.no_grad():
            model = PeftModel.from_pretrained(base, str(adapter)).eval()
            logprobs = model(input_ids=ids[None]).logits[0].double().log_softmax(-1)
        trained = torch.from_numpy(corpus.encode(own).is_trained)[1:]
        naive = -logprobs[:-1].gather(1, ids[1:, None])[:, 0][trained].sum()
        place = scores.example_ids.index(own.example_id)
        assert scores.columns["nll"][place] == pytest.approx(float(naive), rel=1e-4)


@pytest.mark.parametrize("who", ["teacher", "student", "exported"])
def test_every_measurement_is_cut_by_domain(six, who):
    slices = six.summaries[f"evaluate@{who}"]["slices"]
    kl = {one["name"]: one for one in slices if one["metric"] == "kl_to_teacher"}
    assert {one["kind"] for one in slices} == {"domain"}
    assert set(kl) == set(DOMAINS)
    assert sum(one["n"] for one in kl.values()) > 0
    if who == "exported":
        own = six.summaries["evaluate@student"]["slices"]
        assert [one["value"] for one in slices] == [one["value"] for one in own]


def test_the_gate_asks_of_each_domain(six):
    rules = six.summaries["gate"]["verdict"]["rules"]
    assert len(rules) == 6
    assert {name for rule in rules for name in DOMAINS if f"is {name} " in rule["text"]} == set(
        DOMAINS
    )


def test_the_bundle_holds_the_trained_adapters_byte_by_byte_and_can_be_loaded_elsewhere(six):
    assert {path for path in files_of(six.bundle) if "/" not in path} == {
        "README.md",
        "data_card.md",
        "prompt.json",
        "version_info.json",
        "kd_summary.json",
    }
    for name in DOMAINS:
        ours, theirs = (root / "adapters_kd" / name for root in (six.bundle, six.trained))
        assert files_of(ours) == OF_AN_ADAPTER
        weights = "adapter_model.safetensors"
        assert digest_file(ours / weights) == digest_file(theirs / weights)
        config = json.loads((ours / "adapter_config.json").read_text())
        assert config["base_model_name_or_path"] == "student"
        with safe_open(ours / weights, "pt") as file:
            assert all("lora_" in key for key in file.keys())  # noqa: SIM118
    assert six.summaries["export"]["formats"] == ["adapters_kd"]
    assert len(six.summaries["export"]["parity"]) == 6


def test_the_version_holds_every_file_of_the_bundle(six):
    record = json.loads((six.folders["register"] / "version.json").read_text())
    version = Registry(six.runs / "registry").read(record["name"], record["version_id"])
    assert {file.path for file in version.files} == files_of(six.bundle)


def test_the_page_tells_each_domain(six):
    page = (six.runs / "six" / "report.html").read_text()
    for name in DOMAINS:
        assert f"student {name}" in page
        assert re.search(rf"seconds of {name} \d+\.\d", page)


def test_no_pickle_is_left_in_any_artifact(six):
    for folder in six.folders.values():
        assert not [name for name in files_of(folder) if name.endswith((".pt", ".pth", ".bin"))]


def test_check_prices_six_trainings_where_one_domain_has_one(six, tmp_path):
    recipe = str(six.runs.parent / "six.yaml")
    call = stillhouse.Call(runs=str(tmp_path))
    whole = {one.key: one.cost for one in stillhouse.check(recipe, call).instances}
    alone = stillhouse.Call(
        runs=str(tmp_path), overrides=["domains=[debug]", "prepare.split.parts.labelled=16"]
    )
    single = {one.key: one.cost for one in stillhouse.check(recipe, alone).instances}

    ratio = whole["train@student"].disk_bytes / single["train@student"].disk_bytes
    assert ratio == pytest.approx(6.0, rel=0.01)
    assert whole["train@student"].seconds > 4 * single["train@student"].seconds
    made = sum((six.trained / path).stat().st_size for path in files_of(six.trained))
    assert 0.5 < whole["train@student"].disk_bytes / made < 2.0
    # The same six steps, said as passes over the sixteen examples of each.
    passes = stillhouse.Call(
        ["train.length.steps=null", "train.length.epochs=3"], runs=str(tmp_path)
    )
    told = {one.key: one.cost for one in stillhouse.check(recipe, passes).instances}
    assert told["train@student"].disk_bytes == pytest.approx(
        whole["train@student"].disk_bytes, rel=0.2
    )


@pytest.mark.long
def test_smoke_runs_the_whole_chain_of_a_recipe_with_domains(six, tmp_path):
    recipe = str(six.runs.parent / "six.yaml")
    status = stillhouse.run(recipe, stillhouse.Call(runs=str(tmp_path), smoke=2))
    trained = next(one for one in status.stages if one.key == "train@student")
    assert trained.summary["domains"] == 6


class Stopped(Exception):
    """The training is interrupted here."""


def train_again(six, root, *, stop_at=0, **changes):
    """The stage's own work once more, in folders of its own; gives where it wrote."""
    manifest = json.loads((six.trained / "manifest.json").read_text())
    seen = []

    def progress(done, total, unit, **values):
        seen.append(done)
        if len(seen) == stop_at:
            raise Stopped

    shutil.rmtree(root / "out", ignore_errors=True)
    for name in ("out", "scratch"):
        (root / name).mkdir(parents=True, exist_ok=True)
    request = StageRequest(
        stage="train",
        variant="student",
        artifact_id=manifest["artifact_id"],
        config=manifest["config"] | changes,
        inputs={
            name: six.trained.parent / artifact_id
            for name, artifact_id in manifest["inputs"].items()
        },
        out=root / "out",
        scratch=root / "scratch",
        locations={"student": str(six.runs.parent / "student")},
    )
    stage_function("train", request.config)(request, progress)
    return root / "out", len(seen)


def digests(folder):
    return {name: digest_file(folder / name) for name in files_of(folder) - {"manifest.json"}}


def test_a_training_that_was_stopped_in_the_third_domain_goes_on_there_to_the_same_bytes(
    six, tmp_path
):
    with pytest.raises(Stopped):
        train_again(six, tmp_path, stop_at=2 * PROGRESS_OF_ONE + 6)

    sealed = sorted(path.stem for path in (tmp_path / "scratch" / "done").iterdir())
    out, told = train_again(six, tmp_path)

    assert sealed == sorted(DOMAINS[:2])
    assert digests(out) == digests(six.trained)
    # Two domains and a checkpoint of the third were not trained again.
    assert told < 4 * PROGRESS_OF_ONE


def test_neither_order_nor_company_changes_a_bit_of_an_adapter(six, tmp_path):
    out, _ = train_again(six, tmp_path, domains=["memory", "thinking"])

    for name in ("memory", "thinking"):
        place = f"adapters_kd/{name}"
        assert digests(out / place) == digests(six.trained / place)
