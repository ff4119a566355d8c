"""The head of a GGUF file: nothing in it is believed."""

import random
import struct
import time
from contextlib import suppress

import gguf
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stillhouse.core.errors import ModelError
from stillhouse.engines import gguf_head
from stillhouse.engines.gguf_head import read_gguf_head


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("gguf") / "whole.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(2)
    writer.add_token_list(["a", "bé", ""])
    writer.add_token_scores([0.5, -1.0, 2.0])
    writer.add_tensor("a.weight", np.arange(12, dtype=np.float32).reshape(3, 4))
    writer.add_tensor("b.bias", np.arange(3, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.read_bytes()


def refused(tmp_path, data):
    path = tmp_path / "m.gguf"
    path.write_bytes(data)
    with pytest.raises(ModelError, match="no whole GGUF file") as error:
        read_gguf_head(path)
    return error.value.message


def test_a_whole_file_is_read(whole, tmp_path):
    (tmp_path / "m.gguf").write_bytes(whole)

    head = read_gguf_head(tmp_path / "m.gguf")

    assert head.architecture == "llama"
    assert head.facts["llama.block_count"] == 2
    assert head.facts["tokenizer.ggml.tokens"] == 3
    assert head.shapes == {"a.weight": (3, 4), "b.bias": (3,)}


def test_a_file_cut_off_anywhere_is_refused(whole, tmp_path):
    last = len(whole) - 32 + 3 * 4  # of the last tensor; the rest is padding
    for end in range(last):
        refused(tmp_path, whole[:end])


@pytest.mark.parametrize("place", [8, 16])
@pytest.mark.parametrize("count", [1 << 20, 1 << 40, (1 << 64) - 1])
def test_a_huge_count_is_refused_at_once(place, count, whole, tmp_path):
    start = time.process_time()

    told = refused(tmp_path, whole[:place] + struct.pack("<Q", count) + whole[place + 8 :])

    assert f"it says {count}" in told
    assert time.process_time() - start < 0.5


def test_no_file_is_a_clear_refusal(tmp_path):
    with pytest.raises(ModelError, match="there is no file"):
        read_gguf_head(tmp_path / "none.gguf")


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 10**9))
def test_changed_bytes_are_read_or_refused_and_nothing_else(seed, whole, tmp_path):
    draw = random.Random(seed)
    data = bytearray(whole)
    for _ in range(draw.randint(1, 6)):
        data[draw.randrange(len(data))] = draw.choice([0, 1, 8, 9, 255, draw.randrange(256)])
    (tmp_path / "m.gguf").write_bytes(data)
    with suppress(ModelError):
        read_gguf_head(tmp_path / "m.gguf")


def test_the_table_of_kinds_is_that_of_the_package():
    for kind, (numbers, size) in gguf.GGML_QUANT_SIZES.items():
        if int(kind) in gguf_head._KINDS:
            assert gguf_head._KINDS[int(kind)] == (kind.name, numbers, size)
    assert int(gguf.GGMLQuantizationType.MXFP4) in gguf_head._KINDS


def test_a_kind_that_is_not_known_takes_what_is_there(whole, tmp_path):
    (tmp_path / "m.gguf").write_bytes(_with_kind(whole, "a.weight", 77))
    head = read_gguf_head(tmp_path / "m.gguf")
    assert head.bytes_by_kind() == {"F32": 12, "kind 77": 64}  # 48, and padding up to the next


def _with_kind(data, name, kind):
    place = data.index(name.encode()) + len(name) + 4 + 2 * 8
    return data[:place] + struct.pack("<I", kind) + data[place + 4 :]
