"""A run that is killed again and again pays twice only for what was under way."""

import random
import sqlite3
import time
from collections import Counter
from contextlib import closing

import pytest
from tests.engines.fakes.openai_server import FakeOpenAI
from tests.engines.fakes.server import Behaviour
from tests.engines.processes import finish, kill_after, start

from stillhouse.engines.gateway import GatewaySettings, most_under_way
from stillhouse.store.account import JOURNAL
from stillhouse.store.spending import budgets_that_do_not_add_up, spending_by_budget

CONCURRENCY = 8
UNDER_WAY = most_under_way(GatewaySettings(CONCURRENCY))


def kept(folder):
    if not (folder / JOURNAL).exists():
        return 0
    with closing(sqlite3.connect(folder / JOURNAL)) as connection:
        return connection.execute("SELECT count(*) FROM answers").fetchone()[0]


def killed_and_resumed(folder, kills, seed):
    draw = random.Random(seed)
    count = kills * 10 + 20
    order = {"count": count, "concurrency": CONCURRENCY}
    with FakeOpenAI(Behaviour(latency_s=0.01)) as server:
        expected = finish(start(folder / "undisturbed", server.url, **order))
        price, before = server.billed_nano_usd, len(server.calls)
        assert before == count

        lost = []
        for _ in range(kills):
            seen = len(server.calls)
            process = start(folder / "killed", server.url, **order)
            assert kill_after(process, server, seen + draw.randrange(1, 11), time.sleep)
            # every call so far was answered and kept, or is lost now, or was lost before
            lost.append(len(server.calls) - before - kept(folder / "killed") - sum(lost))
        found = finish(start(folder / "killed", server.url, **order))
    return expected, found, lost, price, server.calls[before:]


def assert_nothing_lost(folder, kills, seed):
    expected, found, lost, price, calls = killed_and_resumed(folder, kills, seed)
    assert found == expected
    assert all(0 <= one <= UNDER_WAY for one in lost), lost
    assert len(calls) == len(expected) + sum(lost)
    times = Counter(call.question for call in calls)
    prices = {call.question: call.nano_usd for call in calls}
    paid_again = sum(prices[question] * (count - 1) for question, count in times.items())
    assert sum(call.nano_usd for call in calls) == price + paid_again
    (budget,) = spending_by_budget(folder / "killed" / JOURNAL)
    assert budget.spent_usd * 10**9 >= sum(call.nano_usd for call in calls)
    assert budget.held_usd == 0
    assert budgets_that_do_not_add_up(folder / "killed" / JOURNAL) == []
    return lost


def test_a_run_killed_three_times_pays_twice_only_for_what_was_under_way(tmp_path):
    assert_nothing_lost(tmp_path, 3, seed=1)


@pytest.mark.long
def test_a_run_killed_twenty_times_pays_twice_only_for_what_was_under_way(tmp_path):
    for seed in (1, 2, 3):
        print("lost at each kill:", assert_nothing_lost(tmp_path / str(seed), 20, seed))
