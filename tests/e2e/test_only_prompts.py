"""Rows that hold only prompts are labelled, learned from, and measured against their teacher.

`pytest tests/e2e/test_only_prompts.py -m long` also kills such a run wherever the teacher answers.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.e2e.conftest import _InThisProcess
from tests.engines.fakes.openai_server import FakeOpenAI
from tests.engines.fakes.server import Behaviour
from tests.faults.killed_runs import contents, differing, instances, killed_at, run
from transformers import AutoModelForCausalLM

import stillhouse
from stillhouse.cli.show import show_run
from stillhouse.cli.starting import init
from stillhouse.core.errors import InputError, RecipeError, UsageError
from stillhouse.data.storage import read_completions, read_examples
from stillhouse.evals.scores import read_scores
from stillhouse.recipes.load import load_recipe
from stillhouse.recipes.reference_problems import needs_gold
from stillhouse.recipes.rows import SampleRows
from stillhouse.stages.corpus import EXAMPLES, open_corpus
from stillhouse.targets.quantise import to_levels, to_logprobs
from stillhouse.tasks.sample_rows import sample_rows

pytestmark = pytest.mark.xdist_group("e2e")

RECIPE = Path(__file__).with_name("only_prompts.yaml")
SHORT = "evaluate.max_new_tokens=26"
"""At this length the tiny teacher ends some of its answers, and others are cut."""


def write_prompts(path, count=90, **more):
    rows = sample_rows(SampleRows(task="tickets", rows=count, noise=0.1, seed=7))
    said = [{"message": row.fields["message"]} | more for row in rows]
    path.write_text("".join(json.dumps(one) + "\n" for one in said))


@pytest.fixture(scope="module")
def home(tmp_path_factory, tiny_run):
    """A folder with the recipe, prompts without answers, and a teacher that learned the task."""
    root = tmp_path_factory.mktemp("only-prompts")
    (teacher,) = (tiny_run.root / "artifacts").glob("finetune-*/model")
    shutil.copytree(teacher, root / "teacher")
    shutil.copy(RECIPE, root / "recipe.yaml")
    write_prompts(root / "prompts.jsonl")
    return root


@dataclass(frozen=True)
class Done:
    """A finished run: where its artifacts lie, by instance."""

    root: Path
    status: object
    artifacts: dict[str, Path]

    def summary(self, key):
        return json.loads((self.artifacts[key] / "manifest.json").read_text())["summary"]

    def said(self, key):
        found = read_completions(self.artifacts[key] / "completions.parquet")
        return {one.example_id: one.text for one in found}

    def scores(self, key):
        return read_scores(self.artifacts[key] / "scores.parquet")


def done(root, recipe, *overrides):
    call = stillhouse.Call(runs=str(root), overrides=overrides)
    status = stillhouse.run(str(recipe), call)
    return Done(root, status, {one.key: root / "artifacts" / one.artifact_id
                               for one in status.stages})  # fmt: skip


@pytest.fixture(scope="module")
def finished(home):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stillhouse.runner.run.StageServer", _InThisProcess)
        yield done(home / "runs", home / "recipe.yaml", SHORT)


CANDIDATES = [f"evaluate@{who}" for who in ("teacher", "student", "twin", "exported")]


def test_prompts_alone_lead_to_a_gated_exported_and_registered_student(finished):
    assert finished.status.state == "passed"
    assert finished.summary("register")["version_id"].startswith("v-")
    assert finished.summary("gate")["verdict"]["reference"] == "teacher"
    assert finished.summary("speed@student")["timed"] == 2


def test_nothing_measured_was_learned_and_no_example_holds_an_answer(finished):
    examples = read_examples(finished.artifacts["prepare"] / EXAMPLES)
    assert all(one.answer is None and one.reference is None for one in examples)
    holdout = {one.example_id for one in examples if one.part == "holdout"}
    assert len(holdout) == 20
    assert not holdout & finished.said("label").keys()


def test_a_row_whose_answer_was_cut_is_left_out_for_everybody_and_counted(finished):
    measured, *others = [finished.scores(key).example_ids for key in CANDIDATES]
    assert all(ids == measured for ids in others)
    told = finished.summary("evaluate@teacher")
    left = read_completions(finished.artifacts["evaluate@teacher"] / "left_out.parquet")
    assert {one.finish for one in left} == {"length"}
    assert told["left_out"] == {"cut": len(left)}
    assert 0 < len(left) == 20 - len(measured)


def test_the_distance_is_the_dense_one_on_the_teachers_own_text(finished, home):
    corpus = open_corpus(finished.artifacts["prepare"])
    asked = {one.example_id: one for one in read_examples(corpus.folder / EXAMPLES)}
    teacher = AutoModelForCausalLM.from_pretrained(home / "teacher").eval()
    bundle = finished.artifacts["export"] / "bundle" / "merged"
    student = AutoModelForCausalLM.from_pretrained(bundle).eval()
    kl, nll, tokens = 0.0, 0.0, 0
    for example_id, text in finished.said("evaluate@teacher").items():
        item = corpus.encode(asked[example_id], text)
        ids = torch.tensor(np.asarray(item.ids, np.int64))[None]
        with torch.no_grad():
            p, q = (torch.log_softmax(m(ids).logits[0, :-1].double(), -1)
                    for m in (teacher, student))  # fmt: skip
        p = as_stored(p)
        is_trained = torch.tensor(np.asarray(item.is_trained)[1:], dtype=torch.bool)
        kl += float((p.exp() * (p - q)).sum(-1)[is_trained].sum())
        nll -= float(q.gather(1, ids[0, 1:, None])[:, 0][is_trained].sum())
        tokens += int(is_trained.sum())

    metrics = finished.summary("evaluate@exported")["metrics"]

    assert metrics["kl_to_teacher"]["value"] == pytest.approx(kl / tokens, rel=1e-4)
    assert metrics["cross_entropy"]["value"] == pytest.approx(nll / tokens, rel=1e-4)


def as_stored(logprobs):
    """What the store keeps of a teacher: it rounds probabilities, and makes them sum to 1 again.

    Here that moves the distance of 0.045 nats by 3 parts in 10,000.
    """
    rounded = torch.from_numpy(to_logprobs(to_levels(logprobs.numpy())))
    return torch.log_softmax(rounded, -1)


def test_answers_are_held_against_the_teachers_and_nothing_says_what_is_right(finished):
    teacher, student = (finished.said(key) for key in CANDIDATES[:2])
    metrics = {key: finished.summary(key)["metrics"] for key in CANDIDATES}
    own = metrics["evaluate@student"]
    same = [parsed(student[name]) == parsed(teacher[name]) for name in teacher]
    assert own["agreement"]["value"] == pytest.approx(np.mean(same))
    intents = [
        (field := parsed(teacher[name]).get("intent")) is not None
        and parsed(student[name]).get("intent") == field
        for name in teacher
    ]
    assert 0 < np.mean(intents) < 1
    assert own["agreement.intent"]["value"] == pytest.approx(np.mean(intents))
    for found in metrics.values():
        assert [name for name in found if needs_gold(name)] == []
        assert "own answers" not in json.dumps(found)
        assert "the teacher's answers" in found["kl_to_teacher"]["definition"]
    near = {"bleu.mood", "chrf.mood", "rouge_l.mood", "field_agreement", "agreement.intent"}
    assert near <= metrics["evaluate@student"].keys()
    assert not (near - {"agreement.intent"}) & metrics["evaluate@teacher"].keys()
    assert "against the teacher's answers" in metrics["evaluate@student"]["bleu.mood"]["note"]
    assert all(not one["calibration"] for one in map(finished.summary, CANDIDATES))


def parsed(text):
    """The object that an answer is; what cannot be read is an object of nothing but itself."""
    try:
        return json.loads(text)
    except ValueError:
        return {"text": text}


def test_every_page_says_what_is_measured_against(finished, capsys):
    show_run(finished.status, as_json=False)
    said = capsys.readouterr().out
    left = finished.summary("evaluate@teacher")["left_out"]["cut"]
    words = f"{left} of 20 rows are left out for every candidate"
    assert "Measured against the teacher's answers" in said
    assert words in said
    assert "gate: student passed against the teacher's answers" in said
    page = (finished.root / "only-prompts" / "report.html").read_text()
    assert page.count("against the teacher&#39;s answers") >= 3
    assert "Reference, the teacher's answer" in page
    report = stillhouse.read_report("only-prompts", str(finished.root))
    assert words in report.reference
    said = finished.said("evaluate@teacher")
    assert {one.example_id: one.reference for one in report.examples} == said
    bundle = finished.artifacts["export"] / "bundle"
    assert "Measured against the teacher's answers" in (bundle / "README.md").read_text()
    assert json.loads((bundle / "version_info.json").read_text())["measured_against"] == "teacher"


def test_a_second_run_does_nothing(finished, home, in_this_process):
    before = {path: path.stat().st_mtime_ns for path in finished.root.glob("artifacts/*-*/*")}
    done(finished.root, home / "recipe.yaml", SHORT)
    after = {path: path.stat().st_mtime_ns for path in finished.root.glob("artifacts/*-*/*")}
    assert after == before


def test_gold_is_needed_and_refused_by_its_key(home, tmp_path):
    call = {"runs": str(tmp_path)}
    rule = "gate.rules=[{metric: exact_match, at_least: 0.5}]"
    with pytest.raises(RecipeError, match=r"gate\.rules\.0: exact_match says what is right"):
        stillhouse.check(str(home / "recipe.yaml"), stillhouse.Call(overrides=(rule,), **call))
    with pytest.raises(stillhouse.StillhouseError, match="reference"):
        stillhouse.check(
            str(home / "recipe.yaml"),
            stillhouse.Call(overrides=("evaluate.reference=gold",), **call),
        )


@pytest.fixture
def key(monkeypatch, in_this_process):
    monkeypatch.setenv("TEACHER_KEY", "sk-planted-e2e-0123456789")


REMOTE = Path(__file__).with_name("remote.yaml")


def truth_or_refusal(body, number):
    """A true annotation; of messages of an even length something that may not be learned."""
    message = body["messages"][-1]["content"]
    return (
        f"As an AI I cannot say \u00fc {message}" if len(message) % 2 else f"{message[::-1]} \u4f60"
    )


def test_a_teacher_behind_an_api_answers_the_measured_prompts_too(tmp_path, key):
    write_prompts(tmp_path / "prompts.jsonl", 60)
    changes = [
        f"collect.source={{file: '{tmp_path / 'prompts.jsonl'}'}}",
        "prepare.answer=null",
        "prepare.reference=null",
        "prepare.answer_format=text",
        "prepare.split.parts={holdout: 20, unlabelled: rest}",
        "label.parts=[unlabelled]",
        "label.reject=[as an ai]",
        "train.parts=[unlabelled]",
        "train.twin={text: labelled}",
        "evaluate.reference=teacher",
        "evaluate.fields={answer: {kind: text}}",
        "gate.rules=[{metric: bleu.answer, at_least: 0.0, decide_by: point}]",
    ]
    with FakeOpenAI(Behaviour(say=truth_or_refusal)) as server:
        overrides = (f"teacher.api.base_url={server.url}", *changes)
        call = stillhouse.Call(runs=str(tmp_path / "runs"), overrides=overrides)
        priced = stillhouse.check(str(REMOTE), call)
        found = done(tmp_path / "runs", REMOTE, *overrides)
        asked = len(server.calls)
        done(tmp_path / "runs", REMOTE, *overrides)
        assert len(server.calls) == asked

    costs = {item.key: item.cost for item in priced.instances}
    assert costs["evaluate@teacher"].calls == 20
    assert costs["evaluate@teacher"].most_usd > 0
    told, student = (found.summary(key) for key in CANDIDATES[:2])
    messages = {
        one.example_id: one.prompt[-1].content
        for one in read_examples(found.artifacts["prepare"] / EXAMPLES)
        if one.part == "holdout"
    }
    answered = {name for name, text in messages.items() if not len(text) % 2}
    assert set(found.scores("evaluate@student").example_ids) == answered
    assert told["left_out"] == {"wrong_style": 20 - len(answered)}
    assert set(told["metrics"]) <= {"agreement", "unreadable.answer"}
    assert student["metrics"].keys() >= {"agreement", "cross_entropy", "bleu.answer"}
    assert not student["metrics"].keys() & {"kl_to_teacher", "top1_agreement", "exact_match"}


@pytest.mark.long
def test_one_measured_row_is_enough_for_a_run_that_decides_nothing(home, tmp_path, in_this_process):
    rows = (home / "prompts.jsonl").read_text().splitlines()
    odd = [
        json.dumps({"message": text})
        for text in ("", "  ", "\u4f60\u597d gr\u00fc\u00df \U0001f600")
    ]
    (home / "odd.jsonl").write_text("\n".join([*rows[:30], *odd]))
    changes = ("collect.source.file=odd.jsonl",
               "prepare.split.parts={holdout: 1, unlabelled: rest}", "train.validation={}",
               "gate.enforce=false", "evaluate.slices=[]",
               "evaluate.latency=null")  # fmt: skip

    found = done(tmp_path, home / "recipe.yaml", *changes)

    assert found.summary("evaluate@student")["examples"] == 1
    assert found.summary("prepare")["parts"] == {"holdout": 1, "unlabelled": 30}
    (rule,) = found.summary("gate")["verdict"]["rules"]
    assert rule["decision"] == "not enough data"


@pytest.mark.long
def test_a_teacher_that_ends_no_answer_is_told_of_with_the_way_out(home, tmp_path, in_this_process):
    with pytest.raises(InputError, match=r"no answer to 20 measured rows.*: 20 cut") as refused:
        done(tmp_path, home / "recipe.yaml", "evaluate.max_new_tokens=2")
    assert "evaluate.max_new_tokens" in refused.value.hint


@pytest.mark.long
def test_two_rows_a_part_go_through_the_whole_chain(home, tmp_path, in_this_process):
    call = stillhouse.Call(runs=str(tmp_path), smoke=2)
    assert stillhouse.run(str(home / "recipe.yaml"), call).state == "passed"


@pytest.mark.long
def test_a_run_that_is_killed_where_the_teacher_answers_ends_with_the_same_bytes(home, tmp_path):
    whole, words = tmp_path / "whole", ("--set", SHORT, "--set", "evaluate.latency=null")
    assert run("run", home / "recipe.yaml", *words, "--runs", whole).returncode == 0
    for place, instance in enumerate(CANDIDATES[:2]):
        again = tmp_path / f"again {place}"
        arguments = ["run", str(home / "recipe.yaml"), *words, "--runs", str(again)]
        spec = {"point": "progress", "instance": instance, "who": "group", "count": 5}
        killed_at(spec, arguments, tmp_path / f"words {place}")
        assert not [one for one in instances(again, "only-prompts") if one[0] == instance
                    and (again / "artifacts" / one[1]).is_dir()]  # fmt: skip
        assert run(*arguments).returncode == 0
        assert differing(again, contents(whole)) == []


def test_init_writes_a_recipe_for_prompts_alone_that_runs(home, tmp_path, in_this_process, capsys):
    shutil.copy(home / "prompts.jsonl", tmp_path / "asked.jsonl")
    target = tmp_path / "mine.yaml"
    init(target, rows=str(tmp_path / "asked.jsonl"), teacher=str(home / "teacher"), is_quiet=True)
    assert load_recipe(str(target)).recipe.evaluate.reference == "teacher"

    # The tiny teacher holds 192 tokens, and its student shall not learn for long.
    short = ("prepare.max_tokens=160", "label.max_new_tokens=40", "label.cut_at_most=1.0",
             "compute.threads=1", "train.length={steps: 3, batch_size: 8}")  # fmt: skip
    found = done(tmp_path / "runs", target, *short)

    assert found.status.state == "passed"
    metrics = found.summary("evaluate@student")["metrics"]
    assert metrics.keys() >= {"kl_to_teacher", "agreement", "rouge_l.answer"}


def test_init_wants_a_teacher_that_can_answer_prompts_alone(home, tmp_path, capsys):
    asked = {"rows": str(home / "prompts.jsonl"), "is_quiet": True}
    with pytest.raises(UsageError, match="random weights") as refused:
        init(tmp_path / "m.yaml", teacher="scratch", **asked)
    assert "--teacher a hub id, a folder, or KIND:MODEL" in refused.value.hint

    init(tmp_path / "m.yaml", teacher="openai:gpt-5", **asked)
    recipe = load_recipe(str(tmp_path / "m.yaml")).recipe
    assert recipe.evaluate.metrics == ("cross_entropy", "agreement")
