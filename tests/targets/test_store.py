import dataclasses
import errno
import json
import random

import numpy as np
import pyarrow.parquet as pq
import pytest

from stillhouse.core.errors import ArtifactError, DiskFullError, ShapeError, StillhouseError
from stillhouse.core.hashing import digest_folder
from stillhouse.core.targets import TargetKey
from stillhouse.targets import read, shard, write
from stillhouse.targets.header import TargetHeader
from stillhouse.targets.read import TargetReader
from stillhouse.targets.write import TargetWriter


def test_a_shuffled_reader_gets_what_was_written(tmp_path, fill, make, kept, header):
    reader = TargetReader(fill(tmp_path, 23), header)

    order = list(range(23))
    random.Random(0).shuffle(order)
    for number in order:
        assert kept(make(number), reader.get(f"example-{number:06d}"))
    assert len(reader) == 23
    assert reader.example_ids == tuple(f"example-{number:06d}" for number in range(23))
    assert reader.num_tokens == sum(len(make(number).token_ids) for number in range(23))
    assert "example-000001" in reader
    assert "other" not in reader


def test_a_reader_keeps_few_groups_and_files(tmp_path, fill, make, kept, monkeypatch):
    monkeypatch.setattr(read, "_GROUPS_KEPT", 2)
    monkeypatch.setattr(read, "_FILES_KEPT", 1)
    reader = TargetReader(fill(tmp_path, 40))

    for number in (0, 39, 17, 0, 22, 5, 39):
        assert kept(make(number), reader.get(f"example-{number:06d}"))

    assert len(reader._groups._kept) <= 2
    assert len(reader._files._kept) <= 1


def test_long_examples_make_small_groups(tmp_path, fill, make, monkeypatch):
    monkeypatch.setattr(shard, "GROUP_BYTES", 2000)
    fill(tmp_path, 6, make=lambda number: make(number, num_tokens=100))

    file = pq.ParquetFile(tmp_path / "shard-00000.parquet")

    assert file.num_row_groups == 3
    TargetReader(tmp_path).verify()


def test_arrays_may_be_written_to(tmp_path, fill):
    reader = TargetReader(fill(tmp_path, 3))
    first = reader.get("example-000001")

    first.top_logprobs[:] = 0.0

    assert (reader.get("example-000001").top_logprobs != 0.0).any()


def test_shards_hold_plain_columns_that_anyone_can_read(tmp_path, fill, make):
    fill(tmp_path, 3)

    table = pq.read_table(tmp_path / "shard-00000.parquet")

    assert table["example_id"].to_pylist() == [f"example-{number:06d}" for number in range(3)]
    assert table["num_tokens"].to_pylist() == [len(make(number).token_ids) for number in range(3)]
    assert table["view_digest"][2].as_py() == make(2).key.view_digest


def test_an_empty_store_is_a_store(tmp_path, fill):
    reader = TargetReader(fill(tmp_path, 0))

    reader.verify()
    assert len(reader) == 0


@pytest.mark.parametrize("stop", [1, 5, 7, 12])
def test_interrupted_writing_gives_the_same_bytes(tmp_path, fill, header, make, stop):
    fill(tmp_path / "whole", 12)
    writer = TargetWriter(tmp_path / "broken", header, 5)
    for number in range(stop):
        writer.append(make(number))
    writer.abandon()

    again = TargetWriter(tmp_path / "broken", header, 5)
    done = again.done
    again.abandon()
    fill(tmp_path / "broken", 12)

    assert done == stop // 5 * 5
    assert digest_folder(tmp_path / "whole") == digest_folder(tmp_path / "broken")


def test_an_error_in_the_loop_leaves_whole_shards_only(tmp_path, header, make):
    def dying_teacher():
        yield from (make(number) for number in range(3))
        raise RuntimeError("teacher died")

    def write():
        with TargetWriter(tmp_path, header, 2) as writer:
            for targets in dying_teacher():
                writer.append(targets)

    with pytest.raises(RuntimeError, match="teacher died"):
        write()

    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["header.json", "shard-00000.parquet"]
    with pytest.raises(ArtifactError, match=r"not finished.*index\.json"):
        TargetReader(tmp_path)


def test_torn_and_partial_shards_are_made_again(tmp_path, fill, header):
    fill(tmp_path / "whole", 12)
    fill(tmp_path / "torn", 12)
    (tmp_path / "torn" / "index.json").unlink()
    (tmp_path / "torn" / ".shard-00003.parquet.tmp").write_bytes(b"PAR1 half")
    shard = tmp_path / "torn" / "shard-00001.parquet"
    shard.write_bytes(shard.read_bytes()[:-7])

    writer = TargetWriter(tmp_path / "torn", header, 5)
    done = writer.done
    writer.abandon()
    left = sorted(path.name for path in (tmp_path / "torn").iterdir())
    fill(tmp_path / "torn", 12)

    assert done == 5
    assert left == ["header.json", "shard-00000.parquet"]
    assert digest_folder(tmp_path / "whole") == digest_folder(tmp_path / "torn")


def test_another_shard_size_starts_again(tmp_path, fill, header, make):
    writer = TargetWriter(tmp_path, header, 5)
    for number in range(6):
        writer.append(make(number))
    writer.abandon()

    assert TargetWriter(tmp_path, header, 4).done == 0


def test_a_finished_store_takes_nothing_more(tmp_path, fill, header, make):
    fill(tmp_path, 7)
    before = digest_folder(tmp_path)

    writer = TargetWriter(tmp_path, header, 5)

    assert (writer.done, writer.is_closed) == (7, True)
    with pytest.raises(ArtifactError, match="finished"):
        writer.append(make(7))
    writer.close()
    assert digest_folder(tmp_path) == before


def test_writer_refuses_another_header_by_name(tmp_path, fill, header):
    fill(tmp_path, 3)
    other = header.model_copy(update={"weights_digest": "x", "top_k": 4})

    with pytest.raises(ArtifactError, match=r"weights_digest is 'w', wanted is 'x'; top_k is 8"):
        TargetWriter(tmp_path, other, 5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tokenizer_digest": "z"}, "tokenizer_digest is 't', wanted is 'z'"),
        ({"kd_temperatures": (1.0,)}, r"kd_temperatures is \(1.0, 2.0\), wanted is \(1.0,\)"),
        ({"nonsense": 1}, "no field nonsense"),
    ],
)
def test_reader_refuses_another_header_by_name(tmp_path, fill, change, words):
    fill(tmp_path, 3)

    with pytest.raises(ArtifactError, match=words):
        TargetReader(tmp_path, change)
    assert len(TargetReader(tmp_path, {"top_k": 8, "kd_temperatures": [1.0, 2.0]})) == 3


def test_wrong_keys_are_refused_by_name(tmp_path, fill, make):
    reader = TargetReader(fill(tmp_path, 3))
    key = make(1).key

    reader.get_for(key)
    with pytest.raises(ArtifactError, match="completion_digest is"):
        reader.get_for(TargetKey(key.example_id, "x", key.view_digest))
    with pytest.raises(ArtifactError, match="view_digest is"):
        reader.get_for(TargetKey(key.example_id, key.completion_digest, "x"))
    with pytest.raises(ArtifactError, match="nothing for the example 'ghost'"):
        reader.get_for(TargetKey("ghost", "x", "x"))


def test_every_flipped_byte_is_noticed(tmp_path, fill):
    fill(tmp_path, 5)
    path = tmp_path / "shard-00000.parquet"
    good = path.read_bytes()

    for at in range(3, len(good), 61):
        path.write_bytes(good[:at] + bytes([good[at] ^ 0xFF]) + good[at + 1 :])
        with pytest.raises(ArtifactError, match="shard-00000"):
            TargetReader(tmp_path).verify()


def test_a_flipped_byte_in_a_column_name_is_refused(tmp_path, fill):
    path = fill(tmp_path, 5) / "shard-00000.parquet"
    good = path.read_bytes()
    for name in shard.ROW:
        at = 2 + good.index(bytes([0x18, len(name)]) + name.encode())  # in the footer's schema
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        with pytest.raises(ArtifactError, match=r"shard-00000.parquet is damaged"):
            TargetReader(tmp_path).verify()


def test_a_flipped_number_names_shard_and_example(tmp_path, fill):
    fill(tmp_path, 12)
    path = tmp_path / "shard-00001.parquet"
    good = path.read_bytes()
    packed = pq.read_table(path)["targets"][2].as_py()
    at = good.index(packed) + len(packed) // 2
    path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
    reader = TargetReader(tmp_path)

    reader.get("example-000006")
    with pytest.raises(ArtifactError, match=r"'example-000007'.*shard-00001.*checksum"):
        reader.get("example-000007")


def test_truncated_and_missing_shards_are_refused_when_opened(tmp_path, fill):
    fill(tmp_path, 12)
    path = tmp_path / "shard-00001.parquet"

    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ArtifactError, match=r"shard-00001.parquet has \d+ bytes"):
        TargetReader(tmp_path)
    path.unlink()
    with pytest.raises(ArtifactError, match=r"shard-00001.parquet is missing"):
        TargetReader(tmp_path)


@pytest.mark.parametrize("name", ["header.json", "index.json"])
def test_torn_json_files_are_named(tmp_path, fill, name):
    fill(tmp_path, 2)
    (tmp_path / name).write_text("{")

    with pytest.raises(ArtifactError, match=name):
        TargetReader(tmp_path)


def test_a_folder_without_header_is_no_store(tmp_path):
    with pytest.raises(ArtifactError, match=r"no header\.json"):
        TargetReader(tmp_path)


def test_an_example_twice_is_refused(tmp_path, header, make):
    with TargetWriter(tmp_path, header, 5) as writer:
        writer.append(make(1))
        writer.append(make(1))

    with pytest.raises(ArtifactError, match="'example-000001' again"):
        TargetReader(tmp_path)


def test_wrong_shapes_and_nan_are_refused(tmp_path, header, make):
    writer = TargetWriter(tmp_path, header, 5)
    broken = make(1, num_tokens=3)
    broken.top_logprobs[1, 2] = np.nan

    with pytest.raises(
        ShapeError, match=r"top_ids of example example-000001 has the shape \(3, 4\)"
    ):
        writer.append(make(1, 3, header.model_copy(update={"top_k": 4})))
    with pytest.raises(StillhouseError, match="NaN"):
        writer.append(broken)
    with pytest.raises(ValueError, match="at least 1"):
        TargetWriter(tmp_path, header, 0)
    assert writer.done == 0


def test_a_full_disk_is_clear_and_keeps_whole_shards(tmp_path, fill, header, make, monkeypatch):
    def no_space(path, shard):
        raise OSError(errno.ENOSPC, "No space left on device")

    writer = TargetWriter(tmp_path / "full", header, 5)
    for number in range(5):
        writer.append(make(number))
    with monkeypatch.context() as patch:
        patch.setattr(write, "write_shard", no_space)
        for number in range(5, 9):
            writer.append(make(number))
        with pytest.raises(DiskFullError, match="full"):
            writer.append(make(9))
    writer.abandon()

    fill(tmp_path / "full", 12)
    fill(tmp_path / "whole", 12)

    assert digest_folder(tmp_path / "full") == digest_folder(tmp_path / "whole")


def test_header_refuses_a_temperature_twice_and_unknown_fields(header):
    fields = header.model_dump()

    for change in ({"kd_temperatures": (1.0, 1.0)}, {"kd_temperatures": (0.0,)}, {"color": 1}):
        with pytest.raises(ValueError, match="validation error"):
            TargetHeader.model_validate(fields | change)


def test_index_counts_examples_and_tokens(tmp_path, fill, make):
    fill(tmp_path, 12)

    index = json.loads((tmp_path / "index.json").read_text())

    assert [shard["num_rows"] for shard in index["shards"]] == [5, 5, 2]
    assert index["shards"][2]["num_tokens"] == sum(len(make(n).token_ids) for n in (10, 11))


@pytest.mark.parametrize("older", [1, 2])
def test_a_store_of_an_older_format_is_refused(tmp_path, fill, older):
    fill(tmp_path, 2)
    path = tmp_path / "header.json"
    path.write_text(path.read_text().replace('"format_version": 3', f'"format_version": {older}'))

    with pytest.raises(ArtifactError, match=rf"format_version {older}; .*\n.*label again"):
        TargetReader(tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"codec": "full"}, "wants top_k 5000, the whole vocabulary"),
        ({"codec": "sampled"}, "does not go with top_k 8 and num_draws 0"),
        ({"top_k": 0}, "does not go with top_k 0"),
        ({"top_k": 5001}, "at vocab_size 5000"),
        ({"num_draws": 3}, "codec top_k does not go with top_k 8 and num_draws 3"),
        ({"codec": "top_k_sampled", "num_draws": 3}, "draws are made at one kd_temperature"),
    ],
)
def test_a_header_whose_sizes_do_not_fit_its_codec_is_refused(header, change, words):
    with pytest.raises(ValueError, match=words):
        TargetHeader.model_validate(header.model_dump() | change)


def test_ids_may_hold_any_letters(tmp_path, header, make):
    names = ["Ünïcode/例え 🥃", 'a"b\\c', " "]
    with TargetWriter(tmp_path, header, 5) as writer:
        for number, name in enumerate(names):
            targets = make(number)
            key = TargetKey(name, targets.key.completion_digest, targets.key.view_digest)
            writer.append(dataclasses.replace(targets, key=key))

    reader = TargetReader(tmp_path)

    assert reader.example_ids == tuple(names)
    assert all(reader.get(name).key.example_id == name for name in names)


def test_shards_stand_alone(tmp_path, fill, header, make, kept):
    fill(tmp_path / "all", 12)
    index = json.loads((tmp_path / "all" / "index.json").read_text())
    index["shards"] = index["shards"][1:]
    (tmp_path / "all" / "index.json").write_text(json.dumps(index))

    reader = TargetReader(tmp_path / "all")

    assert kept(make(11), reader.get("example-000011"))


def test_damaged_entropy_models_are_named(tmp_path, fill):
    fill(tmp_path, 5)
    path = tmp_path / "shard-00000.parquet"
    good = path.read_bytes()
    models = pq.read_table(path)["models"][0].as_py()
    at = good.index(models) + len(models) // 2
    path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
    reader = TargetReader(tmp_path)

    with pytest.raises(ArtifactError, match=r"shard-00000.*checksum of the entropy models"):
        reader.get("example-000002")


def test_the_gradient_of_a_stored_teacher_is_the_teachers(tmp_path, header, make):
    header = header.model_copy(update={"top_k": 64, "kd_temperatures": (1.0,)})
    targets = make(3, 300, header)
    with TargetWriter(tmp_path, header, 1) as writer:
        writer.append(targets)
    stored = TargetReader(tmp_path).get(targets.key.example_id)
    student = targets.top_logprobs + np.random.default_rng(0).normal(0, 0.5, (300, 64))
    student_probs = np.exp(student - student.max(axis=1, keepdims=True))
    student_probs /= student_probs.sum(axis=1, keepdims=True) * 1.1

    def gradient(of):
        """Of forward KL over the kept entries and a tail, which many small entries share."""
        order = np.argsort(of.top_ids, axis=1)
        teacher = np.take_along_axis(np.exp(of.top_logprobs.astype(np.float64)), order, axis=1)
        mine = np.take_along_axis(student_probs, np.argsort(targets.top_ids, axis=1), axis=1)
        return mine - teacher

    wrong = np.linalg.norm(gradient(stored) - gradient(targets))
    assert wrong < 0.01 * np.linalg.norm(gradient(targets))
