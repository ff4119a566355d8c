"""Limits by a clock that the test turns: nothing goes too early, whoever asks."""

import random

import pytest

from stillhouse.core.errors import DiskFullError
from stillhouse.store.slots import LONGEST_REST_S, Limit, SlotTable

SECOND = Limit("p", "requests", 1, 1.0, slack_s=0.0)
TOKENS = Limit("p", "tokens", 1000, 60.0, slack_s=0.0)


class Clock:
    def __init__(self, now=1000.0):
        self.now = now

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def tables(tmp_path, clock):
    made = [SlotTable(tmp_path / "limits.sqlite", clock) for _ in range(3)]
    yield made
    for table in made:
        table.close()


def served(tables, clock, limit, seconds, tokens=lambda draw: 1):
    """(time, tokens) of every request that three processes get through."""
    draw, end, gone = random.Random(1), clock.now + seconds, []
    while clock.now < end:
        asked = tokens(draw)
        while (place := draw.choice(tables).take([limit], asked, [])).wait_s > 0:
            clock.now += place.wait_s * draw.choice((0.5, 1.0, 1.1)) + 1e-6
        gone.append((clock.now, asked))
        clock.now += draw.random() * 0.01
    return gone


def most_in_a_window(gone, window):
    return max(
        sum(amount for at, amount in gone if start <= at < start + window) for start, _ in gone
    )


@pytest.mark.parametrize(("amount", "window"), [(1, 1.0), (10, 1.0), (30, 60.0)])
def test_three_tables_together_stay_within_requests_a_window(tables, clock, amount, window):
    gone = served(tables, clock, Limit("p", "requests", amount, window, 0.0), 3 * window)
    assert most_in_a_window(gone, window) <= amount
    assert len(gone) >= 0.8 * 3 * amount


def test_three_tables_together_stay_within_tokens_a_window(tables, clock):
    gone = served(tables, clock, TOKENS, 300.0, lambda draw: draw.randrange(1, 400))
    assert most_in_a_window(gone, 60.0) <= 1000
    assert sum(amount for _, amount in gone) >= 0.5 * 5 * 1000


def test_requests_are_spaced_and_never_bunched(tables, clock):
    ten = Limit("p", "requests", 10, 1.0, 0.0)
    assert tables[0].take([ten], 1, []).wait_s == 0
    assert tables[1].take([ten], 1, []).wait_s == pytest.approx(0.1)


def test_a_restart_remembers(tmp_path, clock):
    first = SlotTable(tmp_path / "x.sqlite", clock)
    assert first.take([SECOND], 1, []).wait_s == 0
    first.close()
    clock.now += 0.4
    second = SlotTable(tmp_path / "x.sqlite", clock)
    assert second.take([SECOND], 1, []).wait_s == pytest.approx(0.6)
    second.close()


def test_after_another_boot_nobody_waits_longer_than_one_spacing(tables, clock):
    tables[0].take([SECOND, TOKENS], 900, [])
    tables[0].rest("p", 50.0)
    clock.now = 3.0  # the machine's clock begins anew
    assert tables[1].take([SECOND, TOKENS], 900, []).wait_s <= 1.0
    clock.now = 1000.0 - 2 * LONGEST_REST_S
    assert tables[1].take([], 1, ["p"]).wait_s == 0


def test_unused_tokens_are_given_back_and_leave_with_the_place_they_came_from(tables, clock):
    place = tables[0].take([TOKENS], 1000, [])
    assert tables[0].take([TOKENS], 500, []).wait_s == pytest.approx(60.0)
    clock.now += 10
    tables[0].give_back([TOKENS], place, 700)
    assert tables[1].take([TOKENS], 700, []).wait_s == 0
    clock.now += 50.5  # the first place and its refund are gone together, the second stays
    assert tables[1].take([TOKENS], 301, []).wait_s > 0
    assert tables[1].take([TOKENS], 300, []).wait_s == 0


def test_a_request_larger_than_the_limit_goes_alone(tables, clock):
    assert tables[0].take([TOKENS], 5000, []).wait_s == 0
    assert tables[1].take([TOKENS], 1, []).wait_s == pytest.approx(60.0)


def test_a_rest_holds_for_everyone_and_a_shorter_one_does_not_end_it(tables, clock):
    tables[0].rest("p", 20.0)
    tables[1].rest("p", 5.0)
    assert tables[2].take([], 1, ["p"]).wait_s == pytest.approx(20.0)
    assert tables[2].take([], 1, ["q"]).wait_s == 0
    clock.now += 20.0
    assert tables[2].take([], 1, ["p"]).wait_s == 0


def test_all_limits_are_taken_together_or_none(tables, clock):
    key = Limit("p/KEY", "requests", 1, 10.0, 0.0)
    assert tables[0].take([SECOND, key], 1, []).wait_s == 0
    clock.now += 2.0
    assert tables[0].take([SECOND, key], 1, []).wait_s == pytest.approx(8.0)
    assert tables[0].take([SECOND], 1, []).wait_s == 0  # the failed take used nothing up


@pytest.mark.parametrize("harm", ["all", "a page"])
def test_a_damaged_table_is_made_anew(tmp_path, clock, harm):
    path = tmp_path / "limits.sqlite"
    table = SlotTable(path, clock)
    for _ in range(3000):
        table._use(TOKENS, 1, clock.now)
    table.close()
    whole = path.read_bytes()
    path.write_bytes(bytes(8192) if harm == "all" else whole[:8192] + b"\xff" * len(whole[8192:]))
    again = SlotTable(path, clock)
    assert again.take([SECOND, TOKENS], 1, []).wait_s == 0.0
    assert again.take([SECOND], 1, []).wait_s > 0.0
    again.close()


def test_what_happens_to_an_open_table_is_told_in_words(tmp_path, clock):
    table = SlotTable(tmp_path / "limits.sqlite", clock)
    table._c.execute("PRAGMA max_page_count = 1")
    with pytest.raises(DiskFullError, match="no space left for"):
        table.rest("p" * 100_000, 1.0)
    table.close()


def test_a_look_costs_little_however_many_requests_a_minute_holds(tmp_path, clock):
    table, limit = SlotTable(tmp_path / "limits.sqlite", clock), Limit("p", "tokens", 10**9, 60.0)
    steps = []
    for _ in range(count := 2000):
        place = table.take([limit], 1000, [])
        table.give_back([limit], place, 900)
        clock.now += 0.01
    table._c.set_progress_handler(lambda: steps.append(1) and None, 100)
    assert table.look([limit], 1000, []).wait_s == 0.0
    table.close()
    assert 100 * len(steps) < 8 * count  # instructions of the database
