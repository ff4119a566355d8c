"""A store whose checksums were made to fit what was changed in it: never more than one error."""

import hashlib
import json
import zlib

import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.targets.builders import SIZES, build_targets, header_of

from stillhouse.core.errors import ArtifactError
from stillhouse.core.hashing import digest_folder
from stillhouse.targets.codec import PackedShard, checksum, pack
from stillhouse.targets.damage import damage_is_clear
from stillhouse.targets.read import TargetReader
from stillhouse.targets.shard import write_shard
from stillhouse.targets.write import TargetWriter

TOKENS = 10


@pytest.fixture
def forge(tmp_path):
    """Writes a store of four examples, changes it, and mends every checksum; reads it whole."""

    def write(codec, row=None, models=None, index=None):
        header = header_of(codec)
        examples = [build_targets(number, TOKENS, header) for number in range(4)]
        for path in tmp_path.iterdir():
            path.unlink()
        with TargetWriter(tmp_path, header, 4) as writer:
            for targets in examples:
                writer.append(targets)
        packed = pack(examples, header)
        rows = [dict(each) for each in packed.rows]
        rows[1] |= row or {}
        rows[1]["crc32"] = checksum(rows[1])
        path = tmp_path / "shard-00000.parquet"
        found = models(packed.models) if models else packed.models
        write_shard(path, PackedShard(tuple(rows), found))
        whole = json.loads((tmp_path / "index.json").read_text())
        whole["shards"][0] |= {
            "num_bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        } | (index or {})
        (tmp_path / "index.json").write_text(json.dumps(whole))
        reader = TargetReader(tmp_path)
        reader.verify()
        return reader

    return write


def with_checksum(packed):
    return zlib.crc32(packed).to_bytes(4, "little") + packed


def remade(change):
    """Models whose heads and body go through `change`."""

    def remake(packed):
        whole = zlib.decompress(packed[4:])
        size = 4 + int.from_bytes(whole[:4], "little")
        heads, body = change(json.loads(whole[4:size]), whole[size:])
        head = json.dumps(heads).encode()
        return with_checksum(zlib.compress(len(head).to_bytes(4, "little") + head + body))

    return remake


def test_nothing_changed_is_nothing_refused(forge):
    assert len(forge("top_k")) == 4


@pytest.mark.parametrize("codec", SIZES)
@pytest.mark.parametrize("num_tokens", [-1, 9, 11, 5_000_000, 2**31 - 1])
def test_another_number_of_tokens_is_refused_before_anything_is_decoded(forge, codec, num_tokens):
    with pytest.raises(ArtifactError, match=r"shard-00000.*4 examples of \d+ tokens; the index"):
        forge(codec, {"num_tokens": num_tokens})


@pytest.mark.parametrize("codec", SIZES)
@pytest.mark.parametrize("num_tokens", [0, 9, 11, 13])
def test_another_number_of_tokens_is_refused_where_the_index_says_it_too(forge, codec, num_tokens):
    index = {"num_tokens": 3 * TOKENS + num_tokens}

    with pytest.raises(ArtifactError, match=r"shard-00000.*'example-000001'"):
        forge(codec, {"num_tokens": num_tokens}, index=index)


@pytest.mark.parametrize("codec", SIZES)
@pytest.mark.parametrize("packed", [b"abc", b"", b"\0" * 40, b"\xff" * 400])
def test_packed_targets_that_are_none_name_file_and_example(forge, codec, packed):
    with pytest.raises(ArtifactError, match=r"shard-00000.*'example-000001'"):
        forge(codec, {"targets": packed})


@pytest.mark.parametrize(
    ("models", "words"),
    [
        (lambda packed: b"", "impossible size"),
        (lambda packed: with_checksum(b"garbage"), "cannot be unpacked"),
        (lambda packed: with_checksum(zlib.compress(bytes(1 << 26), 9)), "impossible size"),
        (remade(lambda heads, body: ([], body)), "have no names"),
        (remade(lambda heads, body: ({}, b"")), "KeyError: 'kind'"),
        (remade(lambda heads, body: (heads, body + b"x")), "followed by something else"),
        (remade(lambda heads, body: (heads, body[:-1])), "smaller than requested"),
        (remade(lambda heads, body: (heads, b"\xff" * len(body))), "a group that it has not"),
        (remade(lambda heads, body: (heads, b"\x00" * len(body))), "impossible ids"),
    ],
)
def test_models_that_are_none_are_refused(forge, models, words):
    with pytest.raises(ArtifactError, match=rf"shard-00000.*{words}"):
        forge("top_k", models=models)


@pytest.mark.parametrize("value", [-1, 0, 2, 10**9, "x", None, 2.5, True])
@pytest.mark.parametrize("place", range(5))
def test_models_with_impossible_sizes_are_refused(forge, place, value):
    def change(heads, body):
        heads["ids"][place] = value
        return heads, body

    with pytest.raises(ArtifactError, match="shard-00000"):
        forge("top_k", models=remade(change))


def test_any_bytes_in_the_models_end_in_one_error_or_in_targets(forge):
    random = np.random.default_rng(0)
    refused = 0

    def change(heads, body):
        changed = np.frombuffer(body, np.uint8).copy()
        changed[random.integers(0, len(body), 3)] = random.integers(0, 256, 3)
        return heads, changed.tobytes()

    for codec in [*SIZES] * 5:
        try:
            forge(codec, models=remade(change))
        except ArtifactError:
            refused += 1

    assert refused > 15


def test_a_panic_of_the_coder_is_damage_and_an_interrupt_is_not(tmp_path):
    class PanicException(BaseException):
        """As pyo3 names it."""

    words = r"x is damaged, at the example 'a': Panic"
    with pytest.raises(ArtifactError, match=words), damage_is_clear(tmp_path / "x", "a"):
        raise PanicException("index out of bounds")
    with pytest.raises(KeyboardInterrupt), damage_is_clear(tmp_path / "x"):
        raise KeyboardInterrupt


@pytest.mark.parametrize("column", ["targets", "models"])
def test_a_damaged_shard_is_made_again_from_there(tmp_path, fill, header, column):
    fill(tmp_path / "whole", 12)
    folder = fill(tmp_path / "damaged", 12)
    (folder / "index.json").unlink()
    path = folder / "shard-00001.parquet"
    good = path.read_bytes()
    packed = pq.read_table(path)[column][0].as_py()
    at = good.index(packed) + len(packed) // 2
    path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])

    writer = TargetWriter(folder, header, 5)
    done = writer.done
    writer.abandon()
    fill(folder, 12)

    assert done == 5
    assert digest_folder(folder) == digest_folder(tmp_path / "whole")
