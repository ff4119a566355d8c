"""Four processes and a restart stay within a provider's limit, by the server's own clock."""

import time
from itertools import pairwise

import pytest
from tests.engines.fakes.openai_server import FakeOpenAI
from tests.engines.fakes.server import Behaviour
from tests.engines.processes import finish, kill_after, start


def arrivals(folder, limit, each):
    """When requests came in, from four processes of which one is killed and started again."""
    with FakeOpenAI(Behaviour(latency_s=0.02)) as server:
        orders = [
            {"count": each, "start": number * each, "concurrency": 8, "limits": [limit]}
            for number in range(4)
        ]
        processes = [start(folder, server.url, **order) for order in orders]
        # with fewer calls in all than its own it cannot have ended
        assert kill_after(processes[0], server, each // 2, time.sleep)
        processes[0] = start(folder, server.url, **orders[0])
        for process in processes:
            assert {row[2] for row in finish(process)} == {"stop"}
    return [call.at for call in server.calls]


def most_in_a_window(times, window):
    return max(sum(start <= at < start + window for at in times) for start in times)


def test_four_processes_share_a_limit(tmp_path):
    times = arrivals(tmp_path, ["p", "requests", 10, 1.0, 0.25], each=8)
    assert len(times) >= 32
    assert most_in_a_window(times, 1.0) <= 10
    # and the limit is used: 31 spacings of 0.125 s, and the time that a restart takes
    assert times[-1] - times[0] < 31 * 0.125 + 3.0


def test_without_the_limit_the_same_processes_would_break_it(tmp_path):
    times = arrivals(tmp_path, ["p", "requests", 1000, 1.0, 0.0], each=8)
    assert most_in_a_window(times, 1.0) > 10


@pytest.mark.long
def test_one_request_a_second_is_one_request_a_second(tmp_path):
    times = arrivals(tmp_path, ["p", "requests", 1, 1.0, 0.1], each=6)
    print("shortest gap:", min(b - a for a, b in pairwise(times)))
    assert most_in_a_window(times, 1.0) == 1


@pytest.mark.long
def test_ten_requests_a_second_are_ten_in_every_second(tmp_path):
    times = arrivals(tmp_path, ["p", "requests", 10, 1.0, 0.1], each=50)
    assert most_in_a_window(times, 1.0) <= 10
