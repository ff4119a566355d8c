"""A Ray cluster gives the bytes of this process, and the errors of this process."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from tests.data.test_execution import PAIR, DropOdd, content_of, is_running, rows_of

from stillhouse.core.errors import AccountingError, InputError, UsageError
from stillhouse.data import shards
from stillhouse.data.cluster import RayCluster
from stillhouse.data.execution import Inline, Processes, run_sharded
from stillhouse.data.merging import MergeStep
from stillhouse.data.shards import write_shards
from stillhouse.recipes.data_steps import MergeNearDuplicates

ray = pytest.importorskip("ray")
ROOT = Path(__file__).parents[2]
MERGE = MergeStep(MergeNearDuplicates(on="text", threshold=0.5))


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """One cluster of this machine for all tests; its workers find the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{ROOT / 'src'}{os.pathsep}{ROOT}")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_AUTH_MODE", "disabled")
        options = {"include_dashboard": False, "log_to_driver": False, "logging_level": "error"}
        ray.init(num_cpus=2, _node_ip_address="127.0.0.1", **options)
        yield
        ray.shutdown()


def alike_rows(number):
    """Rows with one of three texts."""
    return [
        replace(row, fields={"text": f"text {'abc'[place % 3]}"})
        for place, row in enumerate(rows_of(number))
    ]


@pytest.fixture
def source(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "SHARD_ROWS", 32)
    write_shards(tmp_path / "source", alike_rows(100), 100)
    return tmp_path / "source"


@pytest.mark.parametrize("step", [DropOdd(), PAIR, MERGE], ids=["map", "global", "merge"])
def test_a_cluster_gives_the_bytes_of_this_process(source, tmp_path, step):
    alone = run_sharded(step, source, tmp_path / "alone", Inline())
    there = run_sharded(step, source, tmp_path / "there", RayCluster())

    assert there == alone
    assert there.merged == (97 if step is MERGE else 0)
    assert content_of(tmp_path / "there") == content_of(tmp_path / "alone")


def test_errors_come_back_as_they_were_raised(source, tmp_path):
    with pytest.raises(AccountingError, match=r"has no outcome|went in") as lost:
        run_sharded(DropOdd(loses="a.csv:8"), source, tmp_path / "out", RayCluster())
    with pytest.raises(InputError, match="cannot be read") as failed:
        run_sharded(DropOdd(fails_at="a.csv:8"), source, tmp_path / "out", RayCluster())

    assert type(lost.value) is AccountingError
    assert (failed.value.hint, failed.value.exit_code) == ("mend it", 2)


def test_a_cluster_that_was_there_stays(source, tmp_path):
    run_sharded(DropOdd(), source, tmp_path / "out", RayCluster())

    assert ray.is_initialized()


@pytest.mark.parametrize(
    ("address", "message"),
    [("127.0.0.1:1", "no Ray cluster answers at compute.ray"), ("here", "no address of a cluster")],
)
def test_an_address_without_a_cluster_is_refused_at_once(address, message, monkeypatch):
    monkeypatch.setattr(ray, "is_initialized", lambda: False)

    with pytest.raises(UsageError, match=message):
        list(RayCluster(address).run(len, ["a"]))


_STARTS_ITS_OWN = """
import os, sys
from stillhouse.data.cluster import RayCluster

def main():
    found = RayCluster("", 2).run(worker, [1, 2, 3])
    for place, pid in found:
        print(pid, flush=True)
        if sys.argv[1] == "dies":
            os.kill(os.getpid(), 9)
    import ray
    assert not ray.is_initialized()

def worker(_):
    import os
    return os.getppid()

main()
"""


@pytest.mark.long
@pytest.mark.parametrize("ending", ["ends", "dies"])
def test_a_cluster_that_was_started_here_ends_with_whoever_started_it(tmp_path, ending):
    program = tmp_path / "starts.py"
    program.write_text(_STARTS_ITS_OWN)

    done = subprocess.run(
        [sys.executable, str(program), ending], capture_output=True, text=True, check=False
    )

    raylets = {int(line) for line in done.stdout.split()}
    assert raylets, done.stderr
    assert done.returncode == (0 if ending == "ends" else -9)
    deadline = time.monotonic() + 60
    while any(map(is_running, raylets)):
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.long
def test_every_executor_gives_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "SHARD_ROWS", 1024)
    write_shards(tmp_path / "source", alike_rows(10_000), 10_000)
    ways = {
        "inline": Inline(),
        **{f"{number} processes": Processes(number) for number in (1, 2, 4)},
        "ray": RayCluster(),
    }
    for step in (DropOdd(), PAIR, MERGE):
        run = partial(run_sharded, step, tmp_path / "source")
        counts = {name: run(tmp_path / step.name / name, way) for name, way in ways.items()}
        found = {name: content_of(tmp_path / step.name / name) for name in ways}
        assert all(one == counts["inline"] for one in counts.values())
        assert all(one == found["inline"] for one in found.values())
        print(f"{step.name}: {len(found['ray'])} equal files from {', '.join(ways)}")
