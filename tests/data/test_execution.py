"""A step gives the same bytes whoever works on its shards, and loses nothing when it is stopped."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass

import pytest

from stillhouse.core.errors import AccountingError, ArtifactError, InputError
from stillhouse.core.hashing import digest_text
from stillhouse.core.rows import Drop, Keep, Row
from stillhouse.data import dealing, shards
from stillhouse.data.dealing import deal
from stillhouse.data.execution import Inline, Processes, run_sharded
from stillhouse.data.pairing import PairStep, Setting
from stillhouse.data.shards import num_shards, read_shards, shard_paths, write_shards
from stillhouse.data.storage import read_ended, read_rows_file, write_rows
from stillhouse.recipes.data_steps import PairWith


def rows_of(number):
    return [
        Row(digest_text(str(index))[:20], {"text": f"text {index}"}, f"a.csv:{index}")
        for index in range(number)
    ]


@dataclass(frozen=True)
class DropOdd:
    """Drops every odd row; fails, or loses a row, where it is told to."""

    fails_at: str = ""
    loses: str = ""
    name: str = "drop_odd"
    version: int = 1
    kind: str = "map"

    def process(self, batch):
        if any(row.provenance == self.fails_at for row in batch):
            raise InputError(f"{self.fails_at} cannot be read", "mend it")
        return [self.judge(row) for row in batch if row.provenance != self.loses]

    def judge(self, row):
        is_odd = int(row.provenance.partition(":")[2]) % 2
        return Drop(row, "odd", row.provenance) if is_odd else Keep(row)


PAIR = PairStep(PairWith(file="x", **{"as": "tone"}), [Setting("a", "kind"), Setting("b", "stern")])


@pytest.fixture
def source(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "SHARD_ROWS", 64)
    write_shards(tmp_path / "source", rows_of(500), 500)
    return tmp_path / "source"


def content_of(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_every_row_lies_in_the_shard_of_its_id_whatever_their_order(source, tmp_path):
    write_shards(tmp_path / "again", reversed(rows_of(500)), 500)

    assert len(shard_paths(source)) == num_shards(500) == 8
    ids = [{row.row_id for row in read_shards(one)} for one in (source, tmp_path / "again")]
    assert ids[0] == ids[1] == {row.row_id for row in rows_of(500)}


@pytest.mark.parametrize("held_bytes", [1, 1 << 30])
def test_a_file_is_dealt_out_as_rows_in_memory_are(tmp_path, monkeypatch, held_bytes):
    monkeypatch.setattr(shards, "SHARD_ROWS", 64)
    monkeypatch.setattr(dealing, "_HELD_BYTES", held_bytes)
    monkeypatch.setattr(dealing, "_READ_ROWS", 50)
    write_shards(tmp_path / "plain", rows_of(500), 500)
    write_rows(tmp_path / "rows.parquet", rows_of(500))

    assert deal(tmp_path / "rows.parquet", tmp_path / "dealt") == 8
    pairs = zip(*(shard_paths(tmp_path / name) for name in ("plain", "dealt")), strict=True)
    assert all(read_rows_file(one) == read_rows_file(other) for one, other in pairs)


def test_a_torn_file_is_not_dealt_out(tmp_path):
    (tmp_path / "rows.parquet").write_bytes(b"PAR1 torn")

    with pytest.raises(ArtifactError, match=r"rows\.parquet is missing or torn"):
        deal(tmp_path / "rows.parquet", tmp_path / "dealt")


@pytest.mark.parametrize("step", [DropOdd(), PAIR], ids=["map", "global"])
def test_processes_give_the_bytes_of_this_process(source, tmp_path, step):
    alone = run_sharded(step, source, tmp_path / "alone", Inline())
    together = run_sharded(step, source, tmp_path / "together", Processes(2))

    assert alone == together
    assert alone.balances
    assert content_of(tmp_path / "alone") == content_of(tmp_path / "together")


def test_shards_of_a_global_step_are_judged_as_all_rows_at_once_are(source, tmp_path):
    run_sharded(PAIR, source, tmp_path / "out", Inline())

    at_once = [row for outcome in PAIR.process(list(read_shards(source))) for row in outcome.rows]
    assert list(read_shards(tmp_path / "out")) == at_once


def test_a_second_run_makes_only_what_is_missing(source, tmp_path):
    out = tmp_path / "out"
    *_, last = read_shards(source)
    with pytest.raises(InputError, match="cannot be read"):
        run_sharded(DropOdd(fails_at=last.provenance), source, out, Inline())
    made = content_of(out)
    assert made

    count = run_sharded(DropOdd(), source, out, Inline())

    run_sharded(DropOdd(), source, tmp_path / "whole", Inline())
    assert (count.rows_in, count.rows_out, count.dropped) == (500, 250, {"odd": 250})
    assert content_of(out) == content_of(tmp_path / "whole")
    assert made.items() <= content_of(out).items()


def test_what_is_done_is_not_looked_at_again(source, tmp_path, monkeypatch):
    count = run_sharded(PAIR, source, tmp_path / "out", Inline())
    monkeypatch.setattr(PairStep, "look", None)

    assert run_sharded(PAIR, source, tmp_path / "out", Inline()) == count


def test_an_error_of_a_process_keeps_its_kind_and_its_mend(source, tmp_path):
    with pytest.raises(InputError, match="cannot be read") as caught:
        run_sharded(DropOdd(fails_at="a.csv:7"), source, tmp_path / "out", Processes(2))
    assert caught.value.hint == "mend it"


@pytest.mark.parametrize("executor", [Inline(), Processes(2)], ids=["inline", "processes"])
def test_a_lost_row_fails_the_shard_by_name(source, tmp_path, executor):
    with pytest.raises(AccountingError, match=r"drop_odd: the row .* has no outcome|went in"):
        run_sharded(DropOdd(loses="a.csv:8"), source, tmp_path / "out", executor)


_STARTS_WORKERS = """
import os, sys
from pathlib import Path
from stillhouse.data.execution import Processes

def main():
    folder = Path(sys.argv[1])
    for place, _ in Processes(2).run(note, [folder / "a", folder / "b"]):
        os._exit(1)  # as a stage does whose command is gone

def note(path):
    path.write_text(str(os.getpid()))

if __name__ == "__main__":
    main()
"""


def test_no_worker_outlives_whoever_started_it(tmp_path):
    program = tmp_path / "starts.py"
    program.write_text(_STARTS_WORKERS)

    subprocess.run([sys.executable, str(program), str(tmp_path)], check=False)

    pids = [int(path.read_text()) for path in (tmp_path / "a", tmp_path / "b") if path.is_file()]
    assert pids
    deadline = time.monotonic() + 20
    while any(is_running(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_ended_rows_keep_their_reason(source, tmp_path):
    run_sharded(DropOdd(), source, tmp_path / "out", Inline())

    ended = [one for path in shard_paths(tmp_path / "out" / "ended") for one in read_ended(path)]
    assert {one.reason for one in ended} == {"odd"}
    assert {json.dumps(one.evidence) for one in ended} == {
        json.dumps(f"a.csv:{index}") for index in range(1, 500, 2)
    }
