"""One request at a time with a pause after it, over processes, restarts and killed holders."""

import asyncio
import os
import resource
import signal
import subprocess
import sys
import time
from itertools import pairwise

import pytest
from tests.data.collect.servers import Behaviour, SongServer
from tests.data.collect.songs_on_trial import make_songs

from stillhouse.store.turnstile import Turnstile

CHILD = """
import asyncio, sys
from pathlib import Path
from tests.data.collect.collecting import paced
from stillhouse.data.collect.answers import Ask
from stillhouse.data.collect.client import PoliteClient
from stillhouse.store.replies import ReplyStore

url, folder, pause_s, first, last = sys.argv[1], Path(sys.argv[2]), *map(float, sys.argv[3:])

async def work():
    store = ReplyStore(folder / "replies.sqlite")
    async with PoliteClient(paced(pause_s), store, folder / "turns", {}, {}) as client:
        for number in range(int(first), int(last)):
            reply = await client.get("trial", Ask(f"{url}/api/search?q={number}"))
            assert reply.status == 200, reply

asyncio.run(work())
"""


def child(server, folder, pause_s, first, last):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(["src", "."])}
    words = [server.url, str(folder), str(pause_s), str(first), str(last)]
    return subprocess.Popen([sys.executable, "-c", CHILD, *words], env=environment)


def gaps(server):
    return [later.at - one.at for one, later in pairwise(server.seen)]


def ask_from_processes(tmp_path, pause_s, processes, each):
    with SongServer(make_songs(1)) as server:
        started = [
            child(server, tmp_path, pause_s, number * each, (number + 1) * each)
            for number in range(processes)
        ]
        assert [one.wait(300) for one in started] == [0] * processes
        assert len(server.asked) == processes * each
        assert server.most_at_work == 1
        return gaps(server)


def test_two_processes_keep_the_pause_by_the_servers_clock(tmp_path):
    assert min(ask_from_processes(tmp_path, 0.05, processes=2, each=6)) >= 0.05


@pytest.mark.long
def test_four_processes_never_ask_twice_within_a_true_second(tmp_path):
    found = ask_from_processes(tmp_path, 1.0, processes=4, each=12)
    print(
        f"\n{len(found) + 1} requests of 4 processes: shortest gap {min(found):.4f} s, "
        f"mean {sum(found) / len(found):.3f} s, longest {max(found):.3f} s"
    )
    assert min(found) >= 1.0
    assert sum(found) / len(found) < 1.5


def test_a_killed_holder_costs_one_whole_pause_and_no_more(tmp_path):
    with SongServer(make_songs(1), Behaviour()) as server:
        server.respond_after = 1.0
        first = child(server, tmp_path, 0.3, 0, 1)
        while not server.seen:
            time.sleep(0.01)
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        killed_at = time.monotonic()
        server.respond_after = 0.0
        assert child(server, tmp_path, 0.3, 0, 1).wait(60) == 0

    assert server.seen[1].at - killed_at >= 0.3


def test_turns_do_not_wait_for_another_boot_of_the_machine(tmp_path):
    async def turns(clock):
        async with Turnstile(tmp_path, "a", clock).turn(0.1):
            pass

    started = time.monotonic()
    asyncio.run(turns(lambda: 1e9))
    asyncio.run(turns(lambda: time.monotonic() - started + 5.0))
    assert time.monotonic() - started < 1.0


@pytest.mark.parametrize("torn", ["", "{", '{"ended": "x"}', "[]", '{"out": true}', "\x00" * 9])
def test_a_torn_file_of_turns_is_a_pause(tmp_path, torn):
    (tmp_path / "a.turn").write_text(torn)

    async def turn():
        async with Turnstile(tmp_path, "a").turn(0.05):
            return time.monotonic()

    started = time.monotonic()
    assert (asyncio.run(turn()) - started >= 0.05) == bool(torn)


def test_a_disk_that_is_full_makes_nobody_forget_the_last_turn(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    async def turn(pause_s, most_bytes):
        async with Turnstile(tmp_path, "a").turn(pause_s):
            resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, before[1]))
            return time.monotonic()

    try:
        with pytest.raises(OSError, match="File too large"):
            asyncio.run(turn(0.0, 0))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    failed_at = time.monotonic()
    assert asyncio.run(turn(0.2, before[0])) - failed_at >= 0.2


def test_the_file_of_turns_is_never_empty_once_there_was_one(tmp_path):
    sizes = set()

    async def turns():
        for _ in range(3):
            async with Turnstile(tmp_path, "a").turn(0.0):
                sizes.add((tmp_path / "a.turn").stat().st_size)
            sizes.add((tmp_path / "a.turn").stat().st_size)

    asyncio.run(turns())
    assert len(sizes) == 1
