"""Kept answers: what comes back is what was kept, or nothing."""

import pytest

from stillhouse.store.call_cache import KeptAnswer, find_answer, keep_answer
from stillhouse.store.journal import connect
from stillhouse.store.ledger import Usage

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
