"""The tiny profile of prompt-transform: a linted student, its base beside it, answering bundles."""

from __future__ import annotations

import json
from importlib.util import find_spec

import pytest
from tests.e2e.profiles import run_tiny
from transformers import AutoModelForCausalLM, AutoTokenizer

import stillhouse
from stillhouse.data.storage import read_completions, read_rows_file
from stillhouse.data.style_references import has_style_reference
from stillhouse.stages.corpus import MEASURED_ROWS, open_corpus

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("prompt-transform-tiny")]
FIGURES = ("kl_to_teacher", "style_reference_rate", "traditions_covered", "entropy", "distinct_2",
           "context_spread", "cross_entropy", "agreement")  # fmt: skip


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    finished = run_tiny("prompt-transform", tmp_path_factory.mktemp("prompts"))
    for name in FIGURES:
        told = []
        for who in ("teacher", "student", "twin", "base", "rules"):
            found = finished.summary(f"evaluate@{who}")["metrics"].get(name)
            told.append(f"{who} {found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"
                        if found else f"{who} -")  # fmt: skip
        print(f"\n{name}: {'  '.join(told)}", end="")
    return finished


def test_the_student_is_nearer_to_the_teacher_than_its_twin_and_than_its_base(tiny):
    distances = [tiny.metric(who, "kl_to_teacher") for who in ("student", "twin", "base")]
    assert distances[0] < min(distances[1:])
    assert tiny.holds_every_verdict()


def test_the_linter_turns_answers_down_that_the_twin_learns(tiny):
    told = tiny.summary("label")["unusable"]
    assert told["wrong_style"] > 0
    said = read_completions(tiny.folders["label"] / "completions.parquet")
    assert not any(has_style_reference(one.text) for one in said if one.finish == "stop")
    rates = {who: tiny.metric(who, "style_reference_rate") for who in ("student", "twin")}
    assert rates["student"] < rates["twin"]


def test_the_audit_stands_before_and_after_in_the_report(tiny):
    names = {stage.key for stage in tiny.status.stages}
    assert {"evaluate@base", "evaluate@student"} <= names
    report = stillhouse.read_report("prompt-transform-tiny", tiny.call.runs)
    roles = {one.name: one.role for one in report.candidates}
    assert roles["base"] == "the student before it learned anything"
    rows = {one.name: dict(one.values) for one in report.metrics}
    for name in ("traditions_covered", "entropy", "context_spread"):
        assert {"base", "student"} <= rows[name].keys()


def test_every_measured_row_says_its_context_with_version_and_digest(tiny):
    rows = read_rows_file(tiny.folders["prepare"] / MEASURED_ROWS)
    assert all(row.fields["context_set"].startswith("pedagogical@1#") for row in rows)
    assert all(row.fields["context_id"] and row.fields["context_type"] for row in rows)


def test_the_bundle_answers_in_plain_transformers_what_was_measured(tiny):
    folder = tiny.folders["export"] / "bundle" / "merged"
    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    said = read_completions(tiny.folders["evaluate@exported"] / "completions.parquet")
    told = {one.example_id: one for one in said}
    example = open_corpus(tiny.folders["prepare"]).of_parts(["holdout"])[0]
    asked = tokenizer.apply_chat_template(
        [{"role": turn.role, "content": turn.content} for turn in example.prompt],
        add_generation_prompt=True, return_tensors="pt", return_dict=True,
    )  # fmt: skip
    ids = model.generate(**asked, max_new_tokens=72, do_sample=False)
    text = tokenizer.decode(ids[0, asked["input_ids"].shape[1] :], skip_special_tokens=True)
    assert text == told[example.example_id].text


def test_a_second_run_does_nothing(tiny):
    heard = tiny.events_of_a_second_run()
    assert heard["reused"] == [stage.key for stage in tiny.status.stages]
    assert not {"started", "finished"} & set(heard)


@pytest.mark.skipif(
    not (find_spec("gguf") and find_spec("llama_cpp")), reason="needs the extra gguf"
)
def test_with_the_extra_the_same_student_ships_for_ollama_and_answers_in_llama_cpp(tiny):
    forms = "{formats: [gguf, modelfile], gguf: {weights: [f16], examples: 2, max_new_tokens: 8}, "
    forms += "modelfile: {name: 'qwen3:4b-ai4artsed-v1', temperature: 0.7, top_p: 0.8}}"
    call = stillhouse.Call(
        [*tiny.call.overrides, f"export={forms}"], tiny.call.runs, "ollama", profile="tiny"
    )
    status = stillhouse.run("prompt-transform", call)

    found = {stage.key: stage for stage in status.stages}
    assert found["train@student"].artifact_id == next(
        one.artifact_id for one in tiny.status.stages if one.key == "train@student"
    )
    folder = tiny.root / "artifacts" / found["export"].artifact_id / "bundle"
    modelfile = next(folder.rglob("Modelfile")).read_text()
    assert "PARAMETER temperature 0.7" in modelfile
    assert "PARAMETER top_p 0.8" in modelfile
    assert json.loads((folder / "version_info.json").read_bytes())["version"]
    # Asked in llama.cpp, and held against the student by the gate.
    assert (
        found["evaluate@exported"].summary["examples"]
        == tiny.summary("evaluate@student")["examples"]
    )
