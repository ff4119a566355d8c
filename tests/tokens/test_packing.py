"""Examples share rows without any getting lost, and never at a higher price than padding."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillhouse.tokens.packing import pack_rows


@given(st.lists(st.integers(1, 60), min_size=1, max_size=40))
def test_every_example_stands_in_one_row_and_no_row_is_wider_than_the_longest(lengths):
    rows = pack_rows(lengths)
    assert sorted(index for row in rows for index in row) == list(range(len(lengths)))
    assert all(row for row in rows)
    assert max(sum(lengths[index] for index in row) for row in rows) == max(lengths)
    assert pack_rows(lengths) == rows


@pytest.mark.parametrize(
    ("lengths", "rows"),
    [
        ([5], [[0]]),
        ([4, 4, 4], [[0], [1], [2]]),
        ([3, 9, 6, 1], [[1], [2, 0], [3]]),
        ([2, 8, 2, 4, 2], [[1], [3, 0, 2], [4]]),
    ],
)
def test_the_longest_come_first_and_equals_in_their_order(lengths, rows):
    assert pack_rows(lengths) == rows


def test_lengths_as_they_occur_leave_under_a_fifth_of_the_tokens_to_padding():
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.lognormal(np.log(200), 0.6, (200, 8)), 16, 512).astype(int).tolist()
    tokens = sum(map(sum, lengths))
    packed = sum(len(pack_rows(batch)) * max(batch) for batch in lengths)
    padded = sum(len(batch) * max(batch) for batch in lengths)
    assert 1 - tokens / padded > 0.4
    assert 1 - tokens / packed < 0.2
