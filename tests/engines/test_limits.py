"""Pauses of a provider, by a clock that the test turns."""

import asyncio

import pytest

from stillhouse.engines.limits import Limiter
from stillhouse.engines.retry import RetryPolicy
from stillhouse.store.slots import Limit, SlotTable

POLICY = RetryPolicy(first_s=1.0, longest_s=8.0, patience_s=100.0)


@pytest.fixture
def clock():
    return [50.0]


@pytest.fixture
def slots(tmp_path, clock):
    table = SlotTable(tmp_path / "limits.sqlite", lambda: clock[0])
    yield table
    table.close()


def limiter(slots, clock):
    return Limiter("p", (), slots, POLICY, lambda: clock[0])


def resting_s(slots):
    return slots.look([], 1, ["p"]).wait_s


def test_sixty_refusals_of_one_moment_are_one_pause(slots, clock):
    waiting = limiter(slots, clock)
    for _ in range(60):
        waiting.rest(None)
    assert resting_s(slots) == pytest.approx(1.0)


def test_our_own_pauses_grow_until_the_provider_serves_again(slots, clock):
    waiting = limiter(slots, clock)
    found = []
    for _ in range(5):
        waiting.rest(None)
        found.append(resting_s(slots))
        clock[0] += found[-1] + 0.01
    assert found == pytest.approx([1.0, 2.0, 4.0, 8.0, 8.0])
    waiting.is_served()
    waiting.rest(None)
    assert resting_s(slots) == pytest.approx(1.0)


def test_what_the_provider_asks_for_goes_before_our_own_and_longer_is_not_cut(slots, clock):
    waiting = limiter(slots, clock)
    waiting.rest(30.0)
    waiting.rest(None)
    waiting.rest(5.0)
    assert resting_s(slots) == pytest.approx(30.0)


def test_a_pause_that_another_process_announced_is_noticed(slots, clock, tmp_path):
    waiting = limiter(slots, clock)
    assert asyncio.run(waiting.is_free(1, "A"))
    other = SlotTable(tmp_path / "limits.sqlite", lambda: clock[0])
    other.rest("p", 500.0)
    other.close()
    clock[0] += 0.1
    assert not asyncio.run(waiting.is_free(1, "A"))  # longer than our patience
    assert asyncio.run(waiting.take(1, "A")) is None


def test_patience_ends_when_a_provider_does_nothing_but_ask_to_wait(slots, clock):
    waiting = limiter(slots, clock)
    waiting.rest(None)
    clock[0] += 99.0
    assert not waiting.is_given_up()
    clock[0] += 2.0
    assert waiting.is_given_up()
    waiting.is_served()
    assert not waiting.is_given_up()


def test_a_limit_of_each_key_holds_beside_that_of_the_provider(slots, clock):
    of_key = Limit("p", "requests", 1, 10.0, 0.0, is_per_key=True)
    of_all = Limit("p", "requests", 1, 1.0, 0.0)
    waiting = Limiter("p", (of_key, of_all), slots, POLICY, lambda: clock[0])

    def wait_s(alias):
        return slots.look([of_key.of_key(alias), of_all], 1, ["p"]).wait_s

    asyncio.run(waiting.take(1, "A"))
    assert wait_s("A") == pytest.approx(10.0)
    assert wait_s("B") == pytest.approx(1.0)  # another key, the same provider
    clock[0] += 1.0
    asyncio.run(waiting.take(1, "B"))
    assert wait_s("B") == pytest.approx(10.0)


def test_a_pause_of_no_length_is_one_of_our_own(slots, clock):
    waiting, found = limiter(slots, clock), []
    for _ in range(5):
        waiting.rest(0.0)
        found.append(resting_s(slots))
        clock[0] += found[-1] + 0.01
    assert found == pytest.approx([1.0, 2.0, 4.0, 8.0, 8.0])
