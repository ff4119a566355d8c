import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.targets.builders import SIZES, assert_kept, build_header, build_targets, header_of

from stillhouse.core.targets import Draws
from stillhouse.targets import kinds
from stillhouse.targets.checks import check
from stillhouse.targets.codec import pack, shard_kinds, unpack
from stillhouse.targets.models import load


def round_trip(examples, header):
    for example in examples:
        check(example, header)
    shard = pack(examples, header)
    models = load(shard.models, header.vocab_size)
    return [unpack(row, header, models) for row in shard.rows]


@pytest.mark.parametrize("codec", SIZES)
@settings(max_examples=25, deadline=None)
@given(
    number=st.integers(0, 10_000),
    lengths=st.lists(st.integers(0, 40), min_size=1, max_size=3),
    spread=st.sampled_from([0.0, 1.0, 3.0, 30.0]),
)
def test_a_shard_gives_back_what_it_took(codec, number, lengths, spread):
    header = header_of(codec)
    examples = [
        build_targets(number + at, length, header, spread) for at, length in enumerate(lengths)
    ]

    back = round_trip(examples, header)

    assert all(map(assert_kept, examples, back))


@pytest.mark.parametrize(
    "header",
    [
        header_of("top_k", top_k=1),
        header_of("top_k", top_k=2),
        header_of("top_k", top_k=64, vocab_size=64),
        header_of("top_k", top_k=64, vocab_size=151_936),
        header_of("full", top_k=1, vocab_size=1),
        header_of("full", top_k=2, vocab_size=2),
        header_of("full", top_k=400, vocab_size=400, kd_temperatures=(1.0, 3.0, 0.5)),
        header_of("sampled", num_draws=1, kd_temperatures=(1.0,)),
        header_of("sampled", num_draws=2, vocab_size=2),
        header_of("sampled", num_draws=500, vocab_size=151_936),
        header_of("top_k_sampled", top_k=64, num_draws=3, vocab_size=65),
    ],
    ids=lambda header: f"{header.codec}-{header.top_k}-{header.num_draws}-{header.vocab_size}",
)
def test_sizes_at_their_ends(header):
    examples = [build_targets(number, length, header) for number, length in enumerate((1, 0, 3))]

    back = round_trip(examples, header)

    assert all(map(assert_kept, examples, back))


@pytest.mark.parametrize("codec", ["top_k", "sampled", "top_k_sampled"])
def test_kinds_of_positions_change_nothing_that_comes_back(codec, monkeypatch):
    monkeypatch.setattr(kinds, "_ENTRIES_A_KIND", 100)
    header = header_of(codec)
    examples = [build_targets(number, 30, header) for number in range(4)]

    assert max(found.max() for found in shard_kinds(examples, header)) > 1
    assert all(map(assert_kept, examples, round_trip(examples, header)))


def test_nothing_but_empty_examples():
    header = build_header()

    back = round_trip([build_targets(number, 0) for number in range(3)], header)

    assert [len(targets.token_ids) for targets in back] == [0, 0, 0]


def test_certain_and_impossible_entries():
    header = build_header(top_k=3)
    targets = build_targets(1, 4, header)
    targets.top_logprobs[:] = [
        [0, -np.inf, -np.inf],
        [-1e-4, -9, -500],
        [-1, -2, -np.inf],
        [-90] * 3,
    ]
    targets.observed_logprobs[:] = [0.0, -np.inf, -300.0, -90.0]

    (back,) = round_trip([targets], header)

    assert assert_kept(targets, back)
    np.testing.assert_array_equal(back.top_logprobs[0], [0, -np.inf, -np.inf])


def test_an_observed_token_is_the_kept_entry():
    header = build_header(top_k=4)
    targets = build_targets(1, 30, header)
    targets.token_ids[:] = targets.top_ids[:, 2]
    targets.observed_logprobs[:] = targets.top_logprobs[:, 2]

    (back,) = round_trip([targets], header)

    at = (back.top_ids == back.token_ids[:, None]).argmax(axis=1)
    np.testing.assert_array_equal(back.observed_logprobs, back.top_logprobs[np.arange(30), at])


def test_an_observed_log_probability_of_another_forward_pass_stays_its_own():
    header = build_header(top_k=4)
    targets = build_targets(1, 30, header)
    targets.token_ids[:] = targets.top_ids[:, 0]
    targets.observed_logprobs[:] = targets.top_logprobs[:, 0] - 1.0

    assert assert_kept(targets, round_trip([targets], header)[0])


def test_kept_entries_and_tail_hold_exactly_the_probability_1():
    header = build_header(top_k=64, kd_temperatures=(1.0,))
    targets = build_targets(3, 200, header, spread=1.0)

    (back,) = round_trip([targets], header)

    tails = 1 - np.exp(targets.top_logprobs.astype(np.float64)).sum(axis=1)
    found = 1 - np.exp(back.top_logprobs.astype(np.float64)).sum(axis=1)
    np.testing.assert_allclose(found, tails, rtol=0.04, atol=2e-3)
    assert (found > -1e-6).all()


@pytest.mark.parametrize("temperature", [0.1, 0.2, 0.5])
def test_a_low_temperature_leaves_an_unsure_teacher_the_tail_that_it_has(temperature):
    """Where no token is likely, the whole sum of exp(logprob / T) is far below exp(-24)."""
    header = build_header(top_k=4, kd_temperatures=(temperature,))
    logprobs = np.random.default_rng(0).normal(size=(12, header.vocab_size))
    logprobs -= np.log(np.exp(logprobs).sum(axis=1, keepdims=True))
    top_ids = np.argsort(-logprobs, axis=1)[:, :4].astype(np.int32)
    given = dataclasses.replace(
        build_targets(0, 12, header),
        top_ids=top_ids,
        top_logprobs=np.take_along_axis(logprobs, top_ids, axis=1).astype(np.float32),
        log_z=np.log(np.exp(logprobs / temperature).sum(axis=1))[:, None].astype(np.float32),
    )

    (back,) = round_trip([given], header)

    tails = [
        1 - np.exp(one.top_logprobs / temperature - one.log_z).sum(axis=1) for one in (given, back)
    ]
    np.testing.assert_allclose(*tails, atol=0.05)


def test_unused_draws_may_hold_anything_and_are_trimmed():
    header = header_of("sampled", num_draws=4)
    targets = build_targets(5, 6, header)
    ids, counts = targets.draws.ids, targets.draws.counts
    wide = Draws(
        np.pad(ids, ((0, 0), (0, 3)), constant_values=7),
        np.pad(counts, ((0, 0), (0, 3))),
        targets.draws.entropy,
    )

    (back,) = round_trip([dataclasses.replace(targets, draws=wide)], header)

    assert assert_kept(targets, back)


def test_a_position_without_anything_left_to_draw_from():
    header = header_of("top_k_sampled")
    targets = build_targets(5, 6, header)
    targets.draws.counts[2] = 0
    targets.draws.ids[2] = 0

    assert assert_kept(targets, round_trip([targets], header)[0])
