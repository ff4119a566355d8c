"""Questions asked in batches: what is sent, what it costs, and what becomes of each line."""

import time
from dataclasses import replace

import pytest
from pydantic import BaseModel
from tests.engines.asking import PATIENT, SAMPLING, engine, examples
from tests.engines.batching import SETTINGS, ask, assert_books, reasons, states
from tests.engines.fakes.openai_batches import Plan
from tests.engines.fakes.openai_server import FakeOpenAI
from tests.engines.fakes.server import Behaviour

from stillhouse.core.errors import UsageError
from stillhouse.core.rows import Example, Message
from stillhouse.store.account import JOURNAL
from stillhouse.store.ledger import Budget
from stillhouse.store.spending import spending_by_budget


def test_a_batch_gives_the_answers_of_single_questions_for_half_of_their_price(tmp_path):
    with FakeOpenAI() as server:
        alone = ask(tmp_path / "alone", server, 20, batch=False)
        price = server.billed_nano_usd
        together = ask(tmp_path / "together", server, 20)
        bodies = [call.body for call in server.calls]
    assert together == alone
    assert bodies[20:] == sorted(bodies[:20], key=bodies[20:].index)
    assert len(server.batches.made) == 1
    (budget,) = spending_by_budget(tmp_path / "together" / JOURNAL)
    assert budget.spent_usd * 10**9 * 2 == price


def test_batches_and_single_questions_share_their_answers(tmp_path):
    with FakeOpenAI() as server:
        ask(tmp_path, server, 10)
        ask(tmp_path, server, 10, batch=False)
        assert len(server.calls) == 10
        ask(tmp_path, server, 15, batch=False)
        found = ask(tmp_path, server, 20)
        assert len(server.calls) == 20
        assert len(server.batches.made) == 2
        ask(tmp_path, server, 20)
        assert len(server.batches.made) == 2
    assert reasons(found) == {"": 20}


def test_two_questions_that_are_the_same_are_asked_once(tmp_path):
    twins = [Example(name, "unlabelled", (Message("user", "q"),), None) for name in "ab"]
    with FakeOpenAI() as server, engine(tmp_path, server.url, batch=True) as teacher:
        first, second = teacher.generate(twins, SAMPLING)
    assert first.text == second.text
    assert len(server.calls) == 1
    assert_books(tmp_path, server)


def test_what_the_budget_leaves_no_room_for_is_deferred_and_never_sent(tmp_path):
    with FakeOpenAI() as server:
        with engine(tmp_path / "x", server.url, batch=True) as teacher:
            most = teacher.dry_run(examples(10), SAMPLING).most_usd
        cap = int(most * 10**9)
        found = ask(tmp_path, server, 30, budget=Budget("test", cap))
        assert len(server.calls) < 30
        sent = len(server.calls)
    assert reasons(found) == {"": sent, "budget": 30 - sent}
    assert 9 <= sent <= 10
    assert server.billed_nano_usd <= cap
    assert_books(tmp_path, server)


def test_the_most_that_a_batch_can_cost_is_held_while_it_is_out(tmp_path):
    settings = replace(SETTINGS, batch=replace(PATIENT, patience_s=0.05))
    with FakeOpenAI(plan=Plan(looks=10**6)) as server:
        with engine(tmp_path, server.url, batch=True) as teacher:
            most = teacher.dry_run(examples(5), SAMPLING).most_usd
        found = ask(tmp_path, server, 5, settings=settings)
        assert reasons(found) == {"waited_too_long": 5}
        (budget,) = spending_by_budget(tmp_path / JOURNAL)
        assert (budget.spent_usd, budget.held_usd) == (0, most)
        # then the next run finds it, asks nothing again, and pays the bill
        server.batches.plan.looks = 0
        found = ask(tmp_path, server, 5)
        assert len(server.batches.made) == 1
    assert reasons(found) == {"": 5}
    assert_books(tmp_path, server)


def test_questions_come_in_as_many_batches_as_their_limits_ask_for(tmp_path):
    few = replace(SETTINGS, batch=replace(PATIENT, most_questions=8))
    small = replace(SETTINGS, batch=replace(PATIENT, most_bytes=2000))
    with FakeOpenAI() as server:
        found = ask(tmp_path / "few", server, 20, settings=few)
        assert [len(one.splitlines()) for one in _sent(server)] == [8, 8, 4]
        ask(tmp_path / "small", server, 20, settings=small)
        assert all(len(one) <= 2000 for one in _sent(server)[3:])
    assert reasons(found) == {"": 20}


@pytest.mark.parametrize(
    ("fault", "reason", "state"),
    [
        (400, "bad_request", "free"),
        (429, "rate_limited", "free"),
        (500, "server_error", "free"),
        ("expired", "batch_expired", "free"),
        ("cancelled", "batch_cancelled", "free"),
        ("timeout", "timeout", "unknown"),
        ("odd", "error_in_body", "unknown"),
        (0, "wrong_shape", "unknown"),
        ("missing", "missing_line", "unknown"),
    ],
)
def test_each_line_has_its_own_outcome_and_the_next_run_asks_it_again(
    tmp_path, fault, reason, state
):
    plan = Plan(fault=lambda number: fault if number % 3 == 0 else "")
    with FakeOpenAI(plan=plan) as server:
        found = ask(tmp_path, server, 9)
        plan.fault = None
        again = ask(tmp_path, server, 9)
        assert len(server.batches.made) == 2
    assert [one.reason for one in found] == [reason, "", ""] * 3
    assert states(tmp_path) == {(state, reason): 3, ("paid", ""): 9}
    assert reasons(again) == {"": 9}
    (budget,) = spending_by_budget(tmp_path / JOURNAL)
    assert budget.held_usd == 0
    assert budget.spent_usd * 10**9 >= server.billed_nano_usd


@pytest.mark.parametrize(
    ("end", "reason"), [("expired", "batch_expired"), ("cancelled", "batch_cancelled")]
)
def test_of_a_batch_that_was_not_finished_the_finished_lines_are_taken(tmp_path, end, reason):
    plan = Plan(end=end, fault=lambda number: end if number > 4 else "")
    with FakeOpenAI(plan=plan) as server:
        found = ask(tmp_path, server, 12)
        plan.end, plan.fault = "completed", None
        again = ask(tmp_path, server, 12)
    assert reasons(found) == {"": 5, reason: 7}
    assert reasons(again) == {"": 12}
    assert len(server.calls) == 12
    assert_books(tmp_path, server)


def test_lines_that_validation_turns_down_do_not_take_the_others_with_them(tmp_path):
    with FakeOpenAI(plan=Plan(bad={2: "invalid_request", 5: "invalid_request"})) as server:
        found = ask(tmp_path, server, 6)
        assert len(server.batches.made) == 2
    assert [one.reason for one in found] == ["", "bad_request", "", "", "bad_request", ""]
    assert_books(tmp_path, server)


@pytest.mark.parametrize(
    ("code", "reason"),
    [("token_limit_exceeded", "rate_limited"), ("model_not_found", "batch_refused")],
)
def test_a_batch_that_is_turned_down_costs_nothing_and_is_asked_by_the_next_run(
    tmp_path, code, reason
):
    with FakeOpenAI(plan=Plan(turned_down=code)) as server:
        found = ask(tmp_path, server, 4)
        again = ask(tmp_path, server, 4)
    assert reasons(found) == {reason: 4}
    assert reasons(again) == {"": 4}
    assert_books(tmp_path, server)


def _sent(server):
    return [one for name, one in server.batches.files.items() if name.startswith("file-in")]


def test_a_question_sent_back_to_be_mended_goes_into_the_next_batch(tmp_path):
    class Found(BaseModel):
        ok: bool

    def say(body, number):
        return '{"ok": true}' if len(body["messages"]) > 1 else "no JSON"

    with (
        FakeOpenAI(Behaviour(say=say)) as server,
        engine(tmp_path, server.url, batch=True) as teacher,
    ):
        found = list(teacher.generate_checked(examples(7), SAMPLING, Found))
    assert all(one.value.ok and one.was_repaired for one in found)
    assert len(server.batches.made) == 2
    assert len(server.calls) == 14


def test_progress_is_told_while_a_batch_is_out(tmp_path, monkeypatch):
    monkeypatch.setattr("stillhouse.engines.remote._TELL_EVERY_S", 0.02)
    told = []

    def progress(done, total, unit, **values):
        told.append((done, total, unit, values))

    with FakeOpenAI(plan=Plan(looks=5)) as server:
        ask(tmp_path, server, 4, progress=progress, budget=Budget("test", 10**9))
    waiting = [one for one in told if one[2] == "answers in batches"]
    assert (0, 4) in {one[:2] for one in waiting}
    assert told[-1][:3] == (4, 4, "answers")
    assert told[-1][3]["spent_usd"] == pytest.approx(server.billed_nano_usd / 1e9)
    assert told[-1][3]["left_usd"] == pytest.approx(1 - server.billed_nano_usd / 1e9)


def test_who_stops_does_not_wait_for_the_batch(tmp_path):
    with FakeOpenAI(plan=Plan(looks=10**6)) as server:
        with engine(tmp_path, server.url, batch=True) as teacher:
            answers = teacher.generate(examples(3), SAMPLING)
            began = time.monotonic()
            teacher._progress = _interrupt
            teacher._pace = replace(teacher._pace, tell_every_s=0.2)
            with pytest.raises(KeyboardInterrupt):
                list(answers)
            assert time.monotonic() - began < 3
        server.batches.plan.looks = 0
        assert reasons(ask(tmp_path, server, 3)) == {"": 3}
        assert len(server.batches.made) == 1
    assert_books(tmp_path, server)


def _interrupt(*_, **__):
    raise KeyboardInterrupt


def test_an_error_of_ours_reaches_whoever_waits(tmp_path, monkeypatch):
    def broken(self, value):
        raise RuntimeError("ours")

    with FakeOpenAI() as server, engine(tmp_path, server.url, batch=True) as teacher:
        monkeypatch.setattr(type(teacher._wire), "usage", broken)
        with pytest.raises(RuntimeError, match="ours"):
            list(teacher.generate(examples(3), SAMPLING))


def test_only_who_has_a_batch_endpoint_is_asked_in_batches(tmp_path):
    with (
        pytest.raises(UsageError, match="anthropic is not asked in batches"),
        engine(tmp_path, "http://127.0.0.1:1", kind="anthropic", batch=True),
    ):
        pass
    with (
        pytest.raises(UsageError, match="'vllm' has no batch endpoint"),
        engine(tmp_path, "http://127.0.0.1:1/v1", dialect="vllm", batch=True),
    ):
        pass
