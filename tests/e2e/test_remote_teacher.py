"""A teacher behind an API: priced before it runs, asked once, learned from, accounted for."""

from __future__ import annotations

import csv
import json
import math
import re

import pytest
from tests.engines.fakes.openai_server import FakeOpenAI
from tests.engines.fakes.server import BILLED_FAULTS, FREE_FAULTS, Behaviour
from tests.engines.test_secrets import found_in
from tests.faults.killed_runs import COMMAND, ENVIRONMENT, contents, run, started, wait_for

import stillhouse
from stillhouse.data.storage import read_completions, read_examples
from stillhouse.recipes.rows import SampleRows
from stillhouse.stages.corpus import EXAMPLES
from stillhouse.tasks.sample_rows import sample_rows

pytestmark = pytest.mark.xdist_group("remote")

KEY = "sk-planted-e2e-0123456789"
RECIPE = "tests/e2e/remote.yaml"
TRUTH = {
    row.fields["message"]: json.dumps(row.fields["truth"], separators=(",", ":"))
    for row in sample_rows(SampleRows(task="tickets", rows=120, noise=0.1))
}


def right(body, number):
    """The true annotation of a message."""
    return TRUTH[body["messages"][-1]["content"]]


@pytest.fixture
def key(monkeypatch, in_this_process):
    monkeypatch.setenv("TEACHER_KEY", KEY)
    monkeypatch.setitem(ENVIRONMENT, "TEACHER_KEY", KEY)


def at(server, *changes):
    return [f"teacher.api.base_url={server.url}", *changes]


def call_of(tmp_path, server, *changes, **more):
    return stillhouse.Call(overrides=tuple(at(server, *changes)), runs=str(tmp_path), **more)


def words_of(tmp_path, server, *changes):
    words = [word for change in at(server, *changes) for word in ("--set", change)]
    return ["run", RECIPE, "--runs", str(tmp_path), *words]


def artifact(tmp_path, stage):
    (found,) = (tmp_path / "artifacts").glob(f"{stage}-*")
    return found


def summary_of(tmp_path, stage):
    return json.loads((artifact(tmp_path, stage) / "manifest.json").read_text())["summary"]


@pytest.mark.long
def test_the_page_holds_the_cost_against_a_baseline_that_the_recipe_names(tmp_path, key):
    with FakeOpenAI(Behaviour(say=right)) as server:
        old = f"{{name: old_model, api: {{kind: openai, model: fake-9, base_url: '{server.url}', "
        old += "key_env: TEACHER_KEY, price: {input: '1.5', output: '6.0'}, budget_usd: 1.0}}"
        call = call_of(tmp_path, server, f"evaluate.baselines=[{old}]")
        stillhouse.run(RECIPE, call)

    report = stillhouse.read_report("remote", str(tmp_path))

    roles = {one.name: one.role for one in report.candidates}
    assert roles["old_model"] == "another model, behind an API: fake-9"
    costs = {one.candidate: one.usd_per_thousand for one in report.costs.candidates}
    spent = {one.stage: one for one in report.costs.stages}
    own = spent["evaluate@old_model baseline old_model"]
    assert costs["old_model"] == own.spent_usd / own.accepted * 1000 == 10 * costs["teacher"]
    assert costs["student"] == 0
    assert report.costs.baseline == "old_model"
    assert report.costs.saved_usd_per_thousand == costs["old_model"]
    assert report.costs.spent_usd == sum(one.spent_usd for one in spent.values())
    pays = report.costs.answers_to_pay_back
    assert pays == math.ceil(report.costs.spent_usd / costs["old_model"] * 1000)
    assert report.metrics[0].differences["old_model"].value == -1.0


def test_a_student_learns_from_a_teacher_behind_an_api(tmp_path, key):
    with FakeOpenAI(Behaviour(say=right)) as server:
        priced = stillhouse.check(RECIPE, call_of(tmp_path, server))
        assert server.calls == []
        status = stillhouse.run(RECIPE, call_of(tmp_path, server))
        asked = len(server.calls)
        stillhouse.run(RECIPE, call_of(tmp_path, server))
        billed = server.billed_nano_usd
        assert len(server.calls) == asked

    done = read_completions(artifact(tmp_path, "label") / "completions.parquet")
    examples = read_examples(artifact(tmp_path, "prepare") / EXAMPLES)
    labelled = {one.example_id: one for one in examples if one.part != "holdout"}
    ours = {one.example_id: one.text for one in done if one.example_id in labelled}
    truths = {name: TRUTH[labelled[name].prompt[-1].content] for name in ours}
    assert status.state == "passed"
    assert ours == truths
    assert summary_of(tmp_path, "label")["asked"] == len(
        [one for one in examples if one.part in ("labelled", "unlabelled", "validation")]
    )
    # the price was bounded, the bill is in the ledger to the last nano-dollar
    costs = {item.key: item.cost for item in priced.instances}
    assert costs["label"].calls + costs["evaluate@teacher"].calls == asked
    ledger = stillhouse.ledger(runs=str(tmp_path))
    spent = sum(stage.spent_usd for stage in ledger.stages)
    assert billed == spent * 10**9
    assert 0 < spent < priced.most_usd
    assert [stage.stage for stage in ledger.stages] == ["label", "evaluate@teacher"]
    assert [stage.accepted for stage in ledger.stages] == [costs["label"].calls, 10]
    # the teacher is measured by its answers alone, the student by its loss too
    metrics = {one.name: json.loads((one / "manifest.json").read_text()) for one in
               (tmp_path / "artifacts").glob("evaluate-*")}  # fmt: skip
    by_who = {one["instance"]: one["summary"]["metrics"] for one in metrics.values()}
    assert by_who["evaluate@teacher"]["exact_match"]["value"] == 1.0
    assert "cross_entropy" not in by_who["evaluate@teacher"]
    assert by_who["evaluate@student"].keys() >= {"cross_entropy", "agreement", "exact_match"}
    assert not by_who["evaluate@student"].keys() & {"kl_to_teacher", "top1_agreement"}
    assert found_in(tmp_path, KEY) == []
    page = (tmp_path / "remote" / "report.html").read_text()
    assert "ledger: evaluate@teacher, 10 answers" in page
    # no prompt in what is said; the artifacts hold them, and so this search can fail
    prompt = next(iter(TRUTH))
    assert found_in(tmp_path / "remote", prompt) in ([], ["report.html"])
    assert found_in(tmp_path / "account", prompt) == []
    (tmp_path / "remote" / "planted").write_text(f"said: {prompt}")
    assert "planted" in found_in(tmp_path / "remote", prompt)


def test_the_command_prints_price_and_ledger(tmp_path, key):
    words = ["check", RECIPE, "--runs", tmp_path]
    priced = run(*words).stdout
    none = run("ledger", "--runs", tmp_path)
    with FakeOpenAI(Behaviour(say=right)) as server:
        assert run(*words_of(tmp_path, server)).returncode == 0
    told = run("ledger", "remote", "--runs", tmp_path).stdout
    plain = json.loads(run("ledger", "--runs", tmp_path, "--json").stdout)

    assert re.search(r"label +to do.* \$0\.\d+ to \$0\.\d+\n", priced)
    assert "nothing is asked beyond the budget of $1.00" in priced
    assert "teacher's terms: not known" in priced
    assert none.returncode == 2
    assert "no journal of calls" in none.stderr
    assert re.search(r"remote label +\d+ +0 +[\d,]+ +\$0\.\d+ +\$0\.00 +\d+ +\$0\.\d+\n", told)
    assert "budget remote: spent $0." in told
    assert plain["budgets"][0]["cap_usd"] == "1"


@pytest.mark.long
def test_a_run_under_faults_and_kills_costs_what_a_quiet_one_costs(tmp_path, key):
    with FakeOpenAI(Behaviour(say=right)) as server:
        assert run(*words_of(tmp_path / "quiet", server)).returncode == 0
        quiet = server.billed_nano_usd

    behaviour = Behaviour(0.02, say=right, fault_share=0.1, faults=("server_error", "reset"))
    with FakeOpenAI(behaviour) as server:
        changes = ("teacher.api.concurrency=4",)
        words = words_of(tmp_path / "loud", server, *changes)
        for number in range(3):
            with started([*COMMAND, *words], tmp_path / f"run-{number}") as process:
                before = len(server.calls)
                wait_for(lambda before=before: len(server.calls) > before + 12, process)
        last = run(*words)
        whole = [call for call in server.calls if not call.fault]
        again = len(whole) - len({call.question for call in whole})

    assert last.returncode == 0, last.stderr
    # four on the wire, two more in hand, at each of three kills
    assert again <= 3 * 6
    ours, theirs = contents(tmp_path / "loud"), contents(tmp_path / "quiet")
    assert {name: digest for name, digest in ours.items() if "label-" in name} != {}
    label = {name.split("/", 2)[2]: digest for name, digest in ours.items() if "/label-" in name}
    like = {name.split("/", 2)[2]: digest for name, digest in theirs.items() if "/label-" in name}
    assert label["completions.parquet"] == like["completions.parquet"]
    assert quiet > 0


def test_a_budget_that_ends_leaves_the_rest_for_the_next_run(tmp_path, key):
    with FakeOpenAI(Behaviour(say=right)) as server:
        first = run(*words_of(tmp_path, server, "teacher.api.budget_usd=0.0002"))
        asked = len(server.calls)
        spent = server.billed_nano_usd
        second = run(*words_of(tmp_path, server))
        questions = [call.question for call in server.calls]

    assert first.returncode == 1
    said = r"error: \d+ of 1\d\d prompts have no answer from teacher.api yet: \d+ budget\n"
    assert re.search(said, first.stderr)
    assert "raise teacher.api.budget_usd or budget_tokens; run the same command" in first.stderr
    assert 0 < asked < 100
    assert spent <= 200_000
    assert second.returncode == 0, second.stderr
    assert len(questions) == len(set(questions))


def test_nothing_is_asked_with_a_budget_of_nothing(tmp_path, key):
    with FakeOpenAI(Behaviour(say=right)) as server:
        ended = run(*words_of(tmp_path, server, "teacher.api.budget_usd=0"))
        assert server.calls == []
    assert ended.returncode == 1
    assert "budget" in ended.stderr


def test_answers_are_checked_mended_and_counted(tmp_path, key):
    """Every third answer breaks the style, every fifth the schema until it is asked to mend it."""

    def say(body, number):
        first = body["messages"][0]["content"]
        place = sorted(TRUTH).index(first)
        if place % 3 == 0:
            return json.dumps({"intent": "in the STYLE of", "mood": "calm"})
        if place % 5 == 0 and len(body["messages"]) == 1:
            return "I would say so."
        return TRUTH[first]

    schema = {
        "type": "object",
        "required": ["intent"],
        "properties": {"intent": {"type": "string"}},
    }
    changes = (
        f"label.answer_schema={json.dumps(schema)}",
        "label.reject=['in the (style|manner) of']",
    )
    with FakeOpenAI(Behaviour(say=say)) as server:
        stillhouse.run(RECIPE, call_of(tmp_path, server, *changes))
        bodies = [call.body for call in server.calls]

    told = summary_of(tmp_path, "label")
    done = read_completions(artifact(tmp_path, "label") / "completions.parquet")
    assert told["unusable"] == {"wrong_style": sum(one.reason == "wrong_style" for one in done)}
    assert told["unusable"]["wrong_style"] > 20
    assert told["answers"] + told["unusable"]["wrong_style"] == told["asked"]
    assert all(body["response_format"]["json_schema"]["schema"] == schema for body in bodies)
    mended = [body for body in bodies if len(body["messages"]) == 3]
    assert len(mended) > 5
    assert "- answer: no JSON" in mended[0]["messages"][2]["content"]
    (label, _) = stillhouse.ledger(runs=str(tmp_path)).stages
    assert label.accepted == told["answers"]


def test_several_answers_are_asked_for_and_learned(tmp_path, key):
    def say(body, number):
        return f'{{"intent":"{body["seed"]}"}}' if body["seed"] != 1 else "no object"

    changes = (
        "label.samples=2", "label.attempts=3", "label.temperature=0.7",
        "label.answer_schema={type: object}", "train.length.steps=4",
    )  # fmt: skip
    with FakeOpenAI(Behaviour(say=say)) as server:
        stillhouse.run(RECIPE, call_of(tmp_path, server, *changes))
        temperatures = {call.body["temperature"] for call in server.calls}

    done = read_completions(artifact(tmp_path, "label") / "completions.parquet")
    told = summary_of(tmp_path, "label")
    assert [(one.sample_index, one.finish, one.reason) for one in done[:3]] == [
        (0, "stop", ""), (1, "error", "wrong_schema"), (2, "stop", ""),
    ]  # fmt: skip
    assert told["answers"] == 2 * told["asked"]
    assert temperatures == {0.7}


def test_the_answer_that_most_repeats_agree_on_is_learned(tmp_path, key):
    def say(body, number):
        place = sorted(TRUTH).index(body["messages"][-1]["content"])
        if place % 2:
            return f'{{"intent": "{body["seed"]}"}}'
        return '{"a": 1, "b": 2}' if body["seed"] else '{"b": 2, "a": 1}'

    changes = ("label.consistency={repeats: 3, at_least: 0.6}", "train.length.steps=4")
    with FakeOpenAI(Behaviour(say=say)) as server:
        stillhouse.run(RECIPE, call_of(tmp_path, server, *changes))
        asked = len(server.calls)

    told = summary_of(tmp_path, "label")
    assert asked == 3 * told["asked"] + 10
    assert told["unusable"]["outvoted"] == 2 * told["answers"]
    assert told["unusable"]["inconsistent"] == 3 * (told["asked"] - told["answers"])


def test_an_answer_that_the_student_cannot_read_whole_is_not_learned(tmp_path, key):
    def say(body, number):
        return "word " * (60 if number % 2 else 3)

    changes = ("train.length.steps=4",)
    with FakeOpenAI(Behaviour(say=say)) as server:
        stillhouse.run(RECIPE, call_of(tmp_path, server, *changes))

    told = summary_of(tmp_path, "label")
    assert told["unusable"].keys() == {"too_long"}
    (label, _) = stillhouse.ledger(runs=str(tmp_path)).stages
    assert label.accepted == told["answers"]


def test_fenced_json_is_learned_and_measured_without_its_fence(tmp_path, key):
    def say(body, number):
        return f"```json\n{right(body, number)}\n```"

    changes = ("label.answer_schema={type: object}", "train.length.steps=4")
    with FakeOpenAI(Behaviour(say=say)) as server:
        stillhouse.run(RECIPE, call_of(tmp_path, server, *changes))

    assert not any("```" in one.text for one in read_completions(
        artifact(tmp_path, "label") / "completions.parquet"))  # fmt: skip
    measured = [json.loads(path.read_text()) for path in
                (tmp_path / "artifacts").glob("evaluate-*/manifest.json")]  # fmt: skip
    (teacher,) = [one for one in measured if one["instance"] == "evaluate@teacher"]
    assert teacher["summary"]["metrics"]["exact_match"]["value"] == 1.0


def test_a_model_that_the_provider_does_not_have_ends_the_stage(tmp_path, key):
    behaviour = Behaviour(say=right, fault_share=1.0, faults=("bad_request",))
    with FakeOpenAI(behaviour) as server, pytest.raises(stillhouse.StillhouseError) as caught:
        stillhouse.run(RECIPE, call_of(tmp_path, server))
    assert "does teacher.api.model exist" in str(caught.value)


def test_a_missing_key_is_missed_before_the_first_stage(tmp_path):
    with FakeOpenAI(Behaviour(say=right)) as server, pytest.raises(stillhouse.StillhouseError) as e:
        stillhouse.run(RECIPE, call_of(tmp_path, server))
    assert "no key: TEACHER_KEY is not set" in str(e.value)
    assert not list((tmp_path / "artifacts").glob("collect-*"))


def test_the_teacher_may_see_a_prompt_of_its_own(tmp_path, key):
    prompt = tmp_path / "judge.yaml"
    prompt.write_text("name: judge\nversion: '2'\nsystem: You are strict.\nuser: 'Q: {prompt}'\n")
    changes = (f"label.prompt={prompt}", "train.length.steps=4")
    with FakeOpenAI(Behaviour(say=lambda body, number: "yes")) as server:
        stillhouse.run(RECIPE, call_of(tmp_path / "runs", server, *changes))
        seen = [call.body["messages"] for call in server.calls]

    done = read_completions(artifact(tmp_path / "runs", "label") / "completions.parquet")
    assert all(turns[0] == {"role": "system", "content": "You are strict."} for turns in seen)
    assert all(turns[1]["content"].startswith("Q: ") for turns in seen)
    assert len({one.prompt_label for one in done}) == 1
    assert done[0].prompt_label.startswith("judge@2#")


def test_a_judge_turns_answers_down_and_its_silence_never_passes(tmp_path, key):
    def judged(body, number):
        asked = json.loads(body["messages"][1]["content"])
        place = sorted(TRUTH.values()).index(asked["Answer"])
        assert asked["Rule"] == "fit for all"
        if place % 4 == 1:
            return "I would rather not."
        return json.dumps({"passes": place % 4 != 0, "reason": "because"})

    with FakeOpenAI(Behaviour(say=right)) as server, FakeOpenAI(Behaviour(say=judged)) as judge:
        api = f"{{kind: openai, model: j, base_url: '{judge.url}', budget_usd: 1, " + (
            "price: {input: '1', output: '1'}}"
        )
        judges = f"label.judges=[{{name: safety, rule: fit for all, api: {api}}}]"
        priced = stillhouse.check(RECIPE, call_of(tmp_path, server, judges))
        stillhouse.run(RECIPE, call_of(tmp_path, server, judges))
        systems = {call.body["messages"][0]["role"] for call in judge.calls}

    told = summary_of(tmp_path, "label")
    ledger = stillhouse.ledger("remote", runs=str(tmp_path))
    assert told["unusable"].keys() == {"safety", "safety_unjudged"}
    assert told["answers"] + sum(told["unusable"].values()) == told["asked"]
    assert systems == {"system"}
    assert [one.stage for one in ledger.stages] == [
        "label", "label judge safety", "evaluate@teacher",
    ]  # fmt: skip
    assert {one.name for one in ledger.budgets} == {"remote", "remote judge safety"}
    assert priced.budget_usd == 2.0
    assert priced.instances[2].cost.calls == 2 * told["asked"]


@pytest.mark.parametrize("fault", [*BILLED_FAULTS, *FREE_FAULTS, "key_refused"])
def test_a_provider_that_only_fails_ends_the_stage_with_its_reason(tmp_path, key, fault):
    behaviour = Behaviour(say=right, fault_share=1.0, faults=(fault,), hang_s=0.3)
    changes = (
        "teacher.api.timeout_s=0.1", "teacher.api.tries=1", "teacher.api.patience_s=0.2",
        "prepare.split.parts.unlabelled=5",
    )  # fmt: skip
    with FakeOpenAI(behaviour) as server, pytest.raises(stillhouse.StillhouseError) as caught:
        stillhouse.run(RECIPE, call_of(tmp_path, server, *changes))
    assert "prompts" in str(caught.value)
    assert KEY not in str(caught.value)


def test_a_judge_and_a_baseline_behind_an_api_are_priced_asked_once_and_known_to_the_gate(
    tmp_path, key
):
    def say(body, number):
        asked = body["messages"][-1]["content"]
        if "Answer A" not in asked:
            return right(body, number)
        parts = json.loads(asked)
        is_json = [parts[f"Answer {which}"].startswith("{") for which in "AB"]
        better = "tie" if is_json[0] == is_json[1] else "AB"[is_json.index(True)]
        return json.dumps({"reason": "JSON is better.", "better": better})

    with FakeOpenAI(Behaviour(say=say)) as server:
        api = (
            f"{{kind: openai, model: fake-1, base_url: '{server.url}', key_env: TEACHER_KEY, "
            "price: {input: '0.15', output: '0.60'}, budget_usd: 1.0}"
        )
        changes = [
            f"evaluate.judge={{api: {api}}}",
            "prepare.csv={audit.csv: answers}",
            f"evaluate.baselines=[{{name: rival, api: {api}}}]",
            "gate.rules=[{metric: win_rate, at_most: 0.5, decide_by: point}, "
            "{metric: exact_match, against: rival, at_most: 0.0}]",
        ]
        priced = stillhouse.check(RECIPE, call_of(tmp_path, server, *changes))
        status = stillhouse.run(RECIPE, call_of(tmp_path, server, *changes))
        asked = len(server.calls)
        stillhouse.run(RECIPE, call_of(tmp_path, server, *changes))
        assert len(server.calls) == asked

    stages = {stage.key: stage for stage in status.stages}
    verdict = stages["gate"].summary["verdict"]
    assert [rule["decision"] for rule in verdict["rules"]] == ["pass", "pass"]
    assert stages["evaluate@rival"].summary["metrics"]["exact_match"]["value"] == 1.0
    assert {key for key in stages if key.startswith("judge@")} == {
        f"judge@{who}" for who in ("student", "twin", "rival", "exported")
    }
    costs = {item.key: item.cost for item in priced.instances}
    assert costs["judge@student"].calls == 2 * stages["evaluate@student"].summary["examples"]
    assert costs["evaluate@rival"].likely_usd > 0
    # The rival is the teacher's model, whose answers are kept already.
    paid = {stage.stage for stage in stillhouse.ledger(runs=str(tmp_path)).stages}
    assert "judge@student judge" in paid
    assert "evaluate@rival baseline rival" not in paid
    with next(tmp_path.rglob("audit.csv")).open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            assert row["teacher"].startswith("{")
            is_poor = float(row["preferred of student"]) == 0.0
            assert row["correction of student"] == (row["teacher"] if is_poor else "")
