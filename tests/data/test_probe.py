import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stillhouse.core.errors import InputError
from stillhouse.data import probe
from stillhouse.data.probe import probe_rows, probe_source
from stillhouse.data.readers import build_rows
from stillhouse.recipes.rows import Source


@pytest.fixture
def big(monkeypatch):
    monkeypatch.setattr(probe, "_WHOLE_BELOW_BYTES", 100)
    monkeypatch.setattr(probe, "_FIRST_ROWS", 10)


def test_a_small_file_is_read_whole(write, tmp_path):
    path = write("a.csv", "text,label\n" + "one,x\n" * 50)

    facts = probe_source(Source(file="a.csv"), {"q": "text"}, tmp_path, None)

    assert (facts.num_rows, facts.is_exact, len(facts.rows)) == (50, True, 50)
    assert facts.rows[0].fields == {"q": "one"}
    assert facts.num_bytes == path.stat().st_size


def test_the_digest_is_of_the_content_and_not_of_the_place(write, tmp_path):
    for name, content in (("a.csv", "t\n1\n"), ("b.csv", "t\n1\n"), ("c.csv", "t\n2\n")):
        write(name, content)
    digests = [probe_source(Source(file=f), {}, tmp_path, None).digest for f in ("a.csv", "b.csv")]

    assert digests[0] == digests[1]
    assert probe_source(Source(file="c.csv"), {}, tmp_path, None).digest != digests[0]


def test_limit_bounds_what_is_read_and_counted(write, tmp_path):
    write("a.csv", "t\n" + "1\n" * 50)

    facts = probe_source(Source(file="a.csv"), {}, tmp_path, 7)

    assert (facts.num_rows, facts.is_exact, len(facts.rows)) == (7, True, 7)


@pytest.mark.usefixtures("big")
def test_a_big_file_is_estimated_from_its_first_rows(write, tmp_path):
    write("a.csv", "t\n" + "12345\n" * 1000)

    facts = probe_source(Source(file="a.csv"), {}, tmp_path, None)

    assert (len(facts.rows), facts.is_exact) == (10, False)
    assert facts.num_rows == pytest.approx(1000, rel=0.05)
    assert probe_source(Source(file="a.csv"), {}, tmp_path, 20).num_rows == 20


@pytest.mark.usefixtures("big")
def test_big_parquet_and_json_files_are_counted(write, tmp_path):
    pq.write_table(pa.table({"t": list(range(99))}), tmp_path / "a.parquet")
    write("a.json", "[" + ",".join(['{"t": 1}'] * 99) + "]")

    for name in ("a.parquet", "a.json"):
        facts = probe_source(Source(file=name), {}, tmp_path, None)
        assert (facts.num_rows, facts.is_exact, len(facts.rows)) == (99, True, 10)


def test_a_fault_on_the_last_line_surfaces_before_the_run(write, tmp_path):
    write("a.csv", "text,label\n" + "one,x\n" * 20_000 + "broken\n")
    start = time.process_time()

    with pytest.raises(InputError, match=r"a\.csv:20002: 1 field"):
        probe_source(Source(file="a.csv"), {}, tmp_path, None)

    assert time.process_time() - start < 1.0


def test_a_wrong_column_surfaces_before_the_run(write, tmp_path):
    write("a.csv", "text,label\none,x\n")

    with pytest.raises(InputError, match=r'collect\.columns\.q names "txt"'):
        probe_source(Source(file="a.csv"), {"q": "txt"}, tmp_path, None)


def test_generated_rows_are_counted_up_to_the_limit():
    rows = build_rows((f"x:{index}", {"a": index}) for index in range(5))

    facts = probe_rows(rows, {"b": "a"}, 3)

    assert (facts.num_rows, [row.fields["b"] for row in facts.rows]) == (3, [0, 1, 2])


def test_reading_and_preparing_start_without_torch():
    code = (
        "import sys, stillhouse.data.probe, stillhouse.data.prepare, stillhouse.data.storage, "
        "stillhouse.tasks.sample_rows\n"
        "assert not {'torch', 'transformers', 'datasets', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
