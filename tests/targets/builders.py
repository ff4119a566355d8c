"""Targets of a teacher over a vocabulary in which some tokens are far more frequent than others."""

import numpy as np

from stillhouse.core.targets import Draws, TargetKey, TokenTargets
from stillhouse.targets.header import TargetHeader

TOP_K = 8
VOCAB_SIZE = 5000
TEMPERATURES = (1.0, 2.0)
SIZES = {"full": (40, 0), "top_k": (8, 0), "sampled": (0, 50), "top_k_sampled": (4, 12)}


def build_header(**changes):
    fields = {
        "engine": "fake",
        "weights_digest": "w",
        "tokenizer_digest": "t",
        "template_digest": "c",
        "vocab_size": VOCAB_SIZE,
        "top_k": TOP_K,
        "kd_temperatures": TEMPERATURES,
    }
    return TargetHeader(**(fields | changes))


def header_of(codec, **changes):
    """A small header of a codec."""
    top_k, num_draws = SIZES[codec]
    fields = {
        "codec": codec,
        "top_k": top_k,
        "num_draws": num_draws,
        "vocab_size": top_k if codec == "full" else 300,
        "kd_temperatures": (2.0,) if num_draws else TEMPERATURES,
    }
    return build_header(**(fields | changes))


def build_targets(number, num_tokens=None, header=None, spread=2.0):
    """The same targets for the same number, in every process."""
    header = header or build_header()
    random = np.random.default_rng(number)
    length = int(random.integers(0, 20)) if num_tokens is None else num_tokens
    vocab_size = header.vocab_size
    logits = -1.2 * np.log(np.arange(1, vocab_size + 1)) + random.normal(
        0, spread, (length, vocab_size)
    )
    logits -= logits.max(axis=1, keepdims=True)
    logprobs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    order = np.argsort(-logprobs, axis=1, kind="stable")[:, : header.top_k]
    token_ids = random.integers(0, min(40, vocab_size), length)
    ends = np.cumsum(random.integers(1, 6, length)) + 7
    starts = np.concatenate([[7], ends[:-1]])[:length]
    log_z = [
        np.log(np.exp(logprobs / temperature).sum(axis=1)) * (temperature != 1.0)
        for temperature in header.kd_temperatures
    ]
    return TokenTargets(
        key=TargetKey(f"example-{number:06d}", f"{number:064x}", f"{number + 1:064x}"),
        token_ids=token_ids.astype(np.int32),
        byte_offsets=np.stack([starts, ends], 1).astype(np.int32),
        observed_logprobs=logprobs[np.arange(length), token_ids].astype(np.float32),
        top_ids=order.astype(np.int32),
        top_logprobs=np.take_along_axis(logprobs, order, axis=1).astype(np.float32),
        log_z=np.stack(log_z, axis=1).astype(np.float32),
        draws=_draw(random, logprobs, order, header) if header.num_draws else None,
    )


def _draw(random, logprobs, kept, header):
    temperature = header.kd_temperatures[0]
    softened = np.exp(logprobs / temperature)
    softened /= softened.sum(axis=1, keepdims=True)
    entropy = -(softened * np.log(np.maximum(softened, 1e-300))).sum(axis=1)
    np.put_along_axis(softened, kept, 0.0, axis=1)
    found = []
    for row in softened:
        if row.sum() < 1e-9:
            found.append((np.zeros(0, int), np.zeros(0, int)))
        else:
            drawn = random.choice(header.vocab_size, header.num_draws, p=row / row.sum())
            found.append(np.unique(drawn, return_counts=True))
    width = max((len(ids) for ids, _ in found), default=0)
    arrays = np.zeros((2, len(found), width), np.int32)
    for row, (ids, counts) in enumerate(found):
        arrays[0, row, : len(ids)], arrays[1, row, : len(ids)] = ids, counts
    return Draws(arrays[0], arrays[1], entropy.astype(np.float32))


def assert_kept(given, back):
    """What is lossless is equal, what is quantised within its bound."""
    from stillhouse.targets.quantise import COARSE, max_error
    from stillhouse.targets.rows import ENTROPY_STEP, LOG_Z_STEP

    assert back.key == given.key
    np.testing.assert_array_equal(back.token_ids, given.token_ids, strict=True)
    np.testing.assert_array_equal(back.byte_offsets, given.byte_offsets, strict=True)
    assert back.top_ids.dtype == given.top_ids.dtype
    assert back.top_ids.shape == given.top_ids.shape
    mine, its = np.argsort(given.top_ids, axis=1), np.argsort(back.top_ids, axis=1)
    take = np.take_along_axis
    np.testing.assert_array_equal(take(back.top_ids, its, 1), take(given.top_ids, mine, 1))
    before = take(given.top_logprobs, mine, 1).astype(np.float64)
    after = take(back.top_logprobs, its, 1).astype(np.float64)
    assert (np.isneginf(before) == np.isneginf(after)).all()
    finite = np.isfinite(before)
    shift = COARSE / 2  # of the sum that is made 1 again
    assert (np.abs(after[finite] - before[finite]) <= max_error(before)[finite] + shift).all()
    with np.errstate(invalid="ignore"):
        assert not (np.diff(back.top_logprobs, axis=1) > 0).any()
    is_tie = back.top_logprobs[:, 1:] == back.top_logprobs[:, :-1]
    assert (back.top_ids[:, 1:] > back.top_ids[:, :-1])[is_tie].all()
    observed = given.observed_logprobs.astype(np.float64)
    both = np.isneginf(observed) & np.isneginf(back.observed_logprobs)
    error = np.abs(np.where(both, 0, back.observed_logprobs) - np.where(both, 0, observed))
    assert (error <= max_error(observed) + shift + 1e-3).all()
    assert np.abs(back.log_z - given.log_z).max(initial=0) <= LOG_Z_STEP / 2 + COARSE + 1e-5
    assert (back.draws is None) == (given.draws is None)
    if given.draws is not None:
        width = back.draws.ids.shape[1]
        np.testing.assert_array_equal(back.draws.ids, given.draws.ids[:, :width], strict=True)
        np.testing.assert_array_equal(back.draws.counts, given.draws.counts[:, :width], strict=True)
        assert not given.draws.counts[:, width:].any()
        wrong = np.abs(back.draws.entropy - given.draws.entropy)
        assert wrong.max(initial=0) <= ENTROPY_STEP / 2 + 1e-6
    return True
