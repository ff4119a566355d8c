import numpy as np
import pytest

from stillhouse.core.targets import TargetKey, TokenTargets
from stillhouse.targets.header import TargetHeader
from stillhouse.targets.write import TargetWriter

TOP_K = 8
TEMPERATURES = (1.0, 2.0)


def build_targets(number, num_tokens=None, top_k=TOP_K):
    """The same targets for the same number, in every process."""
    random = np.random.default_rng(number)
    length = int(random.integers(0, 20)) if num_tokens is None else num_tokens
    starts = np.arange(length, dtype=np.int32)
    log_z = random.random((length, len(TEMPERATURES))).astype(np.float32)
    log_z[:, 0] = 0.0
    return TokenTargets(
        key=TargetKey(f"example-{number:06d}", f"{number:064x}", f"{number + 1:064x}"),
        token_ids=random.integers(0, 5000, length).astype(np.int32),
        byte_offsets=np.stack([starts, starts + 1], axis=1),
        observed_logprobs=-random.random(length).astype(np.float32),
        top_ids=random.integers(0, 5000, (length, top_k)).astype(np.int32),
        top_logprobs=-np.sort(random.random((length, top_k))).astype(np.float32),
        log_z=log_z,
    )


@pytest.fixture(scope="session")
def header():
    return TargetHeader(
        engine="fake",
        weights_digest="w",
        tokenizer_digest="t",
        template_digest="c",
        vocab_size=5000,
        top_k=TOP_K,
        kd_temperatures=TEMPERATURES,
    )


@pytest.fixture
def make():
    return build_targets


@pytest.fixture
def fill(header):
    """Writes examples 0..n-1 to a folder and closes the store."""

    def write(folder, count, shard_examples=5, make=build_targets):
        with TargetWriter(folder, header, shard_examples) as writer:
            for number in range(writer.done, count):
                writer.append(make(number))
        return folder

    return write


@pytest.fixture
def same():
    def compare(one, other):
        assert one.key == other.key
        for name in TokenTargets.__dataclass_fields__:
            if name != "key":
                mine, its = getattr(one, name), getattr(other, name)
                assert mine.dtype == its.dtype, name
                np.testing.assert_array_equal(mine, its, strict=True)
        return True

    return compare
