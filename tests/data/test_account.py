from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillhouse.core.errors import AccountingError
from stillhouse.core.rows import Drop, Keep, Row, StepCount
from stillhouse.data.account import check_balance, run_step

ROWS = [Row(str(index), {"n": index}, f"a:{index}") for index in range(20)]


@dataclass(frozen=True)
class Sieve:
    dropped: frozenset[int]
    lost: frozenset[int] = frozenset()
    name: str = "sieve"
    version: int = 1
    kind: str = "map"

    def process(self, batch):
        return [
            Drop(row, f"reason {int(row.row_id) % 3}")
            if int(row.row_id) in self.dropped
            else Keep(row)
            for row in batch
            if int(row.row_id) not in self.lost
        ]


indices = st.frozensets(st.integers(0, 19))


@given(st.lists(indices, max_size=4))
def test_any_chain_of_honest_steps_balances(sieves):
    current, counts, num_dropped = ROWS, [], 0
    for dropped in sieves:
        current, drops, count = run_step(Sieve(dropped), current)
        counts.append(count)
        num_dropped += len(drops)

    check_balance(counts, len(ROWS), len(current))
    assert len(current) + num_dropped == len(ROWS)
    assert [row for row in ROWS if row in current] == current


@given(indices, indices.filter(bool))
def test_a_step_that_loses_any_row_is_caught(dropped, lost):
    with pytest.raises(AccountingError, match="step sieve"):
        run_step(Sieve(dropped, lost), ROWS)


@pytest.mark.parametrize("outcome", [None, Keep(ROWS[1])])
def test_an_outcome_must_belong_to_its_row(outcome):
    class Odd(Sieve):
        def process(self, batch):
            return [outcome for _ in batch]

    with pytest.raises(AccountingError, match=r"the row 0 \(a:0\) has no outcome") as caught:
        run_step(Odd(frozenset()), ROWS[:1])
    assert caught.value.exit_code == 1


def test_a_step_that_invents_rows_is_caught():
    class Odd(Sieve):
        def process(self, batch):
            return [Keep(row) for row in batch] + [Keep(batch[0])]

    with pytest.raises(AccountingError, match="20 rows went in, 21 outcomes came out"):
        run_step(Odd(frozenset()), ROWS)


@pytest.mark.parametrize(
    ("counts", "rows_out", "message"),
    [
        ([StepCount("a", 9, 9)], 9, "step a: 10 rows came from before, it counted 9"),
        (
            [StepCount("a", 10, 8, {"x": 1})],
            8,
            "step a: 10 rows in and 0 emitted, but 8 out, 1 dropped",
        ),
        ([StepCount("a", 10, 9, {"x": 1}), StepCount("b", 8, 8)], 8, "step b: 9 rows came"),
        ([StepCount("a", 10, 10)], 9, "10 rows left the last step, 9 were handed on"),
    ],
)
def test_counts_that_do_not_balance_are_named(counts, rows_out, message):
    with pytest.raises(AccountingError, match=message):
        check_balance(counts, 10, rows_out)


def test_a_row_to_which_only_a_score_comes_is_not_counted_as_changed():
    @dataclass(frozen=True)
    class Scoring(Sieve):
        def process(self, batch):
            made = [{"n": 1, "score": 0.5}, {"n": 2, "score": 0.5}, {"score": 0.5}]
            return [
                Keep(replace(row, fields=fields)) for row, fields in zip(batch, made, strict=True)
            ]

    rows = [Row(name, {"n": 1}, f"a:{name}") for name in "abc"]
    assert run_step(Scoring(frozenset()), rows)[2].changed == 2
