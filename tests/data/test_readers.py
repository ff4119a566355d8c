import csv
import datetime
import io
import json
import sys
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stillhouse.core.errors import InputError
from stillhouse.data.readers import build_rows, read_rows
from stillhouse.recipes.rows import Dataset, SampleRows, Source


@pytest.fixture
def read(write, tmp_path):
    def read_content(name, content, **settings):
        write(name, content)
        return list(read_rows(Source(file=name, **settings), tmp_path))

    return read_content


@pytest.fixture
def refusal(read):
    def refuse(name, content, **settings):
        with pytest.raises(InputError) as caught:
            read(name, content, **settings)
        assert caught.value.exit_code == 2
        assert caught.value.hint
        return caught.value

    return refuse


def test_csv_rows_carry_the_line_they_start_on_also_after_a_cell_of_many_lines(read):
    rows = read("a.csv", 'text,label\n"one\ntwo\nthree",x\nfour,y\n\n"fi""ve",z\n')

    assert [row.provenance for row in rows] == ["a.csv:2", "a.csv:5", "a.csv:7"]
    assert [row.fields["text"] for row in rows] == ["one\ntwo\nthree", "four", 'fi"ve']


cells = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=5))
def test_whatever_a_csv_writer_writes_is_read_as_it_was(read, records):
    text = io.StringIO()
    csv.writer(text).writerows([("a", "b"), *records])

    assert [tuple(row.fields.values()) for row in read("a.csv", text.getvalue())] == records


def test_windows_line_ends_and_a_byte_order_mark_change_nothing(read):
    plain = read("a.csv", "text,label\none,x\n")
    windows = read("a.csv", b"\xef\xbb\xbftext,label\r\none,x\r\n")

    assert plain == windows


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", '{"text": "one"}\n\n{"text": "two"}\n'),
        ("a.ndjson", '\ufeff{"text": "one"}\r\n{"text": "two"}'),
        ("a.json", '\ufeff[{"text": "one"}, {"text": "two"}]'),
        ("a.tsv", "text\none\ntwo\n"),
        ("a.CSV", "text\none\ntwo\n"),
    ],
)
def test_the_suffix_says_how_a_file_is_read(read, name, content):
    assert [row.fields for row in read(name, content)] == [{"text": "one"}, {"text": "two"}]


def test_a_stated_format_wins_over_the_suffix(read):
    assert read("a.txt", '{"a": 1}\n', format="jsonl")[0].fields == {"a": 1}


def test_json_records_stand_at_a_dotted_path(read):
    document = json.dumps({"data": {"rows": [{"a": 1}, {"a": 2}]}, "other": [1]})

    rows = read("a.json", document, records="data.rows")

    assert [row.fields["a"] for row in rows] == [1, 2]
    assert rows[1].provenance == "a.json:data.rows[1]"


def test_parquet_values_become_json_values(tmp_path):
    day = datetime.date(2026, 1, 2)
    table = pa.table(
        {
            "n": [1.5, float("nan")],
            "o": [{"k": [1]}, None],
            "b": [b"x", b"y"],
            "d": [day, day],
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")

    rows = list(read_rows(Source(file="a.parquet"), tmp_path))

    assert rows[0].fields == {"n": 1.5, "o": {"k": [1]}, "b": "eA==", "d": "2026-01-02"}
    assert rows[1].fields == {"n": None, "o": None, "b": "eQ==", "d": "2026-01-02"}
    assert rows[1].provenance == "a.parquet:2"


def test_tsv_keeps_quotes_that_wrap_no_whole_field(read):
    rows = read("a.tsv", 'text\tn\n"no," he said\t1\n"say ""no"""\t2\nit\'s 5" long\t3\n')

    assert [row.fields["text"] for row in rows] == ['"no," he said', 'say "no"', "it's 5\" long"]


def test_row_ids_depend_neither_on_the_files_name_nor_on_the_rows_place(write, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    write("a.csv", "text,label\none,x\ntwo,y\none,x\n")
    write("elsewhere/b.jsonl", '{"label":"x","text":"one"}\n' * 2 + '{"text":"two","label":"y"}\n')

    here = list(read_rows(Source(file="a.csv"), tmp_path))
    there = list(read_rows(Source(file="elsewhere/b.jsonl"), tmp_path))

    assert {row.row_id for row in here} == {row.row_id for row in there}
    assert [len(row.row_id) for row in here] == [20, 20, 22]
    assert here[2].row_id == f"{here[0].row_id}-2"


def test_latin_1_bytes_name_line_byte_and_mend(refusal, read):
    content = "text,label\nfine,x\ncafé,y\n".encode("latin-1")

    error = refusal("a.csv", content)

    assert error.message == "a.csv:3: byte 0xE9 at byte 4 of the line is not utf-8"
    assert "collect.source.encoding: latin-1" in error.hint
    assert read("a.csv", content, encoding="latin-1")[1].fields["text"] == "café"


def test_bad_bytes_in_a_json_document_name_their_line(refusal):
    error = refusal("a.json", b'[{"a": "x"},\n {"a": "\xff"}]')

    assert error.message.startswith("a.json:2: byte 0xFF at byte 9 of the line")


def test_utf_16_is_recognized_and_read_when_told(refusal, read):
    content = "text\nüber\n".encode("utf-16")

    assert "encoding: utf-16" in refusal("a.csv", content).hint
    assert read("a.csv", content, encoding="utf-16")[0].fields == {"text": "über"}
    assert "not utf-16" in refusal("a.csv", content[:-1], encoding="utf-16").message


def test_an_unknown_encoding_names_the_nearest(refusal):
    error = refusal("a.csv", "text\nx\n", encoding="utf-9")

    assert error.message.endswith('which is no encoding of text (did you mean "utf-8"?)')
    for codec in ("base64", "rot13", "zlib", "undefined"):
        assert "no encoding of text" in refusal("a.csv", "text\nx\n", encoding=codec).message


def test_a_nul_byte_names_its_line(refusal):
    assert refusal("a.csv", "text\nok\na\0b\n").message == "a.csv:3: NUL character at column 2"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('t,n\n1,2\n"open,3\n4,5\n', "a.csv:3: the quote that opens here never closes"),
        ('t,n\n"ok\nok",2\n1,"open\n4,5\n', "a.csv:4: the quote that opens here never closes"),
        ('t,n\n1,2\n"a" b,3\n', "a.csv:3: the quote that opens here is followed by more text"),
        ('t,n\n"a\n1,"x"\n', "a.csv:2: the quote that opens here is followed by more text"),
    ],
)
def test_a_broken_quote_names_the_line_it_opens_on(refusal, content, message):
    assert refusal("a.csv", content).message == message


def test_lone_carriage_returns_are_no_line_ends(refusal):
    assert refusal("a.csv", "a,b\r1,2\r").message.startswith("a.csv:1: not a CSV record")


def test_a_row_with_too_many_fields_shows_the_header(refusal):
    error = refusal("a.csv", "text,label\none,x\nhello, world,y\n")

    assert error.message == "a.csv:3: 3 fields, but the header has 2 (text, label)"
    assert "quotes" in error.hint


def test_a_row_with_too_few_fields_shows_the_header(refusal):
    error = refusal("a.tsv", "text\tlabel\none\n")

    assert error.message == "a.tsv:2: 1 field, but the header has 2 (text, label)"


def test_a_wrong_count_over_many_lines_points_at_the_quote(refusal):
    error = refusal("a.csv", 't,n\n"open\n1,2\nclose"\n')

    assert error.message.endswith("; the record runs over 3 lines")
    assert "not closed" in error.hint


def test_columns_that_stand_twice_are_refused(refusal):
    error = refusal("a.csv", "text,label,text\n1,2,3\n")

    assert error.message.startswith("a.csv:1: the column 'text' stands 2 times")


def test_a_file_of_semicolons_is_recognized(refusal):
    assert "separated by semicolons" in refusal("a.csv", "text;label\na;b\n").message
    assert "separated by tabs" in refusal("a.csv", "text\tlabel\na\tb\n").message


def test_a_file_with_only_a_header_is_refused(refusal):
    error = refusal("a.csv", "text,label\n")

    assert error.message == "a.csv:1: only a header (text, label) and no row below it"


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.json", "a.parquet"])
def test_an_empty_file_is_refused(refusal, name):
    assert refusal(name, "").message == f"{name} is empty (0 bytes)"


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.json"])
def test_a_blank_file_is_refused(refusal, name):
    assert refusal(name, "\n\n").message == f"{name} is empty"


def test_a_json_line_that_is_broken_names_line_and_column(refusal):
    error = refusal("a.jsonl", '{"a": 1}\n{"a": }\n')

    assert error.message == "a.jsonl:2:7: not JSON: Expecting value"


def test_a_broken_json_document_names_line_and_column(refusal):
    error = refusal("a.json", '[{"a": 1},\n {"a" 2}]')

    assert error.message == "a.json:2:7: not JSON: Expecting ':' delimiter"


def test_json_and_jsonl_that_were_swapped_are_recognized(refusal):
    assert "format: json" in refusal("a.jsonl", '[\n{"a": 1}\n]\n').hint
    assert "format: jsonl" in refusal("a.json", '{"a": 1}\n{"a": 2}\n').hint


@pytest.mark.parametrize(
    ("value", "kind"), [("[1]", "a list"), ('"x"', "a text"), ("3", "a number"), ("null", "null")]
)
def test_a_json_line_that_is_no_object_is_refused(refusal, value, kind):
    error = refusal("a.jsonl", f'{{"a": 1}}\n{value}\n')

    assert error.message == f"a.jsonl:2: a row must be a JSON object, this is {kind}"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_numbers_that_json_does_not_have_are_refused(refusal, number):
    error = refusal("a.jsonl", f'{{"a": 1}}\n{{"a": {number}}}\n')

    assert error.message.startswith("a.jsonl:2:")
    assert "null" in error.hint


def test_json_that_nests_too_deep_is_refused(refusal):
    depth = 200_000
    assert refusal("a.json", "[" * depth + "]" * depth).message.startswith("a.json:1: not JSON")


def test_a_json_object_without_records_says_where_lists_stand(refusal):
    error = refusal("a.json", '{"info": 1, "data": {"rows": [{"a": 1}]}}')

    assert error.message == "a.json: an object, not a list of rows"
    assert error.hint.endswith("lists stand at: data.rows")


def test_wrong_records_name_the_nearest_list(refusal):
    error = refusal("a.json", '{"data": {"rows": [{"a": 1}]}}', records="data.row")

    assert error.message.endswith('"data.row" (did you mean "data.rows"?)')
    assert refusal("a.json", '{"rows": []}', records="rows").message.endswith('"rows" is empty')
    assert "a text" in refusal("a.json", '{"rows": "x"}', records="rows").message
    assert "JSON files" in refusal("a.csv", "a\n1\n", records="rows").message


def test_a_file_that_is_not_parquet_is_refused(refusal, tmp_path):
    assert refusal("a.parquet", "text,label\n").message.startswith(
        "a.parquet: not a whole Parquet file"
    )
    pq.write_table(pa.table({"a": pa.array([], pa.int64())}), tmp_path / "none.parquet")
    with pytest.raises(InputError, match=r"none\.parquet has no rows"):
        list(read_rows(Source(file="none.parquet"), tmp_path))


def test_a_missing_file_names_the_nearest_and_what_there_is(write, tmp_path):
    write("tickets.csv", "a\n1\n")
    write("notes.txt", "x")

    with pytest.raises(InputError) as caught:
        list(read_rows(Source(file="ticket.csv"), tmp_path))

    assert caught.value.message.endswith('ticket.csv (did you mean "tickets.csv"?)')
    assert caught.value.hint == "files of rows in that folder: tickets.csv"


def test_a_missing_folder_and_a_folder_are_told_apart(write, tmp_path):
    write("tickets.csv", "a\n1\n")

    with pytest.raises(InputError, match="does not exist"):
        list(read_rows(Source(file="nowhere/a.csv"), tmp_path))
    with pytest.raises(InputError, match=r"is a folder[\s\S]*it holds: tickets\.csv"):
        list(read_rows(Source(file="."), tmp_path))


def test_an_unknown_suffix_asks_for_the_format(refusal):
    assert "collect.source.format" in refusal("a.cvs", "a\n1\n").hint
    assert 'did you mean ".csv"?' in refusal("a.cvs", "a\n1\n").message
    assert refusal("a.csv.gz", "a").hint == "unpack it first"
    assert "(none)" in refusal("rows", "a").message


def test_sample_rows_are_not_read_here(tmp_path):
    with pytest.raises(InputError, match="names no file or dataset"):
        list(read_rows(Source(sample_rows=SampleRows(task="tickets", rows=1)), tmp_path))


def test_a_cell_may_be_longer_than_the_csv_modules_own_limit(read):
    assert len(read("a.csv", "text\n" + "x" * 300_000 + "\n")[0].fields["text"]) == 300_000


def test_reading_lines_does_not_hold_the_file(write, tmp_path):
    write("a.jsonl", ('{"text": "' + "x" * 990 + '"}\n') * 10_000)
    tracemalloc.start()

    num_rows = sum(1 for _ in read_rows(Source(file="a.jsonl"), tmp_path))

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert num_rows == 10_000
    assert peak < 1_000_000


def test_the_absence_of_datasets_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "datasets", None)

    with pytest.raises(InputError, match=r'pip install "stillhouse\[train\]"'):
        list(read_rows(Source(dataset=Dataset(id="some/rows")), tmp_path))


def test_an_infinite_number_of_a_generator_is_refused():
    with pytest.raises(InputError, match="infinite"):
        list(build_rows([("x:0", {"a": float("inf")})]))


def test_real_bank_questions_are_read(shared_file):
    path = shared_file("finance/banking77_train_half.csv")

    rows = list(read_rows(Source(file=str(path)), path.parent))

    assert len(rows) == 5002
    assert len({row.row_id for row in rows}) == 5002
    assert set(rows[0].fields) == {"text", "category"}


@pytest.mark.parametrize(
    ("name", "num_rows"),
    [
        ("prompts/partiprompts_even.tsv", 816),
        ("culture/seegull_a.csv", 3932),
        ("prompts/awesome_chatgpt_prompts_a.csv", 427),
        ("finance/tatqa_dev_half.json", 139),
    ],
)
def test_other_real_files_have_the_rows_they_should(shared_file, name, num_rows):
    path = shared_file(name)

    assert sum(1 for _ in read_rows(Source(file=path.name), path.parent)) == num_rows


def test_a_real_header_with_a_slip_is_refused(shared_file):
    path = shared_file("labels/convabuse_valid.csv")

    with pytest.raises(InputError, match="'Annotator6_transphobic' stands 3 times"):
        list(read_rows(Source(file=path.name), path.parent))
