import numpy as np
import pytest

from stillhouse.core.targets import TargetKey, TokenTargets
from stillhouse.targets.header import TargetHeader
from stillhouse.targets.write import TargetWriter

TOP_K = 8
VOCAB_SIZE = 5000
TEMPERATURES = (1.0, 2.0)


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


def build_targets(number, num_tokens=None, header=None):
    """The same targets for the same number, in every process: a teacher over a vocabulary in which
    some tokens are far more frequent than others."""
    header = header or build_header()
    random = np.random.default_rng(number)
    length = int(random.integers(0, 20)) if num_tokens is None else num_tokens
    vocab_size = header.vocab_size
    logits = -1.2 * np.log(np.arange(1, vocab_size + 1)) + random.normal(0, 2, (length, vocab_size))
    logprobs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    order = np.argsort(-logprobs, axis=1, kind="stable")[:, : header.top_k]
    token_ids = random.integers(0, min(40, vocab_size), length)
    ends = np.cumsum(random.integers(1, 6, length)) + 7
    starts = np.concatenate([[7], ends[:-1]])[:length]
    log_z = [
        np.log(np.exp(logprobs / temperature).sum(axis=1))
        if temperature != 1.0
        else np.zeros(length)
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
    )


@pytest.fixture(scope="session")
def header():
    return build_header()


@pytest.fixture
def make():
    return build_targets


@pytest.fixture
def fill(header):
    """Writes examples 0..n-1 to a folder and closes the store."""

    def write(folder, count, shard_examples=5, make=build_targets, header=header):
        with TargetWriter(folder, header, shard_examples) as writer:
            for number in range(writer.done, count):
                writer.append(make(number))
        return folder

    return write


def assert_kept(given, back):
    """What is lossless is equal, what is quantised within its bound."""
    from stillhouse.targets.quantise import COARSE, max_error
    from stillhouse.targets.rows import LOG_Z_STEP

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
    assert (np.abs(after - before)[finite] <= max_error(before)[finite] + shift).all()
    assert (np.diff(back.top_logprobs, axis=1) <= 0).all()
    is_tie = back.top_logprobs[:, 1:] == back.top_logprobs[:, :-1]
    assert (back.top_ids[:, 1:] > back.top_ids[:, :-1])[is_tie].all()
    observed = given.observed_logprobs.astype(np.float64)
    error = np.abs(back.observed_logprobs - observed)
    assert (error <= max_error(observed) + shift + 1e-3).all()
    assert np.abs(back.log_z - given.log_z).max(initial=0) <= LOG_Z_STEP / 2 + COARSE + 1e-5
    return True


@pytest.fixture
def kept():
    return assert_kept
