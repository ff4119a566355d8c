"""Whatever fails, whenever: the cap holds, nothing is lost, nothing that was kept is paid again."""

import random
import sqlite3
import time
from collections import Counter
from contextlib import closing

import pytest
from tests.engines.asking import PATIENT, PRICE, SAMPLING, engine, examples
from tests.engines.fakes.openai_batches import Plan
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


def draw_plan(draw):
    """Batches that fail in some way, and behave in the end."""
    faults = ("", "", "missing", "expired", "timeout", "odd", 400, 429, 500)
    chosen = draw.sample(faults, draw.randrange(1, len(faults)))
    end = draw.choice(("completed", "completed", "expired", "cancelled"))
    if end != "completed":  # then a line that is missing was not answered, as the provider counts
        chosen = [one for one in chosen if one != "missing"] or [""]
    whats = ("files", "batches", "look", "list", "content")
    ways = ("rate_limited_soon", "server_error", "overloaded", "")
    return Plan(
        looks=draw.randrange(4),
        end=end,
        fault=lambda number: chosen[number % len(chosen)],
        lost=draw.randrange(2),
        dropped=draw.randrange(2),
        torn=draw.choice((0, 0, 1, 9)),
        turned_down=draw.choice(("", "", "", "token_limit_exceeded")),
        refused={what: draw.choices(ways, k=draw.randrange(3)) for what in whats},
    )


def one_batch_trial(folder, seed, kills):
    """Runs that are killed anywhere, then runs until nothing is left to ask."""
    draw = random.Random(seed)
    count, cap = draw.randrange(5, 40), int(UPPER * draw.uniform(0.0, 30.0))
    order = {"count": count, "concurrency": 8, "cap_nano_usd": cap, "batch": True}
    settings = GatewaySettings(8, 2.0, retry=QUICK, batch=PATIENT)
    reasons = Counter()
    with FakeOpenAI(plan=draw_plan(draw)) as server:
        for _ in range(kills):
            point = [draw.choice(("send", "write")), draw.randrange(1, 12)]
            die_at = [*point, draw.choice(("before", "after"))]
            start(folder, server.url, **order, die_at=die_at).communicate(timeout=60)
        for _ in range(3):
            with engine(folder, server.url, Budget("test", cap), settings, batch=True) as teacher:
                found = list(teacher.generate(examples(count), SAMPLING))
            assert len(found) == count
            reasons += Counter(one.reason for one in found)
        (budget,) = spending_by_budget(folder / JOURNAL)
        assert server.billed_nano_usd <= (budget.spent_usd + budget.held_usd) * 10**9 <= cap
        assert budgets_that_do_not_add_up(folder / JOURNAL) == []
        kept = count_in(folder, "answers")
        # what was billed and is not kept is what was torn, missing or not told: never a whole one
        lost = count_in(folder, "calls WHERE state = 'unknown'")
        assert len(server.calls) <= kept + lost + count_in(folder, "calls WHERE state = 'reserved'")
    return reasons


def test_the_cap_holds_for_batches_whatever_fails(tmp_path):
    reasons = Counter()
    for seed in range(12):
        reasons += one_batch_trial(tmp_path / str(seed), seed, kills=seed % 6 == 5)
    assert reasons["budget"] > 0
    assert reasons[""] > 100


@pytest.mark.long
def test_the_cap_holds_for_batches_in_many_trials(tmp_path):
    reasons = Counter()
    for seed in range(1000, 1200):
        reasons += one_batch_trial(tmp_path / str(seed), seed, kills=seed % 3)
    print(dict(reasons))
    assert reasons["budget"] > 100
    assert reasons[""] > 1000


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
