"""The sampler pairs evenly, whatever the order, and loses nothing."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillhouse.core.errors import AccountingError, InputError
from stillhouse.core.rows import Emit, Row
from stillhouse.data.account import check_balance, run_step
from stillhouse.data.pairing import PairStep, Setting, choose, settings_of
from stillhouse.recipes.data_steps import PairWith


def pair_with(**more):
    return PairWith.model_validate({"file": "c.jsonl", "as": "context", **more})


ROWS = [Row(f"r{number}", {"prompt": f"p{number}"}, f"f:{number}") for number in range(60)]
SETTINGS = [Setting(f"c{number}", f"text {number}") for number in range(7)]


@given(
    st.integers(1, 80), st.integers(1, 12), st.integers(1, 5), st.integers(0, 4), st.integers(0, 9)
)
def test_every_setting_is_used_equally_often_and_none_twice_by_a_row(
    num_rows, num_settings, fewest, more, seed
):
    fewest = min(fewest, num_settings)
    chosen = choose(
        [f"r{number}" for number in range(num_rows)], num_settings, (fewest, fewest + more), seed
    )

    used = Counter(place for places in chosen.values() for place in places)
    counts = [used[place] for place in range(num_settings)]
    assert max(counts) - min(counts) <= 1
    assert all(len(set(places)) == len(places) for places in chosen.values())
    assert all(
        fewest <= len(places) <= min(num_settings, fewest + more) for places in chosen.values()
    )


def test_the_order_of_the_rows_changes_nothing_and_the_seed_does():
    ids = [row.row_id for row in ROWS]

    assert choose(ids, 7, (2, 5), 0) == choose(ids[::-1], 7, (2, 5), 0)
    assert choose(ids, 7, (2, 5), 0) != choose(ids, 7, (2, 5), 1)
    assert {len(places) for places in choose(ids, 7, (2, 5), 0).values()} == {2, 3, 4, 5}


def test_each_pair_is_a_row_with_its_parent_and_the_count_balances():
    kept, dropped, count = run_step(PairStep(pair_with(at_least=2, at_most=5), SETTINGS), ROWS)

    assert dropped == []
    assert count.rows_in + count.emitted == count.rows_out == len(kept)
    check_balance([count], len(ROWS), len(kept))
    assert len({row.row_id for row in kept}) == len(kept)
    assert {row.root_id for row in kept} == {row.row_id for row in ROWS}
    first = kept[0]
    assert first.parent_ids == ("r0",)
    place = int(first.fields["context_id"][1:])
    assert first.fields == {"prompt": "p0", "context": f"text {place}", "context_id": f"c{place}"}


def test_a_row_that_is_made_into_nothing_fails_the_step():
    class Loses:
        name, version, kind = "loses", 1, "expand"

        def process(self, batch):
            return [Emit(row, ()) for row in batch]

    with pytest.raises(AccountingError, match="step loses: the row r0"):
        run_step(Loses(), ROWS)


def test_settings_have_names_and_texts():
    found = settings_of([{"id": "a", "text": "one"}, {"text": "two"}, {"x": 1, "y": 2}], "c.jsonl")

    assert [setting.value for setting in found] == ["one", "two", {"x": 1, "y": 2}]
    assert found[0].name == "a"
    assert len({setting.name for setting in found}) == 3
    counted = settings_of([{"id": 0, "text": "one"}, {"id": 1.0, "text": "two"}], "c.jsonl")
    assert [setting.name for setting in counted] == ["0", "1"]


@pytest.mark.parametrize(
    ("records", "said"),
    [([], "c.jsonl holds no setting"), ([{"id": 1}, {"id": 1}], "two settings have the id '1'")],
)
def test_settings_that_cannot_be_told_apart_are_refused(records, said):
    with pytest.raises(InputError, match=said):
        settings_of(records, "c.jsonl")


def test_more_settings_than_there_are_cannot_be_chosen():
    with pytest.raises(InputError, match="each prompt needs 3 settings, there are 2"):
        choose(["a"], 2, (3, 3), 0)
