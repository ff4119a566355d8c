"""Files of rows that are torn, huge or nonsense end in rows or in a clear error."""

import json
import tempfile
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Row
from stillhouse.data.probe import probe_source
from stillhouse.data.readers import read_rows
from stillhouse.data.storage import read_rows_file, write_rows
from stillhouse.recipes.rows import Source

NAMES = ("a.csv", "a.tsv", "a.jsonl", "a.json")


def read(folder, name, content, **settings):
    (folder / name).write_bytes(content)
    return list(read_rows(Source(file=name, **settings), folder))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "tëxt\r\n東京 🎵\r\n"),
        ("a.tsv", "tëxt\n東京 🎵\n"),
        ("a.jsonl", '{"tëxt": "東京 🎵"}\n'),
        ("a.json", '[{"tëxt": "東京 🎵"}]'),
    ],
)
def test_a_wide_encoding_is_read_when_it_is_named(tmp_path, name, text, encoding):
    (row,) = read(tmp_path, name, text.encode(encoding), encoding=encoding)

    assert row.fields == {"tëxt": "東京 🎵"}


@pytest.mark.parametrize(
    ("start", "said"),
    [
        (b"\x1f\x8b\x08\x00", "gzip: unpack it first"),
        (b"PK\x03\x04\x00\x00", "a ZIP archive or an .xlsx table"),
        (b"\xd0\xcf\x11\xe0\xa1", "an old Excel file: save it as CSV"),
        (b"PAR1\x00", "collect.source.format: parquet"),
        ("text".encode("utf-32"), "collect.source.encoding: utf-32"),
        ("text".encode("utf-16"), "collect.source.encoding: utf-16"),
    ],
)
def test_another_kind_of_file_is_known_by_its_first_bytes(tmp_path, start, said):
    with pytest.raises(InputError) as caught:
        read(tmp_path, "a.csv", start)

    assert caught.value.message.startswith("a.csv:1: ")
    assert said in caught.value.hint


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", b'{"a": 1}\n{"a": 1, "b": 2, "a": 3}\n', "a.jsonl:2: .* 'a' stands 2 times"),
        ("a.json", b'[{"a": {"b": 1, "b": 2}}]', "'b' stands 2 times"),
        ("a.jsonl", b'{"a": 1}\r{"a": 2}\n', "lone carriage return"),
        ("a.jsonl", b'{"a":' * 9_999 + b"1" + b"}" * 9_999, "a.jsonl:1: .* nests too deep"),
        ("a.jsonl", b'{"a": 1}\n{"a": ' + b"9" * 5_000 + b"}\n", "a.jsonl:2: not JSON"),
        ("a.csv", b"a,b\n1,2\n3\n", "a.csv:3: 1 field, but the header has 2"),
        ("a.csv", b"a,b\n1,2\n3,4,5\n", "a.csv:3: 3 fields, but the header has 2"),
        ("a.csv", b"a,b\n1,2\n3,4\r5,6\n", "a.csv:3: not a CSV record"),
        ("a.tsv", b"a\tb\n1\t2\n3\n", "a.tsv:3: 1 field"),
        ("a.csv", b"a,b\n1,\0\n", "a.csv:2: NUL character at column 3"),
        ("a.json", b'[{"a": "\0"}]', "a.json:1:9: not JSON"),
    ],
)
def test_what_is_wrong_in_a_file_is_named_with_its_line(tmp_path, name, content, said):
    with pytest.raises(InputError, match=said):
        read(tmp_path, name, content)


def test_line_ends_may_be_mixed(tmp_path):
    rows = read(tmp_path, "a.csv", b"a,b\r\n1,2\n3,4\r\n5,6")

    assert [tuple(row.fields.values()) for row in rows] == [("1", "2"), ("3", "4"), ("5", "6")]
    assert len(read(tmp_path, "a.jsonl", b'{"a":1}\r\n{"a":2}\n\r\n{"a":3}')) == 3


def test_a_cell_of_ten_megabytes_and_a_row_of_one_are_rows(tmp_path):
    cell = ("x" * 99 + "\n") * 100_000

    (row,) = read(tmp_path, "a.csv", f't,n\n"{cell}",1\n'.encode())
    assert (len(row.fields["t"]), row.fields["n"], row.provenance) == (10_000_000, "1", "a.csv:2")
    (row,) = read(tmp_path, "a.jsonl", json.dumps({"a": "é" * 500_000}).encode())
    write_rows(tmp_path / "rows.parquet", [row])
    assert read_rows_file(tmp_path / "rows.parquet") == [row]
    with pytest.raises(InputError, match=r"a\.csv:2: the quote that opens here never closes"):
        read(tmp_path, "a.csv", f't,n\n"{cell},1\n'.encode())


def test_equal_rows_and_one_row_have_names_of_their_own(tmp_path):
    rows = read(tmp_path, "a.csv", b"a,b\n" + b"1,2\n" * 100)

    assert len({row.row_id for row in rows}) == 100
    assert [row.provenance for row in read(tmp_path, "a.csv", b"a,b\n1,2")] == ["a.csv:2"]


def test_a_parquet_file_with_a_column_twice_is_refused(tmp_path):
    table = pa.table([pa.array([1]), pa.array([2])], names=["a", "a"])
    pq.write_table(table, tmp_path / "a.parquet")

    with pytest.raises(InputError, match=r"a\.parquet: the column 'a' stands 2 times"):
        list(read_rows(Source(file="a.parquet"), tmp_path))


@pytest.mark.parametrize(
    "column",
    [
        pa.array([10**7], pa.date32()),
        pa.Array.from_buffers(
            pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xff")]
        ),
    ],
    ids=["a day beyond the year 9999", "bytes that are no UTF-8"],
)
def test_a_parquet_value_that_python_does_not_have_is_refused(tmp_path, column):
    pq.write_table(pa.table({"a": column}), tmp_path / "a.parquet")

    with pytest.raises(InputError, match=r"a\.parquet: a value behind row 0 cannot be read"):
        list(read_rows(Source(file="a.parquet"), tmp_path))


def test_letters_that_no_encoding_has_are_kept_until_they_are_cleaned(tmp_path):
    rows = read(tmp_path, "a.jsonl", b'{"a": "\\ud800", "\\ud800": "x\\u0000y"}\n')
    write_rows(tmp_path / "rows.parquet", rows)

    assert read_rows_file(tmp_path / "rows.parquet") == rows


PIECES = st.sampled_from(
    [b"a", b",", b'"', b"\n", b"\r", b"\t", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\xe9", b"{",
     b"}", b"[", b"]", b":", b'"a"', b"1", b"1e999", b"null", b"\\u", b"\\ud800",
     b"\xf0\x9f\x98\x80"]
)  # fmt: skip
CONTENTS = st.lists(PIECES, max_size=30).map(b"".join) | st.binary(max_size=60)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(NAMES), CONTENTS, st.sampled_from(["utf-8", "utf-16", "latin-1"]))
@example("a.jsonl", b'{"a": "\\ud800"}', "utf-8")
def test_whatever_a_file_holds_is_rows_or_an_error_that_names_it(name, content, encoding):
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_bytes(content)
        source = Source(file=name, encoding=encoding)
        rows, refused = read_or_refused(source, Path(folder))
        if refused:
            assert refused.message.startswith((name, "collect.source"))
            assert refused.hint
            with pytest.raises(InputError):
                probe_source(source, {}, Path(folder), None)
            return
        assert probe_source(source, {}, Path(folder), None).num_rows == len(rows)
        assert all(isinstance(row, Row) for row in rows)
        assert max(Counter(row.row_id for row in rows).values()) == 1


def read_or_refused(source, folder):
    try:
        return list(read_rows(source, folder)), None
    except InputError as error:
        return [], error


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_a_torn_parquet_file_is_refused(data):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.parquet"
        pq.write_table(pa.table({"a": ["one", "two"], "b": [1, None]}), path)
        whole = path.read_bytes()
        at = data.draw(st.integers(0, len(whole) - 1))
        path.write_bytes(whole[:at])

        with pytest.raises(InputError, match=r"a\.parquet"):
            list(read_rows(Source(file="a.parquet"), Path(folder)))
