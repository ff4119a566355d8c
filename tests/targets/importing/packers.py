"""Small encoders of the formats that are imported, written from their description alone.

DistillKit, one position: the exact values, the factors of the polynomial, then each bin's scale
and its residuals; ids as one stream of bits with the highest bit first.
"""

import struct

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

_CODES = {"float16": "<e", "float32": "<f", "float64": "<d"}


def float_bytes(value, dtype):
    if dtype == "bfloat16":
        # Cut, not rounded: the tests take values that bfloat16 has.
        return struct.pack("<f", value)[2:]
    return struct.pack(_CODES[dtype], value)


def bit_bytes(numbers, bits):
    stream = "".join(format(int(number), f"0{bits}b") for number in numbers)
    stream += "0" * (-len(stream) % 8)
    return bytes(int(stream[start : start + 8], 2) for start in range(0, len(stream), 8))


def term(place, kind):
    return {"sqrt": np.sqrt, "exp": np.exp}[kind](place) if isinstance(kind, str) else place**kind


def pack_logprobs(logprobs, config):
    """The bytes of one position, likeliest first."""
    values = [float(value) for value in logprobs]
    if config.get("delta_encoding", True):
        values = [values[0], *np.diff(values)]
    exact = config["exact_k"]
    packed = b"".join(float_bytes(value, config["exact_dtype"]) for value in values[:exact])
    rest = np.array(values[exact:])
    if config.get("polynomial_terms"):
        ones = max(1, len(rest) - 1)
        places = [place / ones if config.get("normalize_t") else float(place)
                  for place in range(len(rest))]  # fmt: skip
        table = np.array([[term(place, kind) for kind in config["polynomial_terms"]]
                          for place in places])  # fmt: skip
        factors = np.linalg.lstsq(table, rest, rcond=None)[0]
        packed += b"".join(float_bytes(factor, config["term_dtype"]) for factor in factors)
        rest = rest - table @ factors
    start = 0
    for item in config["residual_bins"]:
        part = rest[start : start + item["num_elements"]]
        start += item["num_elements"]
        bits = item["element_bits"]
        half = 1 if bits == 1 else 2 ** (bits - 1)
        scale = (np.abs(part).max() / half) or 1.0
        packed += float_bytes(scale, item["scale_dtype"])
        if bits == 1:
            steps = [1 if value > 0 else 0 for value in part]
        else:
            steps = [min(max(round(v / scale), -half), half - 1) + half for v in part]
        packed += bit_bytes(steps, bits)
    return packed


def pack_row(ids, entry_ids, logprobs, config):
    """A row of DistillKit's table from the entries of each position, likeliest first."""
    bits = int(np.ceil(np.log2(config["d"])))
    return {
        "input_ids": list(map(int, ids)),
        "compressed_logprobs": [list(pack_logprobs(row, config)) for row in logprobs],
        "bytepacked_indices": [list(bit_bytes(row, bits)) for row in entry_ids],
    }


DISTILLKIT = pa.schema(
    [
        ("input_ids", pa.list_(pa.uint64())),
        ("compressed_logprobs", pa.list_(pa.list_(pa.uint8()))),
        ("bytepacked_indices", pa.list_(pa.list_(pa.uint8()))),
    ]
)


def write_rows(path, rows, schema=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
    return path


def teacher_says(count, vocab, *, seed=0, sharpness=3.0):
    """The log-probabilities of a teacher that is noise, (count, vocab), over the whole of it."""
    logits = np.random.default_rng(seed).normal(size=(count, vocab)) * sharpness
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def likeliest(logprobs, k):
    """Ids and log-probabilities of the k likeliest tokens of each position."""
    ids = np.argsort(-logprobs, axis=1)[:, :k]
    return ids, np.take_along_axis(logprobs, ids, axis=1)


def named_entries(logprobs, k):
    """The k likeliest tokens of each position as vLLM's server names them, in no order."""
    rows = zip(*likeliest(logprobs, k), strict=True)
    return [
        [{"token": f"token_id:{t}", "logprob": float(p)} for t, p in zip(*row, strict=True)][::-1]
        for row in rows
    ]
