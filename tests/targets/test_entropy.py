import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.targets.entropy import MAX_FREE, Counter, Decoder, Encoder, IdPlaces
from stillhouse.targets.models import MAX_NUMBER, dump, fit_plain, load


def fitted(steps, vocab_size):
    counter = Counter(vocab_size)
    for step in steps:
        play(counter, step, step[-1])
    return load(dump(counter.fit()), vocab_size)


def play(coder, step, values):
    name, places, _ = step
    if name == "ids":
        return coder.ids(places, values)
    return coder.numbers(name, places, values)


def in_groups(sizes, contexts, kinds=None):
    """Places of ids in groups of these sizes."""
    left = np.concatenate([np.arange(size, 0, -1) for size in sizes])
    return IdPlaces(contexts, np.zeros_like(contexts) if kinds is None else kinds, left)


def there_and_back(steps, vocab_size=0):
    models = fitted(steps, vocab_size)
    encoder = Encoder(models)
    for step in steps:
        play(encoder, step, step[-1])
    packed = encoder.finish()
    decoder = Decoder(models, packed)
    return packed, [play(decoder, step, None) for step in steps]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(0, 300),
    num_contexts=st.sampled_from([1, 2, 40, 700]),
    most=st.sampled_from([0, 1, 40, 5000, MAX_NUMBER]),
)
def test_numbers_come_back(seed, count, num_contexts, most):
    random = np.random.default_rng(seed)
    values = (most * random.random(count) ** 4).astype(np.int64)
    contexts = random.integers(0, num_contexts, count)

    _, (back,) = there_and_back([("x", contexts, values)])

    np.testing.assert_array_equal(back, values)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    sizes=st.lists(st.integers(1, MAX_FREE), min_size=1, max_size=40),
    vocab_size=st.sampled_from([16, 300, 151_936]),
    num_kinds=st.sampled_from([1, 4]),
    before=st.booleans(),
)
def test_groups_come_back_also_where_few_bits_are_there_to_order_them(
    seed, sizes, vocab_size, num_kinds, before
):
    random = np.random.default_rng(seed)
    groups = [np.sort(random.choice(vocab_size, size, replace=False)) for size in sizes]
    values = np.concatenate(groups)
    contexts = np.repeat(random.integers(0, 3, len(sizes)), sizes)
    kinds = np.repeat(random.integers(0, num_kinds, len(sizes)), sizes)
    steps = [("ids", in_groups(sizes, contexts, kinds), values)]
    if before:
        noise = random.integers(0, 1000, 50)
        steps.append(("noise", np.zeros(50, np.int64), noise))

    _, back = there_and_back(steps, vocab_size)

    np.testing.assert_array_equal(back[0], values)
    if before:
        np.testing.assert_array_equal(back[1], noise)


def test_order_that_carries_nothing_costs_nothing():
    random = np.random.default_rng(0)
    values = np.concatenate([np.sort(random.choice(1024, 8, replace=False)) for _ in range(1000)])
    contexts = np.zeros(8000, np.int64)
    rest = ("rest", np.zeros(3000, np.int64), random.integers(0, 256, 3000))

    in_order, _ = there_and_back([("ids", in_groups([1] * 8000, contexts), values), rest], 1024)
    without, _ = there_and_back([("ids", in_groups([8] * 1000, contexts), values), rest], 1024)

    bits_of_order = np.log2(np.arange(1, 9)).sum()
    saved = 8 * (len(in_order) - len(without)) / 1000
    assert saved == pytest.approx(bits_of_order, rel=0.01)


def test_the_coder_comes_near_the_entropy():
    random = np.random.default_rng(0)
    share = 1 / np.arange(1, 3001) ** 1.1
    share /= share.sum()
    ids = random.permutation(5000)[random.choice(3000, 60_000, p=share)]
    counts = np.bincount(ids)
    seen = counts[counts > 0] / len(ids)

    places = in_groups([1] * len(ids), np.zeros(len(ids), np.int64))
    packed, _ = there_and_back([("ids", places, ids)], 5000)

    limit = -(seen * np.log2(seen)).sum()
    assert limit <= 8 * len(packed) / len(ids) <= 1.01 * limit


def test_contexts_are_kept_apart_only_where_it_pays():
    random = np.random.default_rng(0)
    alike = fit_plain(random.integers(50, 60, (20, 192)))
    counts = np.zeros((20, 192), np.int64)
    counts[np.arange(20), np.arange(20) * 3] = 1000

    assert len(alike.logs) == 1
    assert len(fit_plain(counts).logs) > 10


def test_damaged_models_are_refused():
    text = dump({"x": fit_plain(np.ones((1, 192), np.int64))})

    with pytest.raises(ValueError, match="checksum of the entropy models"):
        load(text[: len(text) // 2], 0)


def test_kinds_of_positions_are_worth_their_lists():
    random = np.random.default_rng(0)
    kinds = np.repeat(np.arange(1, 5), 5000)
    values = random.choice(50, 20_000) + 100 * kinds
    zeros = np.zeros(20_000, np.int64)

    without, _ = there_and_back([("ids", in_groups([1] * 20_000, zeros), values)], 1000)
    packed, (back,) = there_and_back([("ids", in_groups([1] * 20_000, zeros, kinds), values)], 1000)

    np.testing.assert_array_equal(back, values)
    assert 8 * (len(without) - len(packed)) / 20_000 == pytest.approx(2.0, abs=0.05)
