"""Kill -9 before and after every request and every write: a batch is found again, and paid once."""

from collections import Counter

import pytest
from tests.engines.fakes.openai_batches import Plan
from tests.engines.fakes.openai_server import FakeOpenAI
from tests.engines.processes import finish, start

from stillhouse.store.account import JOURNAL
from stillhouse.store.spending import budgets_that_do_not_add_up, spending_by_budget

COUNT = 6
ORDER = {"count": COUNT, "concurrency": 8, "batch": True}
REQUESTS = {1: "upload", 2: "create", 3: "look", 4: "look again", 5: "fetch"}
WRITES = {1: "take over", 2: "reserve", 3: "the file", 4: "the id", 5: "an answer", 11: "the end"}


def killed_and_resumed(folder, **death):
    """Both runs' answers, and the server."""
    with FakeOpenAI(plan=Plan(looks=2)) as server:
        process = start(folder, server.url, **ORDER, **death)
        out, _ = process.communicate(timeout=60)
        assert process.returncode == -9, out
        found = finish(start(folder, server.url, **ORDER))
    return found, server


def assert_paid_once(folder, found, server):
    assert [one[3] for one in found] == [""] * COUNT
    assert Counter(call.question for call in server.calls).most_common(1)[0][1] == 1
    (budget,) = spending_by_budget(folder / JOURNAL)
    assert int(budget.spent_usd * 10**9) == server.billed_nano_usd
    assert budget.held_usd == 0
    assert budgets_that_do_not_add_up(folder / JOURNAL) == []


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_kill_at_a_request_loses_nothing_and_pays_nothing_twice(tmp_path, number, when):
    found, server = killed_and_resumed(tmp_path, die_at=["send", number, when])
    assert_paid_once(tmp_path, found, server)


@pytest.mark.parametrize("number", [2, 4, 7])
def test_a_kill_at_a_write_loses_nothing_and_pays_nothing_twice(tmp_path, number):
    found, server = killed_and_resumed(tmp_path, die_at=["write", number, "after"])
    assert_paid_once(tmp_path, found, server)


@pytest.mark.long
def test_a_kill_at_any_request_or_write_loses_nothing_and_pays_nothing_twice(tmp_path):
    for what, points in (("send", REQUESTS), ("write", WRITES)):
        for number, name in points.items():
            for when in ("before", "after"):
                print(what, number, name, when)
                folder = tmp_path / f"{what}-{number}-{when}"
                found, server = killed_and_resumed(folder, die_at=[what, number, when])
                assert_paid_once(folder, found, server)


def test_a_run_that_is_killed_again_and_again_makes_one_batch(tmp_path):
    with FakeOpenAI(plan=Plan(looks=4)) as server:
        for number in (2, 3, 2, 2):
            process = start(tmp_path, server.url, **ORDER, die_at=["send", number, "after"])
            process.communicate(timeout=60)
            assert process.returncode == -9
        found = finish(start(tmp_path, server.url, **ORDER))
        assert len(server.batches.made) == 1
    assert_paid_once(tmp_path, found, server)


def test_a_run_with_more_questions_takes_the_batch_over_and_asks_the_others(tmp_path):
    with FakeOpenAI(plan=Plan(looks=3)) as server:
        process = start(tmp_path, server.url, **ORDER, die_at=["send", 3, "after"])
        process.communicate(timeout=60)
        found = finish(start(tmp_path, server.url, **ORDER | {"count": COUNT + 4}))
        assert sorted(one["counts"][0] for one in server.batches.made.values()) == [4, COUNT]
    assert [one[3] for one in found] == [""] * (COUNT + 4)
    (budget,) = spending_by_budget(tmp_path / JOURNAL)
    assert int(budget.spent_usd * 10**9) == server.billed_nano_usd


def test_lines_that_failed_in_a_killed_runs_batch_are_asked_again_at_once(tmp_path):
    plan = Plan(looks=2, fault=lambda number: "expired" if number % 2 else "", end="expired")
    with FakeOpenAI(plan=plan) as server:
        process = start(tmp_path, server.url, **ORDER, die_at=["send", 3, "after"])
        process.communicate(timeout=60)
        plan.fault, plan.end = None, "completed"
        found = finish(start(tmp_path, server.url, **ORDER))
        assert len(server.batches.made) == 2
    assert_paid_once(tmp_path, found, server)


def test_two_processes_that_ask_at_once_leave_each_others_batches_alone(tmp_path):
    with FakeOpenAI(plan=Plan(seconds=2.0)) as server:
        first = start(tmp_path, server.url, **ORDER)
        second = start(tmp_path, server.url, **ORDER | {"start": COUNT})
        assert [one[3] for one in finish(first) + finish(second)] == [""] * 2 * COUNT
        assert len(server.batches.made) == 2
    (budget,) = spending_by_budget(tmp_path / JOURNAL)
    assert int(budget.spent_usd * 10**9) == server.billed_nano_usd
    assert budget.held_usd == 0
