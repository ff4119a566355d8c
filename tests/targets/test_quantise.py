import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stillhouse.targets.quantise import (
    COARSE,
    FINE,
    NOTHING,
    level_of_rest,
    level_of_share,
    max_error,
    to_levels,
    to_logprobs,
)


@given(st.floats(-600.0, 0.0))
def test_the_error_is_bounded_in_log_space_and_in_probability(logprob):
    back = float(to_logprobs(to_levels(logprob)))

    assert abs(back - logprob) <= max_error(logprob) <= COARSE / 2 + 1e-6
    assert abs(np.exp(back) - np.exp(logprob)) <= FINE / 2 * 1.03


def test_levels_are_their_own_levels():
    levels = np.arange(NOTHING + 1)

    np.testing.assert_array_equal(to_levels(to_logprobs(levels)), levels)


def test_ends():
    assert to_levels(0.0) == 0
    assert to_levels(1e-6) == 0
    assert to_logprobs(0) == 0.0
    assert to_levels(-np.inf) == to_levels(-1e4) == NOTHING
    assert to_logprobs(NOTHING) == -np.inf


def test_what_is_left_has_the_level_of_its_probability():
    levels = to_levels(np.log([[0.5, 0.2], [0.9, 0.0999], [0.6, 0.4], [0.7, 0.4]]) - 1e-9)

    found = level_of_rest(levels.astype(np.int64))

    assert abs(found[0] - to_levels(np.log(0.3))) <= 1
    assert to_logprobs(found[2:]).max() < np.log(1e-8)
    assert abs(level_of_share(np.array([7]), 50)[0] - to_levels(np.log(0.14))) <= 1
