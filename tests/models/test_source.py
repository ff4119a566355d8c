import json
import re
import shutil
import struct
import subprocess
import sys

import pytest
from safetensors.torch import load_file, save_file
from tests.models.tiny_models import CORPUS, save

from stillhouse.core.errors import ModelError
from stillhouse.models.source import context_tokens, open_folder, tokenizer_difference
from stillhouse.tokens.train import train_tokenizer


@pytest.fixture
def copy(folders, tmp_path):
    return shutil.copytree(folders["llama"], tmp_path / "model")


def edit_json(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def refusal(folder):
    with pytest.raises(ModelError) as caught:
        open_folder(folder)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_open_folder_reads_config_shapes_and_vocabulary(folders, tokenizer):
    folder = open_folder(folders["llama"])

    assert folder.config["model_type"] == "llama"
    assert folder.context_tokens == 128
    assert folder.num_rows == tokenizer.vocab_size == folder.tokenizer.vocab_size
    assert folder.shapes["model.embed_tokens.weight"] == (tokenizer.vocab_size, 32)


@pytest.mark.parametrize("family", ["qwen3", "gpt2", "gpt_oss"])
def test_open_folder_finds_the_embedding_of_every_family(folders, tokenizer, family):
    assert open_folder(folders[family]).num_rows == tokenizer.vocab_size


def test_open_folder_needs_no_torch(folders):
    code = (
        "import sys; from pathlib import Path; from stillhouse.models.source import open_folder;"
        "import stillhouse.models.hub;"
        "open_folder(Path(sys.argv[1])).weights_digest();"
        "assert not {'torch', 'transformers', 'safetensors'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(folders["llama"])], check=True)


def test_a_padded_vocabulary_is_normal(tokenizer, tokenizer_folder, tmp_path):
    padded = tokenizer.vocab_size + 20
    save("llama", tokenizer, tokenizer_folder, tmp_path, vocab_size=padded)

    assert open_folder(tmp_path).num_rows == padded


def test_a_missing_folder_is_named(tmp_path):
    assert f"there is no model folder {tmp_path / 'nothing'}" in refusal(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("config.json", "has no config.json"),
        ("tokenizer.json", "has no tokenizer.json\n  -> load it once with transformers"),
        ("model.safetensors", "has no model.safetensors and no model.safetensors.index.json"),
    ],
)
def test_a_missing_file_is_named(copy, name, said):
    (copy / name).unlink()

    assert said in refusal(copy)


def test_a_torn_config_is_named(copy):
    (copy / "config.json").write_text('{"model_type": ')
    assert "config.json is no JSON" in refusal(copy)

    (copy / "config.json").write_text("[1]")
    assert "config.json holds no JSON object" in refusal(copy)


def test_pickle_weights_are_refused_with_the_way_to_convert_them(copy):
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")

    said = refusal(copy)

    assert "holds pickle weights only (pytorch_model.bin)" in said
    assert "use_safetensors=False" in said


def test_an_index_that_names_a_missing_shard_is_refused(copy):
    (copy / "model.safetensors").rename(copy / "model-00001-of-00002.safetensors")
    files = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (copy / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))

    assert "model-00002-of-00002.safetensors is missing" in refusal(copy)


def test_an_index_cannot_name_a_file_outside_the_folder(copy):
    files = {"a": "../model/model.safetensors"}
    (copy / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))

    assert "../model/model.safetensors is missing" in refusal(copy)


def test_an_index_that_names_a_tensor_of_no_file_is_refused(copy):
    (copy / "model.safetensors").rename(copy / "one.safetensors")
    files = {"ghost.weight": "one.safetensors"}
    (copy / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))

    assert "no file holds 1 tensors of the index, first ghost.weight" in refusal(copy)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[:5],
        lambda data: data[:-7],
        lambda data: struct.pack("<Q", 1 << 60) + data[8:],
        lambda data: data[:8] + b"x" * (len(data) - 8),
    ],
    ids=["no header", "cut at the end", "header too long", "no JSON"],
)
def test_a_torn_weight_file_is_refused(copy, spoil):
    weights = copy / "model.safetensors"
    weights.write_bytes(spoil(weights.read_bytes()))

    assert "model.safetensors is no whole safetensors file" in refusal(copy)


def test_a_tokenizer_with_more_ids_than_the_embedding_has_rows_is_refused(copy, tokenizer):
    tokens = tokenizer.vocab_size
    edit_json(copy / "tokenizer_config.json", extra_special_tokens=["<|one|>", "<|two|>"])

    said = refusal(copy)

    assert f"the tokenizer's highest id is {tokens + 1}" in said
    assert f"the embedding has {tokens} rows (ids 0 to {tokens - 1})" in said


def test_weights_digest_follows_weights_and_config(copy, folders):
    before = open_folder(copy).weights_digest()
    assert before == open_folder(folders["llama"]).weights_digest()

    edit_json(copy / "config.json", rms_norm_eps=0.1)

    assert open_folder(copy).weights_digest() != before


def test_equal_tokenizers_pass_whatever_the_padding(folders):
    assert not tokenizer_difference(open_folder(folders["llama"]), open_folder(folders["gpt2"]))


def test_different_tokenizers_are_told_by_their_first_difference(
    folders, tokenizer, tokenizer_folder, tmp_path
):
    other = train_tokenizer(list("zyxw" * 9) + ["zyx zyx zyx"] * 9, 300, tmp_path / "tok")
    save("llama", other, tmp_path / "tok", tmp_path / "model")
    teacher = open_folder(folders["llama"])

    told = tokenizer_difference(teacher, open_folder(tmp_path / "model"))

    assert re.fullmatch(r"id 2\d\d is '.*' for the teacher and '.*' for the student", told)


def test_a_smaller_tokenizer_of_the_same_merges_is_another(folders, tmp_path):
    smaller = train_tokenizer(CORPUS, 280, tmp_path / "tok")
    save("llama", smaller, tmp_path / "tok", tmp_path / "model")

    told = tokenizer_difference(open_folder(folders["llama"]), open_folder(tmp_path / "model"))

    assert told == "300 ids against 280"


def test_other_special_tokens_are_a_difference(folders, copy):
    edit_json(copy / "tokenizer_config.json", eos_token="<|user|>")

    told = tokenizer_difference(open_folder(folders["llama"]), open_folder(copy))

    assert told.startswith("the same tokens, but other rules")


def test_a_model_without_an_embedding_or_vocab_size_is_refused(copy):
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    weights = struct.pack("<Q", len(header)) + header + bytes(4)
    (copy / "model.safetensors").write_bytes(weights)
    assert open_folder(copy).num_rows == 300

    edit_json(copy / "config.json", vocab_size=None)

    assert "no embedding found" in refusal(copy)


def test_a_sharded_model_is_read_whole(copy, folders):
    tensors = load_file(copy / "model.safetensors")
    (copy / "model.safetensors").unlink()
    names = sorted(tensors)
    shards = {"one.safetensors": names[:9], "two.safetensors": names[9:]}
    for file, part in shards.items():
        save_file({name: tensors[name] for name in part}, copy / file)
    files = {name: file for file, part in shards.items() for name in part}
    (copy / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))

    assert open_folder(copy).shapes == open_folder(folders["llama"]).shapes


def test_a_model_may_have_no_limit_of_its_own():
    assert context_tokens({"vocab_size": 3}) is None
    assert context_tokens({"n_positions": 9}) == 9
    assert context_tokens({"text_config": {"max_position_embeddings": 7}}) == 7
