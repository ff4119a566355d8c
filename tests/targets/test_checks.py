import dataclasses

import numpy as np
import pytest
from tests.targets.builders import SIZES, build_targets, header_of

from stillhouse.core.errors import ShapeError, StillhouseError
from stillhouse.targets.checks import check


@pytest.mark.parametrize("codec", SIZES)
def test_good_targets_pass(codec):
    header = header_of(codec)

    assert check(build_targets(1, 5, header), header) is None


@pytest.mark.parametrize(
    ("name", "place", "value", "words"),
    [
        ("token_ids", 1, 300, "token_ids .* hold .* to 300; the vocabulary has 300"),
        ("top_ids", (1, 0), -1, "top_ids .* hold -1 to"),
        ("top_ids", (1, slice(0, 2)), 17, "hold the token 17 twice in one row"),
        ("top_logprobs", (1, 0), 0.5, "hold the probability 1"),
        ("byte_offsets", (1, 1), 0, "ends before it starts"),
        ("byte_offsets", (1, 1), 1 << 30, "reach 1073741824"),
        ("observed_logprobs", 1, np.nan, "holds NaN"),
        ("log_z", (1, 0), np.nan, "holds NaN"),
    ],
)
def test_what_cannot_be_a_teachers_word_is_refused(name, place, value, words):
    header = header_of("top_k")
    targets = build_targets(1, 5, header)
    getattr(targets, name)[place] = value

    with pytest.raises(StillhouseError, match=words):
        check(targets, header)


@pytest.mark.parametrize(
    ("name", "place", "value", "words"),
    [
        ("counts", (1, 0), 40, "each row has to sum to 0 or 12"),
        ("counts", (1, slice(0, 2)), (-1, 13), "each row has to sum to 0 or 12"),
        ("ids", (1, 0), 300, "draws .* hold 0 to 300"),
        ("entropy", 1, np.nan, r"draws\.entropy .* holds NaN"),
    ],
)
def test_draws_that_cannot_be_are_refused(name, place, value, words):
    header = header_of("top_k_sampled")
    targets = build_targets(1, 5, header)
    getattr(targets.draws, name)[place] = value

    with pytest.raises(StillhouseError, match=words):
        check(targets, header)


def test_a_kept_token_cannot_be_drawn():
    header = header_of("top_k_sampled")
    targets = build_targets(1, 5, header)
    targets.draws.ids[1, 0] = targets.top_ids[1, 2]

    with pytest.raises(StillhouseError, match="twice in one row"):
        check(targets, header)


def test_draws_and_header_have_to_agree():
    with_draws, without = header_of("sampled"), header_of("top_k")

    with pytest.raises(ShapeError, match=r"no draws; the header's num_draws is 50"):
        check(dataclasses.replace(build_targets(1, 5, with_draws), draws=None), with_draws)
    with pytest.raises(ShapeError, match="hold draws; the header's num_draws is 0"):
        check(build_targets(1, 5, with_draws), without)


def test_a_whole_vocabulary_holds_the_whole_probability():
    header = header_of("full")
    targets = build_targets(1, 5, header)
    targets.top_logprobs[2] -= 0.1

    with pytest.raises(StillhouseError, match=r"hold the probability 0\.9"):
        check(targets, header)


def test_shapes_are_named():
    header = header_of("sampled")
    targets = build_targets(1, 5, header)
    draws = dataclasses.replace(targets.draws, entropy=targets.draws.entropy[:3])

    with pytest.raises(ShapeError, match=r"draws\.entropy .* has the shape \(3,\); \(5,\)"):
        check(dataclasses.replace(targets, draws=draws), header)
