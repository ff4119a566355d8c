"""A plateau is told where a loss levels off, and not while it falls, however noisy it is."""

import math

import numpy as np
import pytest

from stillhouse.students.trend import Plateau, falls, window_of


def level_since(losses, window=10):
    plateau = Plateau(window)
    for loss in losses:
        plateau.add(loss)
    return plateau.level_since


def noise(count, size, seed=0):
    return np.random.default_rng(seed).normal(size=count) * size


def test_a_loss_that_levels_after_a_hundred_steps_is_told_near_there():
    # given the founding description: falls, then stabilises after about 100 of 200 iterations
    steps = np.arange(200)
    losses = 2.0 + 2.0 * np.maximum(0.0, 1.0 - steps / 100) + noise(200, 0.02)
    assert 90 <= level_since(losses) <= 115


@pytest.mark.parametrize("seed", range(5))
def test_a_noisy_loss_that_falls_to_the_end_is_not_level(seed):
    losses = 4.0 - 3.0 * np.arange(200) / 200 + noise(200, 0.05, seed)
    assert level_since(losses) is None


@pytest.mark.parametrize("seed", range(5))
def test_a_level_loss_is_level_from_its_first_windows_on(seed):
    assert 10 <= level_since(2.0 + noise(100, 0.1, seed)) <= 20


def test_a_fall_of_less_than_a_hundredth_a_window_does_not_pass_for_level_for_ever():
    losses = 2.0 * np.exp(-0.0005 * np.arange(200))
    since = [level_since(losses[:steps]) for steps in range(20, 201)]
    assert since[0] == 10
    assert None in since


def test_a_loss_that_falls_again_is_no_longer_level():
    losses = [*np.full(40, 3.0), *np.linspace(3.0, 1.0, 40)]
    assert level_since(losses[:40]) == 10
    assert level_since(losses) is None


def test_less_than_two_windows_tell_nothing():
    assert level_since(np.full(19, 1.0)) is None
    assert level_since(np.full(20, 1.0)) == 10


def test_a_window_is_a_twentieth_of_a_training_and_ten_steps_at_least():
    assert [window_of(steps) for steps in (5, 200, 201, 4000)] == [10, 10, 11, 200]


def naive_mann_kendall(values):
    count, sign = len(values), 0
    for i in range(count):
        for j in range(i + 1, count):
            sign += int(values[j] > values[i]) - int(values[j] < values[i])
    return sign / math.sqrt(count * (count - 1) * (2 * count + 5) / 18)


def test_falling_is_what_the_mann_kendall_test_says_of_ten_means():
    for seed in range(20):
        losses = 2.0 - 0.002 * np.arange(100) + noise(100, 0.3, seed)
        means = losses.reshape(10, 10).mean(1)
        statistic = naive_mann_kendall(means) + 1 / math.sqrt(10 * 9 * 25 / 18)
        assert falls(losses) == (statistic <= -1.645 and means[-1] < 0.99 * means[0])


def test_a_steady_fall_is_told_and_a_level_a_rising_or_a_short_loss_is_not():
    assert falls(np.linspace(3.0, 1.0, 100))
    assert falls([4.0, 3.0, 2.0, 1.0])
    assert not falls(np.full(100, 2.0))
    assert not falls(np.linspace(1.0, 3.0, 100))
    assert not falls([3.0, 2.0, 1.0])
    assert not falls(np.linspace(3.0, 2.99, 100))


def test_chance_alone_seldom_passes_for_a_fall():
    told = sum(falls(noise(100, 1.0, seed)) for seed in range(400))
    assert told <= 0.08 * 400
