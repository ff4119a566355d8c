"""Steps that ask engines: priced, asked once, checked, deferred when a budget ends, resumed."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.engines.fakes.openai_server import FakeOpenAI
from tests.engines.fakes.server import Behaviour
from tests.models.tiny_models import save

import stillhouse
from stillhouse.core.errors import InputError, StillhouseError
from stillhouse.data.blanks import ask_for_blanks
from stillhouse.data.shards import read_shards
from stillhouse.data.storage import read_examples, read_rows_file
from stillhouse.engines.transformers import TransformersEngine
from stillhouse.runner.check import check
from stillhouse.runner.opening import open_recipe, shrink
from stillhouse.runner.resolve import resolve
from stillhouse.runner.run import Place, execute
from stillhouse.stages.corpus import EXAMPLES, MEASURED_ROWS, VERSIONS

pytestmark = pytest.mark.xdist_group("remote")

KINDS = ("debt", "asset", "share", "bond", "loan", "lease", "stock", "claim")


def made_rows():
    """Blanks, options, questions asked twice with other answers, and exact copies."""
    for number in range(96):
        kind = f"{KINDS[number % 8]} of company {number}"
        yield {"question": f"The value of the {kind} is ____ dollars.", "answer": f"{number}000"}
        if number % 4 == 0:
            text = f"Where is the {kind} written?\n(a) in a ledger\n(b) on the moon"
            yield {"question": text, "answer": "a"}
        if number % 8 == 0:
            for answer in ("It is told by the board", "It is told by an auditor"):
                yield {"question": f"Who tells the value of the {kind}?", "answer": answer}
        if number % 16 == 0:
            answer = "It is told by the board"
            yield {"question": f"Who tells the value of the {kind}?", "answer": answer}


def say(body, number):
    """Other words for whatever is told, by the prompt that came with it."""
    system, told = body["messages"][0]["content"], body["messages"][-1]["content"]
    if not told.startswith("{"):
        return "the teacher's own answer"
    text = json.loads(told)["text"]
    if "fill-in-the-blank" in system:
        return (
            "Question: " + text.replace("The value", "What is the value").split(" is ____")[0] + "?"
        )
    if "multiple choice" in system:
        return text.replace("Where is", "In which place is")
    if "collection" in system:
        return f"Tell us, {text}"
    tone = "please" if "formal" in system else "well" if "casual" in system else "now"
    return f"And {tone}, {text}"


@dataclass
class Rows:
    """Runs of the recipe up to its examples, in one folder."""

    server: FakeOpenAI
    source: Path
    folder: Path

    def resolved(self, steps, budget):
        engine = {
            "kind": "openai", "model": "fake-2", "base_url": self.server.url, "concurrency": 4,
            "key_env": "TEACHER_KEY", "price": {"input": "0.15", "output": "0.60"},
            "budget_usd": budget,
        }  # fmt: skip
        text = json.dumps(steps).replace('"ENGINE"', json.dumps({"api": engine}))
        overrides = (
            f"teacher.api.base_url={self.server.url}",
            f"collect={{source: {{file: {self.source}}}}}",
            "prepare.user='{question}'", "prepare.answer=answer", "prepare.reference=null",
            "prepare.answer_format=text", f"prepare.steps={text}",
            "prepare.split.parts={holdout: 20, validation: 10, labelled: rest}",
            "label={completions: gold, targets: none, parts: [labelled], max_new_tokens: 24}",
            "train.parts=[labelled]", "evaluate.fields={}", "gate=null", "train.twin=null",
        )  # fmt: skip
        return resolve(*open_recipe("tests/e2e/remote.yaml", overrides))

    def check(self, steps):
        found = check(self.resolved(steps, 1.0), Place(self.folder, "r"))
        return {one.key: one.cost for one in found.instances}

    def run(self, steps, budget=1.0, from_stage=""):
        resolved = self.resolved(steps, budget)
        keys = [one.key for one in resolved.plan.instances]
        del resolved.plan.instances[keys.index("prepare") + 1 :]
        execute(resolved, Place(self.folder, "r"), from_stage=from_stage)
        report = stillhouse.read_report("r", self.folder)
        return {one.step: one for one in report.row_flow}

    def artifact(self, instance):
        (found,) = (
            path.parent
            for path in (self.folder / "artifacts").glob("*/manifest.json")
            if json.loads(path.read_text())["instance"] == instance
        )
        return found


@pytest.fixture
def rows(tmp_path, monkeypatch, in_this_process):
    monkeypatch.setenv("TEACHER_KEY", "sk-planted-steps-0123456789")
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in made_rows()))
    return lambda server, name="r": Rows(server, path, tmp_path / name)


STEPS = [
    {"name": "convert_blanks", "engine": "ENGINE"},
    {"name": "convert_choices", "engine": "ENGINE"},
    {"name": "rephrase", "engines": ["ENGINE", "ENGINE"]},
    {
        "name": "augment",
        "versions": ["original", "formal", "casual", "general", "typos"],
        "engines": {"formal": "ENGINE", "casual": "ENGINE", "general": "ENGINE"},
    },
]


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*.parquet"))}


def test_a_chain_of_asking_steps_is_priced_asked_once_and_accounted_for(rows):
    with FakeOpenAI(Behaviour(say=say)) as server:
        run = rows(server)
        costs = run.check(STEPS)
        assert server.calls == []
        flow = run.run(STEPS)
        asked_for = len(server.calls)
        run.run(STEPS, from_stage="step")
        assert len(server.calls) == asked_for

    assert flow["convert_blanks"].notes == {"worded by an engine": 96}
    assert flow["convert_choices"].notes == {"matched by label": 24, "worded by an engine": 24}
    assert flow["rephrase"].merged == 6
    assert flow["rephrase"].notes["question worded by an engine"] == 12
    assert [costs[f"step@{name}"].calls for name in ("convert_blanks", "convert_choices")] == [
        96, 24,
    ]  # fmt: skip
    assert 0 < costs["step@convert_blanks"].likely_usd < costs["step@convert_blanks"].most_usd
    spent = {one.stage: one for one in stillhouse.ledger(runs=run.folder).stages}
    assert spent["step@convert_blanks convert_blanks"].accepted == 96
    assert spent["prepare augment formal"].requests == costs["prepare"].calls / 3


def test_versions_are_made_of_training_rows_alone_and_stay_with_their_row(rows):
    with FakeOpenAI(Behaviour(say=say)) as server:
        run = rows(server)
        run.run(STEPS)

    prepared = run.artifact("prepare")
    examples = read_examples(prepared / EXAMPLES)
    versions = read_rows_file(prepared / VERSIONS)
    kinds = Counter(row.fields["version"] for row in versions)
    learned = {one.example_id: one for one in examples if one.part == "labelled"}
    assert kinds["original"] == kinds["formal"] == kinds["casual"] == kinds["general"]
    assert 0.9 * kinds["original"] < kinds["typos"] <= kinds["original"]
    assert {row.row_id for row in versions} == set(learned)
    measured = {one.row_id: one for one in read_rows_file(prepared / MEASURED_ROWS)}
    assert not any("version" in row.fields for row in measured.values())
    roots = {row.root_id for row in versions}
    assert roots.isdisjoint(row.root_id or row.row_id for row in measured.values())
    part_of = {one.group: one.part for one in examples}
    assert all(part_of[one.group] == one.part for one in examples)
    casual = next(row for row in versions if row.fields["version"] == "casual")
    told = stillhouse.explain(casual.row_id, runs=run.folder)
    assert [one.step for one in told.steps][-2:] == ["fit_to_context"] * 2
    assert any("And well" in one.prompt for one in told.examples)


def test_a_budget_that_ends_in_the_middle_defers_and_a_later_run_goes_on(rows):
    steps = STEPS[:1]
    with FakeOpenAI(Behaviour(say=say)) as server:
        undisturbed = rows(server, "undisturbed")
        undisturbed.run(steps)
        whole = len(server.calls)
        run = rows(server)
        with pytest.raises(StillhouseError, match=r"wait for an answer: .* budget") as told:
            run.run(steps, budget=0.001)
        assert "raise engine.api.budget_usd" in told.value.hint
        first = len(server.calls) - whole
        run.run(steps)
        asked_for = Counter(call.question for call in server.calls[whole:])

    assert 0 < first < 96
    assert len(server.calls) == 2 * whole
    assert set(asked_for.values()) == {1}
    done = [one.artifact("step@convert_blanks") for one in (undisturbed, run)]
    assert contents(done[0]) == contents(done[1])


def spoil(body, number):
    """An answer that is of no use, another kind for each text."""
    text = json.loads(body["messages"][-1]["content"])["text"]
    company = int(re.search(r"company (\d+)", text)[1])
    answers = (
        "", "word " * 4000, "I'm sorry, I can't help with that.", "Wie hoch ist der Wert?",
        text.replace("____", f"{company}000") + "?", "RECOMMENDED", text,
    )  # fmt: skip
    return answers[company % len(answers)]


def test_a_bad_answer_leaves_the_rule_s_question_and_is_told(rows):
    with FakeOpenAI(Behaviour(say=spoil)) as server:
        run = rows(server)
        step = run.run(STEPS[:1])["convert_blanks"]

    assert sum(step.notes.values()) == 96
    assert {name.partition(": ")[2] for name in step.notes} == {
        "empty_answer", "cut", "no_question", "other_numbers", "blank_left",
    }  # fmt: skip
    said = {row.fields["question"] for row in read_shards(run.artifact("step@convert_blanks"))}
    blanks = [row for row in made_rows() if "____" in row["question"]]
    assert said >= {ask_for_blanks(row["question"], row["answer"]) for row in blanks}


def test_a_model_of_this_machine_is_asked_too_and_keeps_its_answers(
    rows, tmp_path, tokenizer, tokenizer_folder, monkeypatch
):
    folder = save("qwen3", tokenizer, tokenizer_folder, tmp_path / "m", max_position_embeddings=600)
    prompt = tmp_path / "prompt.yaml"
    prompt.write_text('name: short\nversion: "1"\nuser: "Ask: {prompt}"\n')
    local = {
        "path": str(folder), "prompt": str(prompt), "max_new_tokens": 4, "batch_size": 8,
        "template": {"user": "{content}\n"},
    }  # fmt: skip
    run = rows(SimpleNamespace(url="http://127.0.0.1:1/v1"))
    steps = [{"name": "convert_blanks", "engine": local}]
    asked = []
    generate = TransformersEngine.generate

    def killed_after_two(self, examples, sampling):
        asked.append(len(examples))
        if len(asked) == 3:
            raise InputError("the process was killed")
        yield from generate(self, examples, sampling)

    monkeypatch.setattr(TransformersEngine, "generate", killed_after_two)
    costs = run.check(steps)
    with pytest.raises(StillhouseError, match="killed"):
        run.run(steps)
    step = run.run(steps)["convert_blanks"]

    assert asked == [32, 32, 32, 32]
    assert costs["step@convert_blanks"].calls == 0
    assert sum(step.notes.values()) == 96
    assert all(name.startswith("worded by rule: ") for name in step.notes)


def test_a_smoke_run_asks_about_few_rows(rows):
    run = rows(SimpleNamespace(url="http://127.0.0.1:1/v1"))
    small = shrink(run.resolved(STEPS, 1.0).recipe, 2)
    assert small.collect.limit == 2 * 3 * 20
