"""The chain with a teacher that is asked in batches: for half of the price, the same student."""

from __future__ import annotations

import pytest
from tests.e2e.test_remote_teacher import KEY, RECIPE, call_of, right, words_of
from tests.e2e.test_remote_teacher import key as key  # a fixture
from tests.engines.fakes.openai_batches import Plan
from tests.engines.fakes.openai_server import FakeOpenAI
from tests.engines.fakes.server import Behaviour
from tests.engines.test_secrets import found_in
from tests.faults.killed_runs import COMMAND, contents, run, started, wait_for

import stillhouse

pytestmark = pytest.mark.xdist_group("remote")

BATCH = "teacher.api.batch=true"
BRIEF = "train.length.steps=4"


def of_stage(folder, stage):
    return {
        name.split("/", 2)[2]: digest
        for name, digest in contents(folder).items()
        if f"/{stage}-" in name and name.endswith("completions.parquet")
    }


def test_a_student_learns_the_same_from_batches_for_half_of_the_price(tmp_path, key):
    with FakeOpenAI(Behaviour(say=right)) as server:
        folder = tmp_path / "alone"
        alone = stillhouse.check(RECIPE, call_of(folder, server, BRIEF))
        stillhouse.run(RECIPE, call_of(folder, server, BRIEF))
        single, asked = server.billed_nano_usd, len(server.calls)

    with FakeOpenAI(Behaviour(say=right)) as server:
        priced = stillhouse.check(RECIPE, call_of(tmp_path / "many", server, BATCH, BRIEF))
        assert server.batches.log == []
        status = stillhouse.run(RECIPE, call_of(tmp_path / "many", server, BATCH, BRIEF))
        stillhouse.run(RECIPE, call_of(tmp_path / "many", server, BATCH, BRIEF))
        billed = server.billed_nano_usd
        # the prompts to learn, then those to compare by
        assert len(server.batches.made) == 2
        assert len(server.calls) == asked

    assert status.state == "passed"
    assert billed * 2 == single
    assert priced.most_usd == pytest.approx(alone.most_usd / 2)
    costs = {item.key: item.cost for item in priced.instances}
    assert costs["label"].calls + costs["evaluate@teacher"].calls == asked
    ledger = stillhouse.ledger(runs=str(tmp_path / "many"))
    assert sum(stage.spent_usd for stage in ledger.stages) * 10**9 == billed
    assert 0 < billed / 10**9 < priced.most_usd
    assert [stage.accepted for stage in ledger.stages] == [costs["label"].calls, 10]
    assert of_stage(tmp_path / "many", "label") == of_stage(tmp_path / "alone", "label") != {}
    assert found_in(tmp_path, KEY) == []


@pytest.mark.long
def test_a_run_that_was_killed_finds_its_batch_and_goes_on(tmp_path, key):
    with FakeOpenAI(Behaviour(say=right), Plan(seconds=3.0)) as server:
        words = words_of(tmp_path / "runs", server, BATCH, BRIEF)
        with started([*COMMAND, *words], tmp_path / "killed") as process:
            wait_for(lambda: server.batches.count("look") > 0, process)
        last = run(*words)
        assert last.returncode == 0, last.stderr
        assert len(server.batches.made) == 2
        questions = [call.question for call in server.calls]
        billed = server.billed_nano_usd
    assert len(questions) == len(set(questions))
    ledger = stillhouse.ledger(runs=str(tmp_path / "runs"))
    assert sum(stage.spent_usd for stage in ledger.stages) * 10**9 == billed


@pytest.mark.long
def test_a_batch_that_expires_leaves_the_rest_for_the_next_run(tmp_path, key):
    plan = Plan(end="expired", fault=lambda number: "expired" if number > 20 else "")
    with FakeOpenAI(Behaviour(say=right), plan) as server:
        first = run(*words_of(tmp_path, server, BATCH, BRIEF))
        plan.end, plan.fault = "completed", None
        second = run(*words_of(tmp_path, server, BATCH, BRIEF))
        questions = [call.question for call in server.calls]
    assert first.returncode == 1
    assert "batch_expired" in first.stderr
    assert "run the same command again" in first.stderr
    assert second.returncode == 0, second.stderr
    assert len(questions) == len(set(questions))


def test_a_budget_holds_in_batches(tmp_path, key):
    with FakeOpenAI(Behaviour(say=right)) as server:
        ended = run(*words_of(tmp_path, server, BATCH, "teacher.api.budget_usd=0.0002"))
        asked, spent = len(server.calls), server.billed_nano_usd
    assert ended.returncode == 1
    assert "prompts have no answer from teacher.api yet" in ended.stderr
    assert "budget" in ended.stderr
    assert 0 < asked < 100
    assert spent <= 200_000


def test_only_openais_kind_is_asked_in_batches(tmp_path, key):
    words = [
        "check",
        RECIPE,
        "--runs",
        tmp_path,
        "--set",
        BATCH,
        "--set",
        "teacher.api.kind=gemini",
    ]
    ended = run(*words)
    assert ended.returncode == 2
    assert "kind gemini is not asked in batches" in ended.stderr
