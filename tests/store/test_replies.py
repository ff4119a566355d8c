"""Kept replies survive kills, tell what is wrong with their file, and are forgotten by source."""

import sqlite3

import pytest

from stillhouse.core.errors import ArtifactError
from stillhouse.store.replies import (
    COLLECTED,
    REPLIES,
    Reply,
    ReplyStore,
    forget_replies,
    place_of,
)

REPLY = Reply(
    200, b'[{"trackName": "\xc3\xb6"}]', "http://a.example/api?q=1", "2026-01-01T00:00:00"
)


@pytest.fixture
def store(tmp_path):
    opened = ReplyStore(tmp_path / "replies.sqlite")
    yield opened
    opened.close()


def test_a_reply_comes_back_as_it_was_and_another_process_sees_it(tmp_path, store):
    store.keep("k", "lrclib", REPLY)
    other = ReplyStore(tmp_path / "replies.sqlite")
    assert other.get("k") == REPLY
    assert other.get("unknown") is None
    assert other.counts() == {"lrclib": 1}
    other.close()


def test_a_source_is_forgotten_by_its_name_or_its_host_and_leaves_no_text(tmp_path):
    path = tmp_path / COLLECTED / REPLIES
    store = ReplyStore(path)
    for number, source in enumerate(("one", "two", "one")):
        store.keep(f"k{number}", source, REPLY)
    assert store.forget("one") == 2
    assert store.counts() == {"two": 1}
    store.close()
    assert forget_replies(tmp_path, "a.example") == 1
    assert forget_replies(tmp_path, "a.example") == 0
    assert forget_replies(tmp_path / "elsewhere", "a.example") == 0


def test_a_longer_rest_stays_and_ends_by_the_clock(tmp_path):
    now = [1000.0]
    store = ReplyStore(tmp_path / "r.sqlite", lambda: now[0])
    store.rest("h", 60, "asked_to_wait")
    store.rest("h", 5, "too_many")
    assert (store.resting("h").seconds, store.resting("h").why) == (60, "asked_to_wait")
    now[0] += 61
    assert store.resting("h").seconds == 0
    now[0] -= 10**8
    assert store.resting("h").seconds == 0
    store.close()


def test_verdicts_are_kept_by_the_rules_they_were_given_under(store):
    store.note_verdict("a", "d1", {"passed": False}, "2026-01-01")
    store.note_verdict("a", "d1", {"passed": True}, "2026-01-02")
    store.note_verdict("a", "d2", {"passed": False}, "2026-01-03")
    assert store.verdicts("a") == {"d1": {"passed": True}, "d2": {"passed": False}}
    assert store.verdicts("b") == {}


def test_a_file_that_is_none_says_so(tmp_path):
    (tmp_path / "replies.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(ArtifactError, match="cannot be used as a store of replies"):
        ReplyStore(tmp_path / "replies.sqlite")


def test_a_newer_format_is_left_alone(tmp_path):
    connection = sqlite3.connect(tmp_path / "replies.sqlite")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(ArtifactError, match="format 99"):
        ReplyStore(tmp_path / "replies.sqlite")


def test_a_reply_whose_bytes_were_damaged_is_not_believed(tmp_path, store):
    store.keep("k", "lrclib", REPLY)
    connection = sqlite3.connect(tmp_path / "replies.sqlite")
    connection.execute("UPDATE replies SET body = x'00112233'")
    connection.commit()
    connection.close()
    assert store.get("k") is None
    store.keep("k", "lrclib", REPLY)
    assert store.get("k") == REPLY


def test_a_host_has_one_name_however_its_address_is_written():
    written = ("https://A.example/x", "https://a.example:443", "http://a.example.:80/y?q=1")
    assert {place_of(url) for url in written} == {"a.example"}
    assert place_of("http://a.example:443") == "a.example:443"
    assert place_of("http://[::1]:8080/") == "::1:8080"
