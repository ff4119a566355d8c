"""Errors keep their exit code, digests follow content alone, files are whole or not there."""

import errno
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillhouse.core import errors
from stillhouse.core.errors import DiskFullError, StillhouseError, error_by_name
from stillhouse.core.files import disk_full_is_clear, sync_tree, write_atomic, write_json
from stillhouse.core.hashing import canonical_json, digest_file, digest_folder, digest_value
from stillhouse.core.rows import Example, Message

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


def all_errors():
    found = vars(errors).values()
    return [e for e in found if isinstance(e, type) and issubclass(e, StillhouseError)]


@pytest.mark.parametrize("kind", all_errors())
def test_an_error_survives_the_way_between_two_processes(kind):
    assert error_by_name(kind.__name__) is kind
    assert kind.exit_code in (1, 2, 3, 130)
    assert str(kind("what", "mend")) == "what\n  -> mend"
    assert str(kind("what")) == "what"


def test_an_unknown_error_is_a_failure():
    assert error_by_name("ValueError") is StillhouseError
    assert error_by_name("annotations") is StillhouseError


@given(PLAIN)
def test_equal_values_have_equal_digests_whatever_their_order(value):
    if isinstance(value, dict):
        turned = dict(reversed(list(value.items())))
        assert digest_value(turned) == digest_value(value)
    assert digest_value(value) == digest_value(value)


def test_digests_tell_types_and_values_apart():
    values = [1, "1", True, None, [], {}, [1], {"a": 1}, {"a": "1"}, 1.5]
    assert len({digest_value(value) for value in values}) == len(values)
    with pytest.raises(ValueError, match="JSON"):
        canonical_json(float("nan"))


def test_a_folders_digest_is_that_of_its_names_and_bytes(tmp_path):
    for name in ("a", "b"):
        folder = tmp_path / name
        (folder / "x").mkdir(parents=True)
        (folder / "x" / "f").write_bytes(b"1" * 3_000_000)
    assert digest_folder(tmp_path / "a") == digest_folder(tmp_path / "b")
    (tmp_path / "b" / "x" / "f").rename(tmp_path / "b" / "x" / "g")
    assert digest_folder(tmp_path / "a") != digest_folder(tmp_path / "b")
    assert len(digest_file(tmp_path / "a" / "x" / "f")) == 64


def test_a_failed_write_leaves_the_old_bytes_and_no_rest(tmp_path, monkeypatch):
    # given
    path = tmp_path / "f.json"
    write_json(path, {"a": 1})
    before = path.read_bytes()

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    # when
    with (
        pytest.raises(DiskFullError, match="no space left") as caught,
        disk_full_is_clear(tmp_path),
    ):
        write_atomic(path, b"new")
    # then
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["f.json"]
    assert "finished stages are kept" in caught.value.hint


def test_other_faults_of_the_disk_are_not_called_full(tmp_path):
    with pytest.raises(PermissionError), disk_full_is_clear(tmp_path):
        raise PermissionError(errno.EACCES, "no")


def test_a_tree_is_synced_without_a_change(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "f").write_text("x")
    sync_tree(tmp_path)
    assert (tmp_path / "a" / "f").read_text() == "x"


def test_a_conversation_is_closed_by_its_own_answer_or_by_another():
    prompt = (Message("user", "q"),)
    example = Example("1", "labelled", prompt, "gold")
    assert [m.content for m in example.messages()] == ["q", "gold"]
    assert [m.content for m in example.messages("other")] == ["q", "other"]
    assert Example("1", "unlabelled", prompt, None).messages() == prompt
