"""Each part of the holdout is told with its own n, and no example is lost between parts."""

from __future__ import annotations

import numpy as np
import pytest

from stillhouse.core.errors import InputError
from stillhouse.evals.bootstrap import Resampling
from stillhouse.evals.scores import Scores
from stillhouse.evals.slices import (
    MOST_NAMES,
    OTHERS,
    Slice,
    by_size,
    on_slice,
    slice_columns,
    slices_of,
    summarise_slices,
)

RESAMPLING = Resampling(draws=100)


def scored(names, exact):
    ids = tuple(f"e{number}" for number in range(len(exact)))
    columns = {"exact": np.array(exact, float)} | slice_columns("genre", names)
    return Scores(ids, columns)


def test_each_part_is_measured_on_its_own_examples_alone():
    # given 3 of rock of which 2 are right, and 2 of folk, none right; one lies in both
    scores = scored([["rock"], ["rock"], ["rock", "folk"], ["folk"]], [1, 1, 0, 0])

    found = {item.name: item for item in summarise_slices(scores, ["exact_match"], RESAMPLING)}

    assert (found["rock"].n, found["rock"].value) == (3, pytest.approx(2 / 3))
    assert (found["folk"].n, found["folk"].value) == (2, 0.0)
    assert on_slice(scores, Slice("genre", "folk")).example_ids == ("e2", "e3")


def test_an_example_of_no_part_is_in_none_and_rare_names_come_together():
    names = [[f"g{number}"] for number in range(40)] + [["g0"], []]

    columns = slice_columns("genre", names)

    assert len(columns) == MOST_NAMES
    assert next(iter(columns)) == Slice("genre", "g0").column
    assert columns[Slice("genre", "g0").column].sum() == 2
    assert sum(column.sum() for column in columns.values()) == len(names)
    assert columns[Slice("genre", OTHERS).column].sum() > 1
    assert list(slice_columns("genre", [[]])) == ["slice:genre=none"]


def test_a_part_called_others_is_kept_apart_from_the_rare_ones():
    names = [[f"g{number}"] for number in range(40)] + [[OTHERS]] * 20

    columns = slice_columns("genre", names)

    assert columns[Slice("genre", OTHERS).column].sum() == 20
    assert columns[Slice("genre", "rare others").column].sum() == 40 - (MOST_NAMES - 2)


def test_a_part_that_is_not_there_is_refused_with_those_that_are():
    scores = scored([["rock"], ["folk"]], [1, 0])
    with pytest.raises(InputError, match=r"no part 'jazz' by genre"):
        on_slice(scores, Slice("genre", "jazz"))
    with pytest.raises(InputError, match=r"not cut by 'mood'"):
        on_slice(scores, Slice("mood", "sad"))


def test_names_with_any_sign_come_back_as_they_were():
    scores = scored([["a=b"], ["slice:"]], [1, 0])
    assert set(slices_of(scores)) == {Slice("genre", "a=b"), Slice("genre", "slice:")}


def test_sizes_fall_into_parts_of_about_equal_size_and_every_value_into_one():
    names = [name for (name,) in by_size(list(range(1, 101)), "characters")]

    assert list(dict.fromkeys(names)) == [
        "up to 25 characters",
        "over 25 to 50 characters",
        "over 50 to 75 characters",
        "over 75 characters",
    ]
    assert [names.count(name) for name in dict.fromkeys(names)] == [25, 25, 25, 25]
    assert by_size([7.0, 7.0]) == [["7"], ["7"]]
    assert by_size([1, 1, 1, 9]) == [["up to 1"]] * 3 + [["over 1"]]
