"""Whatever fails, whenever: the cap holds, nothing is lost, nothing that was kept is paid again."""

import random
import sqlite3
import time
from collections import Counter
from contextlib import closing

import pytest
from tests.engines.asking import PRICE, SAMPLING, engine, examples
from tests.engines.fakes.openai_server import FakeOpenAI
from tests.engines.fakes.server import BAD_ANSWERS, BILLED_FAULTS, FREE_FAULTS, Behaviour
from tests.engines.processes import kill_after, start

from stillhouse.engines.gateway import GatewaySettings, most_under_way
from stillhouse.engines.retry import RetryPolicy
from stillhouse.store.account import JOURNAL
from stillhouse.store.ledger import Budget
from stillhouse.store.spending import budgets_that_do_not_add_up, spending_by_budget

QUICK = RetryPolicy(tries=4, first_s=0.001, longest_s=0.01, patience_s=0.5)
SETTINGS = GatewaySettings(concurrency=64, timeout_s=0.25, retry=QUICK)
UPPER = 16 * PRICE.output // 10**6 + 60 * PRICE.input // 10**6
"""About the upper price of one question, in nano-dollars."""
WHOLE = ("", *BAD_ANSWERS)
"""What arrives whole: kept, and never asked again."""


def count_in(folder, query):
    with closing(sqlite3.connect(folder / JOURNAL)) as connection:
        return connection.execute(f"SELECT count(*) FROM {query}").fetchone()[0]


def assert_books(folder, server, cap):
    """The cap holds by the server's own bill and by ours, and ours is the higher one."""
    (budget,) = spending_by_budget(folder / JOURNAL)
    assert server.billed_nano_usd <= budget.spent_usd * 10**9 <= cap
    assert budget.held_usd == 0
    assert budgets_that_do_not_add_up(folder / JOURNAL) == []


def draw_behaviour(draw, seed):
    every = (*BILLED_FAULTS, *FREE_FAULTS, *BAD_ANSWERS)
    faults = tuple(draw.sample(every, draw.randrange(1, len(every))))
    share = draw.choice((0.05, 0.3, 0.8))
    return Behaviour(draw.choice((0.0, 0.003)), seed, share, faults, hang_s=0.6)


def one_trial(folder, seed, has_kill):
    draw = random.Random(seed)
    count, cap = draw.randrange(40, 100), int(UPPER * draw.uniform(0.0, 120.0))
    lost = 0
    with FakeOpenAI(draw_behaviour(draw, seed)) as server:
        if has_kill:
            order = {"count": count, "concurrency": 64, "cap_nano_usd": cap, "timeout_s": 0.25}
            process = start(folder, server.url, **order)
            kill_after(process, server, draw.randrange(1, count), time.sleep)
            time.sleep(0.02)
            whole = sum(call.fault in WHOLE for call in server.calls)
            lost = whole - count_in(folder, "answers")
        with engine(folder, server.url, Budget("test", cap), SETTINGS) as teacher:
            found = list(teacher.generate(examples(count), SAMPLING))
        assert_books(folder, server, cap)
        assert len(found) == count
        whole = Counter(call.question for call in server.calls if call.fault in WHOLE)
        hangs = sum(call.fault == "hang" for call in server.calls)
    # then every whole answer is there and was asked for once, but for what the kill lost and what
    # a busy machine let time out
    late = max(0, count_in(folder, "calls WHERE reason = 'timeout'") - hangs)
    again = sum(whole.values()) - len(whole)
    assert again <= lost + late
    assert len(whole) - lost - late <= count_in(folder, "answers") <= len(whole)
    assert lost <= most_under_way(SETTINGS)
    return Counter(one.reason for one in found)


def test_the_cap_holds_whatever_fails(tmp_path):
    reasons = Counter()
    for seed in range(12):
        reasons += one_trial(tmp_path / str(seed), seed, has_kill=seed % 6 == 5)
    assert reasons["budget"] > 0
    assert reasons[""] > 100


@pytest.mark.long
def test_the_cap_holds_in_a_thousand_trials(tmp_path):
    reasons = Counter()
    for seed in range(1000, 2000):
        reasons += one_trial(tmp_path / str(seed), seed, has_kill=seed % 10 == 0)
    print(dict(reasons))
    assert reasons["budget"] > 1000
    assert reasons[""] > 10_000
