import json
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.core.errors import InputError, ModelError
from stillhouse.tokens.tokenizer import load_tokenizer

TEXTS = [
    "",
    "Hello world",
    "  two  spaces\n\n\tnew \n",
    "日本語 and 😀👩‍👩‍👧 e\u0301 é",
    "<s>hi</s> <|endoftext|>x<|end|><|user|>",
    "a\u2581b",
    "tail ",
    "numbers 12345 and it's don't",
]
FAMILIES = {
    "gpt2": "GPT2Tokenizer",
    "qwen": "Qwen2Tokenizer",
    "phi-2": "CodeGenTokenizer",
    "mistral-7b-v0.1": "LlamaTokenizer",
    "t5-small": "T5Tokenizer",
}


def copy_with(folder, target, **config):
    shutil.copytree(folder, target)
    path = target / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    return target


@settings(max_examples=40, deadline=None)
@given(text=st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_ids_equal_those_of_transformers(tiny, auto, text):
    ids, _ = tiny.encode(text)

    assert ids.tolist() == auto(text, add_special_tokens=False)["input_ids"]


@settings(max_examples=40, deadline=None)
@given(text=st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_byte_spans_tile_the_text_and_decode_gives_it_back(tiny, text):
    ids, spans = tiny.encode_spans(text)

    assert np.array_equal(spans[1:, 0], spans[:-1, 1])
    assert spans.size == 0 or (spans[0, 0] == 0 and spans[-1, 1] == len(text.encode()))
    assert tiny.decode(ids, skip_special=False) == text


@pytest.mark.parametrize("name", FAMILIES)
def test_real_families_have_the_ids_that_transformers_gives(families, tmp_path, name):
    import transformers

    source = families / name
    if name == "gpt2":
        from tokenizers import ByteLevelBPETokenizer

        backend = ByteLevelBPETokenizer(str(source / "vocab.json"), str(source / "merges.txt"))
        theirs = transformers.PreTrainedTokenizerFast(
            tokenizer_object=backend._tokenizer, eos_token="<|endoftext|>"
        )
    else:
        theirs = transformers.AutoTokenizer.from_pretrained(source)
    theirs.save_pretrained(tmp_path)

    ours = load_tokenizer(tmp_path)

    for text in TEXTS:
        ids, spans = ours.encode_spans(text)
        assert ids.tolist() == theirs(text, add_special_tokens=False)["input_ids"], text
        assert (np.diff(spans[:, 0]) >= 0).all()
        assert spans.size == 0 or spans.max() <= len(text.encode())
    assert ours.vocab_size == len(theirs)
    assert ours.eos_id == theirs.eos_token_id


@pytest.mark.parametrize("name", ["phi-2", "t5-small"])
def test_a_save_by_transformers_does_not_change_the_digest(families, tmp_path, name):
    import transformers

    before = load_tokenizer(families / name)
    transformers.AutoTokenizer.from_pretrained(families / name).save_pretrained(tmp_path)

    assert load_tokenizer(tmp_path).digest == before.digest


def test_mistral_keeps_the_spaces_of_its_own_file(families):
    # transformers 5 rebuilds Llama tokenizers and loses one of two leading spaces
    ours = load_tokenizer(families / "mistral-7b-v0.1")

    ids, _ = ours.encode("  two")

    assert [ours.token_of(token) for token in ids.tolist()] == ["▁▁", "▁two"]


def test_spans_inside_a_character_are_exact(tiny):
    text = "x\U0001fae0y"  # not in the corpus, so one token a byte

    _, spans = tiny.encode_spans(text)
    _, char_offsets = tiny.encode(text)

    inside = spans[(char_offsets == [1, 2]).all(axis=1)]
    assert len(inside) > 1  # the corpus has no such face, so several tokens share it
    assert inside[0, 0] == 1
    assert inside[-1, 1] == 5
    assert np.array_equal(inside[1:, 0], inside[:-1, 1])


def test_tokens_that_only_the_config_names_are_added(tiny_folder, tmp_path):
    from transformers import AutoTokenizer

    entry = {"content": "<|tool|>", "special": True, "normalized": False}
    folder = copy_with(
        tiny_folder,
        tmp_path / "t",
        added_tokens_decoder={"9999": entry},
        eos_token={"__type": "AddedToken", "content": "<|done|>", "special": True},
        additional_special_tokens=["<|more|>"],
    )

    ours, theirs = load_tokenizer(folder), AutoTokenizer.from_pretrained(folder)

    text = "yes<|tool|>no<|done|><|more|>"
    assert ours.encode(text)[0].tolist() == theirs(text, add_special_tokens=False)["input_ids"]
    assert (ours.eos_id, ours.vocab_size) == (theirs.eos_token_id, len(theirs))


def test_truncation_and_padding_of_the_file_are_ignored(tiny_folder, tmp_path):
    from tokenizers import Tokenizer

    folder = tmp_path / "t"
    shutil.copytree(tiny_folder, folder)
    backend = Tokenizer.from_file(str(folder / "tokenizer.json"))
    backend.enable_truncation(3)
    backend.enable_padding(length=20)
    backend.save(str(folder / "tokenizer.json"))

    ours = load_tokenizer(folder)

    assert len(ours.encode("the quick brown fox jumps over")[0]) > 3
    assert len(ours.encode("the")[0]) == 1
    assert ours.digest == load_tokenizer(tiny_folder).digest


def test_digest_tells_tokenizers_apart(tiny, tiny_folder, tmp_path):
    other_eos = load_tokenizer(copy_with(tiny_folder, tmp_path / "a", eos_token="<|user|>"))
    other_pad = load_tokenizer(copy_with(tiny_folder, tmp_path / "b", pad_token="<|end|>"))

    assert other_eos.digest != tiny.digest
    assert other_pad.digest == tiny.digest


def test_decode_can_leave_special_tokens_out(tiny):
    ids, _ = tiny.encode("yes<|end|>")

    assert tiny.decode(ids) == "yes"
    assert tiny.decode(ids, skip_special=False) == "yes<|end|>"


def test_pad_falls_back_to_the_end_token(tiny_folder, tmp_path):
    ours = load_tokenizer(copy_with(tiny_folder, tmp_path / "t", pad_token=None))

    assert ours.pad_id == ours.eos_id
    assert ours.bos_token is None


def test_missing_eos_is_named_with_its_mend(tiny_folder, tmp_path):
    ours = load_tokenizer(copy_with(tiny_folder, tmp_path / "t", eos_token=None))

    with pytest.raises(ModelError, match="eos_token"):
        _ = ours.eos_id


def test_folder_without_tokenizer_json_says_what_to_do(tmp_path):
    with pytest.raises(ModelError, match="AutoTokenizer and save_pretrained") as caught:
        load_tokenizer(tmp_path)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("tokenizer.json", "{}", "is not a tokenizer"),
        ("tokenizer_config.json", "{", "is not JSON"),
        ("tokenizer_config.json", "[]", "no JSON object"),
    ],
)
def test_broken_files_are_named(tiny_folder, tmp_path, name, text, words):
    folder = tmp_path / "t"
    shutil.copytree(tiny_folder, folder)
    (folder / name).write_text(text)

    with pytest.raises(ModelError, match=words):
        load_tokenizer(folder)


def test_half_a_surrogate_pair_is_refused(tiny):
    with pytest.raises(InputError, match="character 3"):
        tiny.encode("yes\ud800")


def test_chat_template_is_found_in_each_of_its_places(tiny_folder, tmp_path):
    named = [{"name": "tool_use", "template": "T"}, {"name": "default", "template": "D"}]
    listed = copy_with(tiny_folder, tmp_path / "a", chat_template=named)
    filed = copy_with(tiny_folder, tmp_path / "b")
    (filed / "chat_template.jinja").write_text("F")
    none = copy_with(tiny_folder, tmp_path / "c", chat_template=None)
    unnamed = copy_with(tiny_folder, tmp_path / "d", chat_template=named[:1])

    assert load_tokenizer(listed).chat_template == "D"
    assert load_tokenizer(filed).chat_template == "F"
    assert load_tokenizer(none).chat_template is None
    assert load_tokenizer(listed).template_digest != load_tokenizer(filed).template_digest
    with pytest.raises(ModelError, match="tool_use"):
        load_tokenizer(unnamed)
