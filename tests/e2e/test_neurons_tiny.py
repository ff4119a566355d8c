"""The tiny profile of neurons: one teacher, one frozen base, six adapters that ship."""

from __future__ import annotations

import json

import pytest
from peft import PeftModel
from tests.e2e.profiles import run_tiny
from transformers import AutoModelForCausalLM, AutoTokenizer

from stillhouse.data.storage import read_completions
from stillhouse.stages.corpus import open_corpus
from stillhouse.tasks.neurons.rows import DOMAINS

pytestmark = pytest.mark.xdist_group("neurons-tiny")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return run_tiny("neurons", tmp_path_factory.mktemp("neurons"))


def test_each_domain_comes_nearer_to_the_teacher_and_passes_its_own_rule(tiny):
    bundle = tiny.folders["export"] / "bundle"
    summary = json.loads((bundle / "kd_summary.json").read_bytes())
    assert set(summary["domains"]) == set(DOMAINS)
    for own in summary["domains"].values():
        # Whoever has learned nothing would break the rule of its domain.
        assert own["after"]["kl_to_teacher"] < 0.2 < own["before"]["kl_to_teacher"]
    asked = [rule["text"] for rule in tiny.summary("gate")["verdict"]["rules"]]
    assert all(any(f"domain is {name} " in text for text in asked) for name in DOMAINS)
    assert tiny.holds_every_verdict()


def test_outputs_and_probabilities_teach_more_than_the_same_outputs_alone(tiny):
    configs = {}
    for who in ("student", "twin"):
        manifest = json.loads((tiny.folders[f"train@{who}"] / "manifest.json").read_bytes())
        configs[who] = manifest["config"]["training"]
        assert "targets" in manifest["inputs"]  # both learn what the teacher said
    same = ("parts", "length", "optimizer", "lora", "seed")
    assert [configs["student"][key] for key in same] == [configs["twin"][key] for key in same]
    assert configs["student"]["weights"]["forward_kl"] == 0.7
    assert configs["twin"]["weights"]["forward_kl"] == 0.0
    assert tiny.metric("student", "kl_to_teacher") < tiny.metric("twin", "kl_to_teacher")


def test_the_bundle_answers_in_plain_peft_each_domain_by_its_own_adapter(tiny):
    bundle = tiny.folders["export"] / "bundle"
    base = AutoModelForCausalLM.from_pretrained(bundle / "base", local_files_only=True)
    first, *others = DOMAINS
    adapters = bundle / "adapters_kd"
    model = PeftModel.from_pretrained(base, str(adapters / first), first).eval()
    for name in others:
        model.load_adapter(str(adapters / name), name)
    tokenizer = AutoTokenizer.from_pretrained(bundle / "tokenizer", local_files_only=True)
    said = read_completions(tiny.folders["evaluate@exported"] / "completions.parquet")
    told = {one.example_id: one.text for one in said}
    holdout = open_corpus(tiny.folders["prepare"]).of_parts(["holdout"])
    for name in DOMAINS:
        example = next(one for one in holdout if one.domain == name)
        asked = tokenizer.apply_chat_template(
            [{"role": turn.role, "content": turn.content} for turn in example.prompt],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )
        model.set_adapter(name)
        ids = model.generate(**asked, max_new_tokens=32, do_sample=False)
        text = tokenizer.decode(ids[0, asked["input_ids"].shape[1] :], skip_special_tokens=True)
        assert text == told[example.example_id]


def test_a_second_run_does_nothing(tiny):
    heard = tiny.events_of_a_second_run()
    assert heard["reused"] == [stage.key for stage in tiny.status.stages]
    assert not {"started", "finished"} & set(heard)
