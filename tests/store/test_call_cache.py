"""Kept answers: what comes back is what was kept, or nothing."""

import pytest

from stillhouse.store.call_cache import KeptAnswer, find_answer, forget_answers, keep_answer
from stillhouse.store.journal import Journal, connect
from stillhouse.store.ledger import Budget, Request, Session, Usage

ANSWER = KeptAnswer(7, b'{"choices": []}' * 20, Usage(11, 5, 2), 123)


@pytest.fixture
def connection(tmp_path):
    found = connect(tmp_path / "calls.sqlite")
    yield found
    found.close()


def test_an_answer_comes_back_as_it_was_kept(connection):
    keep_answer(connection, "k", ANSWER)
    assert find_answer(connection, "k") == ANSWER
    assert find_answer(connection, "other") is None


def test_a_sound_answer_is_not_replaced(connection):
    keep_answer(connection, "k", ANSWER)
    keep_answer(connection, "k", KeptAnswer(8, b"{}", Usage(1, 1), 1))
    assert find_answer(connection, "k") == ANSWER


@pytest.mark.parametrize(
    "damage",
    [
        "body = substr(body, 1, length(body) - 3)",
        "body = zeroblob(0)",
        "body = x'00ff' || substr(body, 3)",
        "usage = '{}'",
        "usage = 'torn'",
        "nano_usd = nano_usd + 1",
        "request = 'another'",
        "digest = ''",
    ],
)
def test_a_damaged_answer_is_not_given_back_and_is_replaced_by_the_next(connection, damage):
    keep_answer(connection, "k", ANSWER)
    connection.execute(f"UPDATE answers SET {damage}")
    assert find_answer(connection, "k") is None
    assert find_answer(connection, "another") is None
    keep_answer(connection, "k", ANSWER)
    assert find_answer(connection, "k") == ANSWER


@pytest.mark.parametrize("name", ["one", "one#3", "other+one", "other+one#formal", "one+other"])
def test_an_answer_about_a_row_is_forgotten_with_it_and_no_other(tmp_path, name):
    journal = Journal(tmp_path / "calls.sqlite")
    session = Session(journal, Budget("b"), "run", "stage")

    def ask(c, key, example_id):
        call = session.reserve(c, Request(key, example_id, 0, "fake", "m", 1, 1), "KEY")
        keep_answer(c, key, KeptAnswer(call, b"said", Usage(1, 1), 1))

    for key, example_id in (("k", name), ("near", "one-more#2"), ("far", "others+someone")):
        journal.write_now(lambda c, key=key, example_id=example_id: ask(c, key, example_id))

    assert journal.write_now(lambda c: forget_answers(c, ["one", "never asked"])) == 1
    kept = [
        key for key in ("k", "near", "far") if journal.write_now(lambda c, k=key: find_answer(c, k))
    ]
    assert kept == ["near", "far"]
    session.close()
    journal.close()


def test_forgetting_looks_at_each_answer_once(tmp_path):
    journal, count = Journal(tmp_path / "calls.sqlite"), 3000
    session = Session(journal, Budget("b"), "run", "stage")
    steps = []

    def fill(c):
        for number in range(count):
            name = f"row{number}"
            call = session.reserve(c, Request(name, name, 0, "fake", "m", 1, 1), "KEY")
            keep_answer(c, name, KeptAnswer(call, b"said", Usage(1, 1), 1))

    def forget(c):
        c.set_progress_handler(lambda: steps.append(1) and None, 1000)
        try:
            return forget_answers(c, [f"row{number}" for number in range(0, count, 2)])
        finally:
            c.set_progress_handler(None, 0)

    journal.write_now(fill)
    assert journal.write_now(forget) == count // 2
    assert 1000 * len(steps) < 100 * count  # instructions of the database
    session.close()
    journal.close()
