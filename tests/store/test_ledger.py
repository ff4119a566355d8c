"""The ledger: a cap that holds, reservations that outlive nobody, an order without a clock."""

import random
import signal
import subprocess
import sys
import textwrap
from decimal import Decimal

import pytest

from stillhouse.core.errors import ArtifactError, UsageError
from stillhouse.store import ledger
from stillhouse.store.account import JOURNAL, open_account
from stillhouse.store.journal import Journal, connect
from stillhouse.store.ledger import Bill, Budget, Refused, Request, Session, Usage, balance_of
from stillhouse.store.spending import (
    budgets_that_do_not_add_up,
    spending_by_budget,
    spending_by_stage,
)


def request(nano_usd=100, tokens=10, key="k", example="e1"):
    return Request(key, example, 0, "fake", "m", nano_usd, tokens)


def reserve(session, **changes):
    return session.journal.write_now(lambda c: session.reserve(c, request(**changes), "KEY"))


def settle(session, call, bill):
    return session.journal.write_now(lambda c: session.settle(c, call, bill))


@pytest.fixture
def journal(tmp_path):
    found = Journal(tmp_path / "calls.sqlite")
    yield found
    found.close()


@pytest.fixture
def session_with():
    made = []

    def open_one(journal, nano_usd=None, tokens=None):
        made.append(Session(journal, Budget("b", nano_usd, tokens), "run", "label"))
        return made[-1]

    yield open_one
    for session in made:
        session._held.close()  # what the kernel does when a process ends


def test_a_call_over_the_cap_is_refused_and_one_that_just_fits_is_not(journal, session_with):
    session = session_with(journal, nano_usd=100)
    assert reserve(session, nano_usd=101) == Refused(while_held=False)
    assert isinstance(reserve(session, nano_usd=100), int)
    assert reserve(session, nano_usd=1) == Refused(while_held=True)


def test_a_budget_of_zero_buys_nothing(journal, session_with):
    session = session_with(journal, nano_usd=0)
    assert reserve(session, nano_usd=1) == Refused(while_held=False)
    assert isinstance(reserve(session, nano_usd=0), int)


def test_tokens_are_capped_like_money(journal, session_with):
    session = session_with(journal, tokens=15)
    call = reserve(session, tokens=10)
    assert reserve(session, tokens=10) == Refused(while_held=True)
    settle(session, call, Bill("paid", "", Usage(3, 2), 7))
    assert isinstance(reserve(session, tokens=10), int)


@pytest.mark.parametrize(
    ("bill", "spent"),
    [
        (Bill("paid", "", Usage(3, 2), 40), 40),
        (Bill("assumed", "no_usage"), 100),
        (Bill("unknown", "reset"), 100),
        (Bill("free", "rate_limited"), 0),
    ],
)
def test_settling_takes_off_what_the_state_says_and_lets_go_of_the_rest(
    journal, bill, spent, session_with
):
    session = session_with(journal, nano_usd=1000)
    balance = settle(session, reserve(session), bill)
    assert (balance.spent_nano_usd, balance.held_nano_usd) == (spent, 0)


def test_settling_twice_changes_nothing(journal, session_with):
    session = session_with(journal)
    call = reserve(session)
    first = settle(session, call, Bill("paid", "", Usage(1, 1), 40))
    assert settle(session, call, Bill("unknown", "killed")) == first


def test_a_bill_above_the_upper_price_is_taken_off_whole_and_named(journal, session_with):
    session = session_with(journal, nano_usd=1000)
    balance = settle(session, reserve(session), Bill("paid", "", Usage(3, 500), 700))
    assert balance.spent_nano_usd == 700
    assert journal.write_now(lambda c: c.execute("SELECT reason FROM calls").fetchall()) == [
        ("overrun",)
    ]


def test_a_negative_cap_is_refused(journal, session_with):
    with pytest.raises(UsageError, match="negative"):
        session_with(journal, nano_usd=-1)


def random_history(c, session, draw, cap):
    held = []
    for _ in range(80):
        if held and draw.random() < 0.5:
            call, upper = held.pop(draw.randrange(len(held)))
            state = draw.choice(["paid", "unknown", "free", "assumed"])
            session.settle(c, call, Bill(state, "", Usage(1, 1), draw.randrange(upper + 1)))
        else:
            upper = draw.randrange(1, 300)
            call = session.reserve(c, request(nano_usd=upper), "KEY")
            held += [(call, upper)] if isinstance(call, int) else []
        balance = balance_of(c, "b")
        assert balance.spent_nano_usd + balance.held_nano_usd <= cap


def test_the_cap_holds_over_random_histories_and_the_totals_add_up(tmp_path):
    for seed in range(25):
        draw = random.Random(seed)
        cap = draw.randrange(2000)
        with open_account(tmp_path / str(seed), Budget("b", cap), "run", "label") as account:
            session = account.session
            session.journal.write_now(lambda c: random_history(c, session, draw, cap))  # noqa: B023
            assert budgets_that_do_not_add_up(tmp_path / str(seed) / JOURNAL) == []
        assert budgets_that_do_not_add_up(tmp_path / str(seed) / JOURNAL) == []
        assert spending_by_budget(tmp_path / str(seed) / JOURNAL)[0].held_usd == 0


KILLED = """
    import os, signal, sys
    from stillhouse.store.journal import Journal
    from stillhouse.store.ledger import Budget, Request, Session
    journal = Journal(__import__("pathlib").Path(sys.argv[1]))
    session = Session(journal, Budget("b", 1000), "run", "label")
    for number in range(3):
        asked = Request("k", "e", number, "fake", "m", 100, 10)
        journal.write_now(lambda c: session.reserve(c, asked, "KEY"))
    if sys.argv[2] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    print("ready", flush=True)
    sys.stdin.read()
"""


def start(path, how):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(path), how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_what_a_killed_process_held_counts_in_full_at_the_next_start(tmp_path, session_with):
    path = tmp_path / "calls.sqlite"
    with start(path, "die") as killed:
        assert killed.wait() == -signal.SIGKILL
    journal = Journal(path)
    session = session_with(journal, nano_usd=1000)
    assert session.recovered == 3
    balance = journal.write_now(lambda c: balance_of(c, "b"))
    assert (balance.spent_nano_usd, balance.held_nano_usd) == (300, 0)
    rows = journal.write_now(lambda c: c.execute("SELECT state, reason FROM calls").fetchall())
    assert rows == [("unknown", "killed")] * 3
    assert session_with(journal, nano_usd=1000).recovered == 0
    journal.close()


def test_what_a_living_process_holds_is_left_alone_and_counts_against_the_cap(
    tmp_path, session_with
):
    path = tmp_path / "calls.sqlite"
    with start(path, "live") as living:
        assert living.stdout.readline() == "ready\n"
        journal = Journal(path)
        session = session_with(journal, nano_usd=350)
        assert session.recovered == 0
        assert reserve(session, nano_usd=51) == Refused(while_held=True)
        assert isinstance(reserve(session, nano_usd=50), int)
        living.stdin.close()
        living.wait()
        assert session_with(journal, nano_usd=350).recovered == 3
        journal.close()


def test_a_clock_that_goes_back_changes_neither_order_nor_account(
    journal, monkeypatch, session_with
):
    times = iter([f"20{year}-01-01T00:00:00.000+00:00" for year in range(40, 10, -1)])
    monkeypatch.setattr(ledger, "_now", lambda: next(times))
    session = session_with(journal, nano_usd=1000)
    for number in range(5):
        settle(session, reserve(session, example=f"e{number}"), Bill("paid", "", Usage(1, 1), 10))
    rows = journal.write_now(
        lambda c: c.execute("SELECT example_id, reserved_at FROM calls ORDER BY id").fetchall()
    )
    assert [row[0] for row in rows] == ["e0", "e1", "e2", "e3", "e4"]
    assert rows[0][1] > rows[4][1]
    assert journal.write_now(lambda c: balance_of(c, "b")).spent_nano_usd == 50


def test_a_raised_cap_counts_at_the_next_start(journal, session_with):
    session = session_with(journal, nano_usd=100)
    settle(session, reserve(session), Bill("unknown", "reset"))
    assert isinstance(reserve(session), Refused)
    assert isinstance(reserve(session_with(journal, nano_usd=250)), int)


def test_spending_is_told_by_stage_and_per_accepted_answer(tmp_path):
    with open_account(tmp_path, Budget("b", 10**9), "songs", "label") as account:
        session = account.session
        for number, bill in enumerate(
            [
                Bill("paid", "", Usage(30, 20), 4_000_000),
                Bill("paid", "", Usage(30, 20), 4_000_000),
                Bill("unknown", "reset"),
                Bill("free", "rate_limited"),
            ]
        ):
            call = reserve(session, nano_usd=8_000_000)
            settle(session, call, bill)
            if number < 2:
                session.journal.write_now(
                    lambda c, call=call, number=number: ledger.mark_accepted(c, call, number == 0)
                )
    (stage,) = spending_by_stage(tmp_path / JOURNAL)
    assert (stage.run, stage.stage, stage.requests, stage.tokens) == ("songs", "label", 4, 100)
    assert (stage.paid_usd, stage.unknown_usd) == (Decimal("0.008"), Decimal("0.008"))
    assert (stage.accepted, stage.refused) == (1, 1)
    assert stage.usd_per_accepted == Decimal("0.016")
    (budget,) = spending_by_budget(tmp_path / JOURNAL)
    assert (budget.spent_usd, budget.left_usd) == (Decimal("0.016"), Decimal("0.984"))


def test_a_file_that_is_no_journal_is_refused_before_anything_is_spent(tmp_path):
    path = tmp_path / "calls.sqlite"
    path.write_bytes(b"this is no database at all, it is only text" * 100)
    with pytest.raises(ArtifactError, match="cannot be used as a journal"):
        Journal(path)


def test_a_journal_of_another_format_is_refused(tmp_path):
    path = tmp_path / "calls.sqlite"
    connection = connect(path)
    connection.execute("PRAGMA user_version = 9")
    connection.close()
    with pytest.raises(ArtifactError, match="format 9"):
        Journal(path)


def test_one_bad_write_does_not_take_the_others_with_it(journal, session_with):
    session = session_with(journal)
    journal.post(lambda c: session.reserve(c, request(), "KEY"))
    with pytest.raises(ZeroDivisionError):
        journal.write_now(lambda c: (c.execute("DELETE FROM calls"), 1 / 0))
    journal.post(lambda c: session.reserve(c, request(), "KEY"))
    assert journal.write_now(lambda c: c.execute("SELECT count(*) FROM calls").fetchone()) == (2,)


OPENED_AT_ONCE = """
    import sys
    from pathlib import Path
    from stillhouse.store.account import open_account
    from stillhouse.store.ledger import Budget
    sys.stdin.read()
    for _ in range(3):
        with open_account(Path(sys.argv[1]), Budget("b"), "run", "label"):
            pass
"""


def test_processes_that_open_a_new_account_at_once_all_get_it(tmp_path):
    command = [sys.executable, "-c", textwrap.dedent(OPENED_AT_ONCE), str(tmp_path)]
    waiting = [subprocess.Popen(command, stdin=subprocess.PIPE) for _ in range(5)]
    for process in waiting:
        process.stdin.close()
    assert [process.wait() for process in waiting] == [0] * 5
    journal = Journal(tmp_path / JOURNAL)
    rows = journal.write_now(lambda c: c.execute("SELECT state FROM sessions").fetchall())
    journal.close()
    assert rows == [("ended",)] * 15
