import errno
import json
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stillhouse.core.errors import ArtifactError, DiskFullError, InputError
from stillhouse.core.rows import Completion, Drop, Example, Message, Row
from stillhouse.data import storage

ANY_TEXT = st.text(st.characters(codec="utf-8"))
ROW = Row("r1", {"b": 1, "a": {"z": None, "y": ["ü", "😀"]}}, "a.csv:2", "r0", ("r0", "p"))
EXAMPLE = Example("e1", "labelled", (Message("user", "hi"),), '{"b":1}', None, "e1")


def test_rows_come_back_as_they_were_with_the_order_of_their_keys(tmp_path):
    storage.write_rows(tmp_path / "rows.parquet", [ROW])

    (row,) = storage.read_rows_file(tmp_path / "rows.parquet")

    assert row == ROW
    assert list(row.fields) == ["b", "a"]
    assert list(row.fields["a"]) == ["z", "y"]


def test_half_a_surrogate_pair_in_a_row_survives(tmp_path):
    row = Row("r", {"a\udc00": "torn \ud83d \\ud83d"}, "a:1")

    storage.write_rows(tmp_path / "rows.parquet", [row])

    assert storage.read_rows_file(tmp_path / "rows.parquet") == [row]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ANY_TEXT, ANY_TEXT, st.none() | ANY_TEXT)
def test_any_text_of_an_example_comes_back(tmp_path, role, content, answer):
    example = Example("e", "holdout", (Message(role, content),), answer, answer, "g")

    storage.write_examples(tmp_path / "e.parquet", [example])

    assert storage.read_examples(tmp_path / "e.parquet") == [example]


def test_half_a_surrogate_pair_in_an_answer_names_the_example(tmp_path):
    torn = Example("e2", "labelled", EXAMPLE.prompt, "\ud83d")

    with pytest.raises(InputError, match=r"the text of e2 holds half .*\(U\+D83D\)") as caught:
        storage.write_examples(tmp_path / "e.parquet", [EXAMPLE, torn])

    assert "fix_text" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_dropped_rows_keep_reason_and_evidence(tmp_path):
    drop = Drop(ROW, "duplicate", "duplicate of r0")

    storage.write_ended(tmp_path / "d.parquet", [drop])

    (record,) = pq.read_table(tmp_path / "d.parquet").to_pylist()
    stated = (record["row_id"], record["provenance"], record["reason"], record["evidence"])
    assert stated == (ROW.row_id, ROW.provenance, "duplicate", "duplicate of r0")
    assert json.loads(record["fields"]) == ROW.fields


def test_completions_come_back(tmp_path):
    completions = [Completion("e1", "yes", "stop", 2), Completion("e2", "", "error", 0)]

    storage.write_completions(tmp_path / "c.parquet", completions)

    assert storage.read_completions(tmp_path / "c.parquet") == completions


def test_nothing_is_written_and_read_as_nothing(tmp_path):
    storage.write_examples(tmp_path / "e.parquet", [])

    assert storage.read_examples(tmp_path / "e.parquet") == []


def test_equal_content_gives_equal_bytes_also_over_many_groups(tmp_path):
    rows = [Row(str(index), {"n": index}, f"a:{index}") for index in range(20_000)]

    storage.write_rows(tmp_path / "a.parquet", rows)
    storage.write_rows(tmp_path / "b.parquet", iter(rows))

    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    assert storage.read_rows_file(tmp_path / "a.parquet") == rows


def test_a_torn_or_missing_or_other_file_is_refused(tmp_path):
    path = tmp_path / "e.parquet"
    storage.write_examples(path, [EXAMPLE])

    with pytest.raises(ArtifactError, match="holds other columns: example_id"):
        storage.read_completions(path)
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(ArtifactError, match="missing or torn"):
        storage.read_examples(path)
    with pytest.raises(ArtifactError, match="missing or torn"):
        storage.read_examples(tmp_path / "none.parquet")


def test_a_failed_write_leaves_the_old_file_whole(tmp_path):
    path = tmp_path / "e.parquet"
    storage.write_examples(path, [EXAMPLE])

    def torn():
        yield EXAMPLE
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        storage.write_examples(path, torn())
    assert storage.read_examples(path) == [EXAMPLE]
    assert [item.name for item in tmp_path.iterdir()] == ["e.parquet"]


def test_a_full_disk_is_said_clearly(tmp_path, monkeypatch):
    def full(self, *args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "open", full)

    with pytest.raises(DiskFullError, match="no space left"):
        storage.write_examples(tmp_path / "e.parquet", [EXAMPLE])


def test_examples_are_found_by_their_ids_in_any_order_and_of_wanted_parts_alone(tmp_path):
    # given more than two groups of rows
    written = [
        replace(EXAMPLE, example_id=str(number), part="a" if number % 2 else "b")
        for number in range(20_000)
    ]
    storage.write_examples(tmp_path / "e.parquet", written)
    found = storage.ExampleReader(tmp_path / "e.parquet", ["a"])
    # then
    assert len(found) == 10_000
    for number in (19_999, 1, 8191, 8193, 1023, 1025, 19_999):
        assert found.get(str(number)) == written[number]
    assert found.get("2") is None
    assert found.get("ghost") is None
    assert list(storage.iterate_examples(tmp_path / "e.parquet")) == written
