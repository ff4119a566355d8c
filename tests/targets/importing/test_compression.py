"""DistillKit's bytes are read as its own packer writes them."""

import numpy as np
import pytest
from pydantic import ValidationError
from tests.targets.importing.packers import bit_bytes, likeliest, pack_logprobs, teacher_says

from stillhouse.targets.importing.compression import Compression, unpack_ids, unpack_logprobs

EXACT = {"d": 300, "k": 8, "exact_k": 8, "exact_dtype": "float32", "residual_bins": []}
BUDGET = {
    "d": 151_936,
    "k": 50,
    "exact_k": 1,
    "exact_dtype": "bfloat16",
    "polynomial_terms": [0, 1, "sqrt"],
    "term_dtype": "float32",
    "residual_bins": [],
    "delta_encoding": False,
}
BINS = [
    {"scale_dtype": "float16", "element_bits": 8, "num_elements": 16},
    {"scale_dtype": "float32", "element_bits": 3, "num_elements": 13},
    {"scale_dtype": "bfloat16", "element_bits": 1, "num_elements": 5},
]


def rows_of(compression, *packed):
    return np.frombuffer(b"".join(packed), np.uint8).reshape(len(packed), -1)


def test_ids_are_one_stream_of_bits_with_the_highest_first():
    # 5 and 3 in three bits each: 101 011 00.
    compression = Compression(d=8, k=2, exact_k=2, residual_bins=())

    assert compression.index_bytes == 1
    assert unpack_ids(compression, np.array([[0b10101100]], np.uint8)).tolist() == [[5, 3]]


@pytest.mark.parametrize("vocab", [2, 255, 256, 257, 151_936])
def test_ids_come_back_whatever_the_vocabulary(vocab):
    compression = Compression(d=vocab, k=1, exact_k=1, residual_bins=())
    ids = [0, vocab // 2, vocab - 1]
    packed = [bit_bytes([token], compression.index_bits) for token in ids]

    assert unpack_ids(compression, rows_of(compression, *packed))[:, 0].tolist() == ids


def test_a_polynomial_by_hand():
    # 2 exact values, then 1 - 0.5 t + 0.25 sqrt(t) for t = 0, 1, 4 places further.
    compression = Compression(
        d=16, k=7, exact_k=2, exact_dtype="float16", polynomial_terms=(0, 1, "sqrt"),
        residual_bins=(), delta_encoding=False,
    )  # fmt: skip
    packed = np.float16([-0.5, -1.5]).tobytes() + np.float32([-2.0, -0.5, 0.25]).tobytes()

    found = unpack_logprobs(compression, rows_of(compression, packed))[0]

    t = np.arange(5)
    assert compression.logprob_bytes == len(packed)
    assert found[:2].tolist() == [-0.5, -1.5]
    np.testing.assert_allclose(found[2:], -2 - 0.5 * t + 0.25 * np.sqrt(t))


def test_residuals_by_hand():
    # Two bits hold -2, -1, 0, 1 as 0, 1, 2, 3; one bit holds -1 and 1; the last has none.
    bins = [
        {"scale_dtype": "float32", "element_bits": 2, "num_elements": 4},
        {"scale_dtype": "float32", "element_bits": 1, "num_elements": 2},
    ]
    compression = Compression(d=16, k=7, exact_k=0, residual_bins=bins, delta_encoding=False)
    packed = np.float32([0.5]).tobytes() + bytes([0b00011011])
    packed += np.float32([3.0]).tobytes() + bytes([0b01000000])

    found = unpack_logprobs(compression, rows_of(compression, packed))[0]

    assert found.tolist() == [-1.0, -0.5, 0.0, 0.5, -3.0, 3.0, 0.0]


def test_differences_are_added_up():
    compression = Compression(d=16, k=3, exact_k=3, residual_bins=())
    packed = np.float32([-0.25, -1.0, -0.5]).tobytes()

    found = unpack_logprobs(compression, rows_of(compression, packed))[0]

    assert found.tolist() == [-0.25, -1.25, -1.75]


@pytest.mark.parametrize("delta", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_exact_values_come_back_exactly(dtype, delta):
    config = EXACT | {"exact_dtype": dtype, "delta_encoding": delta}
    compression = Compression.model_validate(config)
    _, logprobs = likeliest(teacher_says(20, 300), 8)
    packed = [pack_logprobs(row, config) for row in logprobs]

    found = unpack_logprobs(compression, rows_of(compression, *packed))

    np.testing.assert_allclose(found, logprobs, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("changes", "most"),
    [({}, 1.0), ({"polynomial_terms": [0, 1, 2, 3, "sqrt"], "normalize_t": True}, 1.0),
     ({"residual_bins": BINS}, 1.0)],
    ids=["budget", "places from 0 to 1", "residuals"],
)  # fmt: skip
def test_what_is_approximate_is_near(changes, most):
    config = BUDGET | changes
    compression = Compression.model_validate(config)
    _, logprobs = likeliest(teacher_says(30, 2000), 50)
    logprobs = np.float32(logprobs).view(np.uint32) & 0xFFFF0000
    logprobs = np.sort(logprobs.view(np.float32).astype(np.float64), axis=1)[:, ::-1]
    packed = [pack_logprobs(row, config) for row in logprobs]

    found = unpack_logprobs(compression, rows_of(compression, *packed))

    assert compression.logprob_bytes == len(packed[0])
    assert np.array_equal(found[:, 0], logprobs[:, 0])
    assert np.abs(found - logprobs).max() < most
    assert np.abs(found - logprobs).mean() < 0.1


def test_residuals_bring_an_approximation_nearer():
    errors = []
    _, logprobs = likeliest(teacher_says(30, 2000), 50)
    for bins in ([], BINS[:1]):
        config = BUDGET | {"residual_bins": bins, "exact_dtype": "float32"}
        packed = [pack_logprobs(row, config) for row in logprobs]
        compression = Compression.model_validate(config)
        found = unpack_logprobs(compression, rows_of(compression, *packed))
        errors.append(np.abs(found - logprobs)[:, 1:17].max())

    assert errors[1] < 0.02 * errors[0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"exact_k": 9}, "more than k"),
        ({"exact_k": 4}, "polynomial_terms or residual_bins are needed"),
        ({"exact_k": 4, "residual_bins": BINS}, "more than the 4 entries"),
        ({"exact_dtype": "int8"}, "exact_dtype"),
        ({"colour": 1}, "colour"),
    ],
)
def test_a_compression_that_cannot_be_is_refused(changes, words):
    with pytest.raises(ValidationError, match=words):
        Compression.model_validate(EXACT | changes)
