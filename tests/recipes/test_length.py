"""How many steps a training takes: one formula, for `check`, the twin and the trainer."""

import pytest
from pydantic import ValidationError

from stillhouse.recipes.training import Length


@pytest.mark.parametrize(
    ("examples", "steps"), [(1332, 133), (2000, 200), (5000, 200), (19, 1), (9, 1), (0, 1)]
)
def test_one_step_per_ten_examples_is_capped_at_most_steps(examples, steps):
    length = Length(one_step_per=10, most_steps=200)
    assert length.num_steps(examples) == steps


def test_a_training_of_epochs_stops_at_whichever_comes_first():
    assert Length(epochs=2.0, most_steps=133).num_steps(1332) == 133
    assert Length(epochs=2.0, most_steps=1000).num_steps(1332) == 334
    assert Length(epochs=2.0).num_steps(1332) == 334


def test_effective_epochs_count_the_rows_of_every_step():
    founding = Length(one_step_per=10, most_steps=200, batch_size=1, accumulation=8)
    assert founding.num_epochs(1332) == pytest.approx(133 * 8 / 1332, rel=0.005)
    assert Length(epochs=3.0).num_epochs(100) == 3.0
    assert Length(steps=10, batch_size=50).num_epochs(100) == 5.0


def test_processes_side_by_side_share_an_epoch_and_not_a_number_of_steps():
    assert Length(epochs=2.0, batch_size=5).num_steps(100, processes=2) == 20
    assert Length(one_step_per=10).num_steps(100, processes=2) == 10


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({}, "exactly one of steps, epochs and one_step_per"),
        ({"steps": 3, "epochs": 1.0}, "exactly one of steps, epochs and one_step_per"),
        ({"epochs": 1.0, "one_step_per": 10}, "exactly one of steps, epochs and one_step_per"),
        ({"steps": 3, "most_steps": 2}, "most_steps caps epochs or one_step_per"),
        ({"one_step_per": 0}, "greater than or equal to 1"),
    ],
)
def test_a_length_that_says_two_things_is_refused(said, why):
    with pytest.raises(ValidationError, match=why):
        Length(**said)


def test_the_same_batches_for_known_steps_say_nothing_else():
    length = Length(one_step_per=10, most_steps=200, batch_size=3).of_steps(7)
    assert length == Length(steps=7, batch_size=3)
