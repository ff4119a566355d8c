"""Asking in batches, and the books after it, for tests."""

import sqlite3
from collections import Counter

from tests.engines.asking import PATIENT, QUICK, SAMPLING, engine, examples

from stillhouse.engines.gateway import GatewaySettings
from stillhouse.store.account import JOURNAL
from stillhouse.store.spending import budgets_that_do_not_add_up, spending_by_budget

SETTINGS = GatewaySettings(64, 2.0, retry=QUICK, batch=PATIENT)


def ask(folder, server, count=8, *, start=0, settings=SETTINGS, batch=True, **more):
    with engine(folder, server.url, settings=settings, batch=batch, **more) as teacher:
        return list(teacher.generate(examples(count, start), SAMPLING))


def reasons(found):
    return Counter(one.reason for one in found)


def assert_books(folder, server, held=0):
    (budget,) = spending_by_budget(folder / JOURNAL)
    assert budgets_that_do_not_add_up(folder / JOURNAL) == []
    assert int(budget.held_usd * 10**9) == held
    assert int(budget.spent_usd * 10**9) == server.billed_nano_usd


def states(folder):
    with sqlite3.connect(folder / JOURNAL) as connection:
        found = connection.execute("SELECT state, reason FROM calls ORDER BY id").fetchall()
    connection.close()
    return Counter(found)
