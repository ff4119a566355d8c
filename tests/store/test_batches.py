"""Batches in the journal: nothing of them is lost with the process that sent them."""

import sqlite3
from contextlib import closing

import pytest

from stillhouse.store.batches import begin_batch, end_batch, note_file, note_id, take_over
from stillhouse.store.journal import Journal, connect
from stillhouse.store.ledger import Bill, Budget, Refused, Request, Session, balance_of
from stillhouse.store.spending import budgets_that_do_not_add_up


@pytest.fixture
def path(tmp_path):
    return tmp_path / "calls.sqlite"


@pytest.fixture
def journal(path):
    journal = Journal(path)
    yield journal
    journal.close()


@pytest.fixture
def session_of(request):
    """Sessions that are closed before their journal is."""

    def opened(journal, name="budget"):
        session = Session(journal, Budget(name, 1000), "run", "label")
        request.addfinalizer(session.close)
        return session

    return opened


def begin(journal, session, *keys, place="here"):
    def write(c):
        calls = [
            session.reserve(c, Request(key, "e", 0, "openai", "m", 10, 5), "KEY") for key in keys
        ]
        return begin_batch(c, session, place, f"token-{'-'.join(keys)}", calls)

    return journal.write_now(write)


def states(journal):
    return [state for (state,) in journal.read(lambda c: c.execute("SELECT state FROM calls"))]


def taken(journal, session, *keys, place="here"):
    return journal.write_now(lambda c: take_over(c, session, place, set(keys)))


def test_a_batch_that_was_never_sent_costs_nothing(journal, session_of):
    session = session_of(journal)
    begin(journal, session, "a", "b")
    session.close()
    assert states(journal) == ["free", "free"]
    after = session_of(journal)
    assert taken(journal, after, "a") == []
    assert journal.read(lambda c: balance_of(c, "budget")).held_nano_usd == 0


def test_a_batch_with_a_file_keeps_its_money_until_it_is_taken_over(journal, path, session_of):
    session = session_of(journal)
    batch = begin(journal, session, "a", "b")
    journal.write_now(lambda c: note_file(c, batch.number, "file-1", "KEY"))
    session.close()
    assert states(journal) == ["reserved", "reserved"]
    assert journal.read(lambda c: balance_of(c, "budget")).held_nano_usd == 20

    after = session_of(journal)
    (found,) = taken(journal, after, "a")
    assert (found.token, found.file, found.remote, found.key_alias) == (
        "token-a-b", "file-1", "", "KEY",
    )  # fmt: skip
    assert found.calls == batch.calls
    assert found.lines == {1: "a", 2: "b"}
    assert journal.write_now(lambda c: note_id(c, found.number, "batch-1")).remote == "batch-1"
    journal.write_now(lambda c: after.settle(c, found.calls["a"], Bill("free", "")))
    journal.write_now(lambda c: end_batch(c, after, found, Bill("unknown", "missing_line")))
    assert states(journal) == ["free", "unknown"]
    after.close()
    assert taken(journal, session_of(journal), "a", "b") == []
    assert budgets_that_do_not_add_up(path) == []


def test_only_calls_that_are_not_settled_are_taken_over(journal, session_of):
    session = session_of(journal)
    batch = begin(journal, session, "a", "b")
    journal.write_now(lambda c: note_file(c, batch.number, "file-1", "KEY"))
    journal.write_now(lambda c: session.settle(c, batch.calls["a"], Bill("free", "")))
    session.close()
    (found,) = taken(journal, session_of(journal), "b")
    assert list(found.calls) == ["b"]
    assert found.lines == {1: "a", 2: "b"}


def test_a_batch_of_a_running_process_stays_with_it(journal, path, session_of):
    session = session_of(journal)
    batch = begin(journal, session, "a")
    journal.write_now(lambda c: note_file(c, batch.number, "file-1", "KEY"))
    with closing(Journal(path)) as other:
        stranger = session_of(other)
        assert taken(other, stranger, "a") == []
        stranger.close()


def test_a_batch_is_taken_over_for_its_answers_or_for_its_budget_and_at_its_place_alone(
    journal, session_of
):
    session = session_of(journal)
    batch = begin(journal, session, "a")
    journal.write_now(lambda c: note_file(c, batch.number, "file-1", "KEY"))
    session.close()
    stranger = session_of(journal, "another budget")
    assert taken(journal, stranger, "b") == []
    assert taken(journal, stranger, "a", place="there") == []
    assert len(taken(journal, stranger, "a")) == 1
    assert taken(journal, session_of(journal), "a") == []
    stranger.close()
    assert len(taken(journal, session_of(journal), "z")) == 1


def test_a_journal_of_the_format_before_gets_the_tables_of_batches(path, session_of):
    connect(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "DROP TABLE batches; DROP TABLE batch_calls; PRAGMA user_version = 1;"
            "INSERT INTO budgets(name, spent_nano_usd) VALUES('old', 7);"
        )
    with closing(Journal(path)) as journal:
        session = session_of(journal, "old")
        begin(journal, session, "a")
        assert journal.read(lambda c: balance_of(c, "old")).spent_nano_usd == 7
        session.close()


def test_nobody_waits_for_money_that_a_batch_holds_which_nobody_follows(journal, path, session_of):
    session = session_of(journal)

    def ask(nano_usd, session):
        request = Request("more", "e", 0, "openai", "m", nano_usd, 5)
        return journal.write_now(lambda c: session.reserve(c, request, "KEY"))

    batch = begin(journal, session, "a", "b")
    journal.write_now(lambda c: note_file(c, batch.number, "file-1", "KEY"))
    assert ask(990, session) == Refused(while_held=True)
    session.close()
    alone = session_of(journal)
    assert ask(990, alone) == Refused(while_held=False)
    call = ask(900, alone)
    assert ask(500, alone) == Refused(while_held=True)
    journal.write_now(lambda c: alone.settle(c, call, Bill("free")))
    taken(journal, alone, "a")
    assert ask(990, alone) == Refused(while_held=True)
