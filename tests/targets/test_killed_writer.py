import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stillhouse.core.hashing import digest_folder
from stillhouse.targets.read import TargetReader
from stillhouse.targets.write import TargetWriter

WRITE = """
import sys, time
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
spec = spec_from_file_location("sources", sys.argv[1])
sources = module_from_spec(spec)
spec.loader.exec_module(sources)
from stillhouse.targets.write import TargetWriter
header = sources.build_header()
with TargetWriter(Path(sys.argv[2]), header, 5) as writer:
    for number in range(writer.done, 1000):
        writer.append(sources.build_targets(number))
        time.sleep(0.002)
"""


@pytest.mark.parametrize("shards_before_the_kill", [1, 4])
def test_a_killed_writer_goes_on_to_the_same_bytes(tmp_path, fill, shards_before_the_kill):
    folder = tmp_path / "killed"
    sources = str(Path(__file__).with_name("builders.py"))
    process = subprocess.Popen([sys.executable, "-c", WRITE, sources, str(folder)])
    waited_for = folder / f"shard-{shards_before_the_kill - 1:05d}.parquet"
    deadline = time.monotonic() + 60
    while not waited_for.exists() and time.monotonic() < deadline:
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = len(list(folder.glob("shard-*.parquet")))
    assert kept >= shards_before_the_kill
    assert not (folder / "index.json").exists()

    fill(folder, kept * 5 + 8)
    fill(tmp_path / "whole", kept * 5 + 8)

    TargetReader(folder).verify()
    assert digest_folder(folder) == digest_folder(tmp_path / "whole")


def _write_until(operation, folder, header, make):
    """In a process of its own, ended before its nth operation on a file; True if it came to it."""
    process_id = os.fork()
    if process_id == 0:
        left = operation

        def count_down(event, arguments):
            nonlocal left
            if event in ("open", "os.rename", "os.remove", "os.mkdir") and str(
                arguments[0]
            ).startswith(str(folder)):
                left -= 1
                if left < 0:
                    os._exit(1)

        sys.addaudithook(count_down)
        with TargetWriter(folder, header, 5) as writer:
            for number in range(writer.done, 12):
                writer.append(make(number))
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(process_id, 0)[1]) == 1


def test_a_kill_between_any_two_operations_on_files_loses_and_doubles_nothing(
    tmp_path, fill, header, make
):
    fill(tmp_path / "whole", 12)
    wanted = digest_folder(tmp_path / "whole")

    kills = 0
    while _write_until(kills, tmp_path / f"{kills}", header, make):
        folder = tmp_path / f"{kills}"
        _write_until(kills // 2, folder, header, make)
        fill(folder, 12)
        assert digest_folder(folder) == wanted, kills
        kills += 1

    assert kills > 15
    assert digest_folder(tmp_path / f"{kills}") == wanted
