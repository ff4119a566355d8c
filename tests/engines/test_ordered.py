"""Many questions at once behind an ordinary iterator."""

import asyncio
import random
import threading
from contextlib import asynccontextmanager

import pytest

from stillhouse.engines.ordered import Crew, ask_in_order


@asynccontextmanager
async def nothing():
    yield None


def crew(ask, workers=8, drain_s=5.0):
    return Crew(nothing, ask, workers, drain_s)


def test_answers_keep_the_order_of_the_questions_however_long_each_takes():
    draw = random.Random(3)
    naps = [draw.random() * 0.01 for _ in range(300)]

    async def ask(_, number):
        await asyncio.sleep(naps[number])
        return number * 2

    assert list(ask_in_order(crew(ask), range(300))) == [2 * number for number in range(300)]


def test_no_more_questions_are_in_hand_than_there_are_workers():
    in_hand, most = [0], [0]

    async def ask(_, number):
        in_hand[0] += 1
        most[0] = max(most[0], in_hand[0])
        await asyncio.sleep(0.001)
        in_hand[0] -= 1

    list(ask_in_order(crew(ask), range(100)))
    assert most == [8]


@pytest.mark.parametrize("wrong", [0, 5, 99])
def test_an_error_comes_in_its_turn_and_ends_the_asking(wrong):
    asked = []

    async def ask(_, number):
        asked.append(number)
        await asyncio.sleep(0.001)
        if number == wrong:
            raise ValueError(number)
        return number

    found = []
    with pytest.raises(ValueError, match=str(wrong)):
        found += ask_in_order(crew(ask), range(10_000))
    assert len(asked) < wrong + 64
    assert threading.active_count() < 20


def test_an_error_on_opening_is_raised():
    @asynccontextmanager
    async def shut():
        raise ValueError("shut")
        yield

    with pytest.raises(ValueError, match="shut"):
        list(ask_in_order(Crew(shut, None, 3), range(5)))


def test_a_caller_that_goes_away_waits_for_what_is_under_way_but_not_for_ever():
    ended = []

    async def ask(_, number):
        try:
            await asyncio.sleep(0.05 if number < 8 else 60.0)
            ended.append("whole")
        except asyncio.CancelledError:
            ended.append("cut")
            raise
        return number

    stream = ask_in_order(crew(ask, workers=8, drain_s=0.2), range(100))
    assert next(stream) == 0
    stream.close()
    assert ended.count("whole") >= 1
    assert set(ended) <= {"whole", "cut"}


def test_a_slow_caller_is_not_run_away_from():
    asked = []

    async def ask(_, number):
        asked.append(number)
        return number

    stream = ask_in_order(crew(ask, workers=1), range(10_000))
    assert next(stream) == 0
    threading.Event().wait(0.2)
    assert len(asked) <= 66
    stream.close()


def test_the_caller_is_told_while_no_answer_comes_in_its_own_thread():
    told = []

    async def ask(_, number):
        await asyncio.sleep(0.15)
        return number

    def tell():
        told.append(threading.current_thread())

    waiting = Crew(nothing, ask, 4, tell=tell, tell_every_s=0.02)
    assert list(ask_in_order(waiting, range(4))) == [0, 1, 2, 3]
    assert len(told) >= 3
    assert set(told) == {threading.current_thread()}
