"""Our files in llama.cpp itself: logits, ids, adapters, and what its own converter writes.

What was measured is printed; `make test-long` shows it.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import unicodedata
from importlib.util import find_spec

import gguf
import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from tests.conftest import SHARED_DATA
from tests.models.tiny_models import CONFIGS, CORPUS, save
from tokenizers import (
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)

from stillhouse.core.errors import EngineDiedError, ModelError
from stillhouse.export.gguf_cutting import CUTTINGS
from stillhouse.export.gguf_lora import write_gguf_adapter
from stillhouse.export.gguf_model import GgufFacts, write_gguf
from stillhouse.export.merge import merge_student, write_adapter
from stillhouse.models.load import load_model
from stillhouse.models.scratch import build_scratch, save_model
from stillhouse.recipes.models import Scratch
from stillhouse.tokens.template import PlainTemplate
from stillhouse.tokens.tokenizer import load_tokenizer

if find_spec("llama_cpp") is None:
    pytest.skip("make test-long installs llama-cpp-python", allow_module_level=True)
from stillhouse.engines.gguf_examiner import GgufExaminer, quantise_gguf

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("llama_cpp")]

FACTS = GgufFacts("tiny")
FAMILIES = ("qwen3", "qwen2", "llama", "gpt2")
LARGEST = {"qwen3": 1e-4, "qwen2": 1e-4, "llama": 1e-4, "gpt2": 5e-3}
"""llama.cpp looks GPT-2's GELU up in a table of half precision."""
CONVERTER = os.environ.get("STILLHOUSE_TEST_LLAMA_CPP", "")
"""The folder `vendor/llama.cpp` of llama-cpp-python's source distribution."""
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
YARN = {
    "rope_type": "yarn",
    "factor": 4.0,
    "original_max_position_embeddings": 32,
    "rope_theta": 10000.0,
}
SHAPES = {
    "untied": ("qwen3", {"tie_word_embeddings": False}),
    "tied": ("llama", {"tie_word_embeddings": True}),
    "biased": ("llama", {"attention_bias": True}),
    "llama3": ("llama", {"rope_parameters": LLAMA3}),
    "yarn": ("qwen3", {"rope_parameters": YARN}),
    "linear": ("llama", {"rope_parameters": {"rope_type": "linear", "factor": 2.0,
                                             "rope_theta": 10000.0}}),
    "odd inner": ("gpt2", {"n_inner": 80}),
    "untied gpt2": ("gpt2", {"tie_word_embeddings": False}),
}  # fmt: skip


@pytest.fixture(scope="module")
def prompts(tokenizer):
    texts = [
        "<|user|>the quick brown fox über 🦊 {'intent': 'refund'}<|end|><|assistant|>",
        "home again\n\n  and again, yes: 0123456789 naïve 漢字",
        "<|system|>maybe<|end|>" * 12,
    ]
    return [tokenizer.encode(text)[0] for text in texts]


def logits(model, ids):
    with torch.no_grad():
        return model(input_ids=torch.from_numpy(ids).long()[None]).logits[0].numpy()


def write(tokenizer, tokenizer_folder, template, folder, family, weights="f32", **changes):
    config = {**CONFIGS["qwen3" if family == "qwen2" else family], **changes}
    if family == "qwen2":
        config.pop("head_dim")
    model = build_scratch(Scratch(model_type=family, config=config), tokenizer, seed=11)
    torch.manual_seed(12)
    with torch.no_grad():  # norms are made of ones and biases of zeros, which would hide much
        for vector in (one for one in model.parameters() if one.dim() == 1):
            vector += torch.randn_like(vector) * 0.1
    save_model(model, tokenizer_folder, folder)
    write_gguf(folder, template, folder / "m.gguf", weights, FACTS)
    return load_model(folder), folder / "m.gguf"


def worst(examiner, model, prompts):
    return max(float(np.abs(examiner.logits(ids) - logits(model, ids)).max()) for ids in prompts)


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_are_those_of_transformers(
    family, tokenizer, tokenizer_folder, template, prompts, tmp_path
):
    model, path = write(tokenizer, tokenizer_folder, template, tmp_path / "m", family)

    with GgufExaminer(path, 1) as examiner:
        found = worst(examiner, model, prompts)
        assert examiner.file.chat_template == tokenizer.chat_template
        assert examiner.file.stops == {tokenizer.eos_id}

    spread = float(logits(model, prompts[0]).std())
    print(f"{family}: logits differ by {found:.2g} at most, their deviation is {spread:.2f}")
    assert found <= LARGEST[family]


@pytest.mark.parametrize("shape", SHAPES)
def test_other_heads_rotations_and_biases_too(
    shape, tokenizer, tokenizer_folder, template, prompts, tmp_path
):
    family, changes = SHAPES[shape]
    model, path = write(tokenizer, tokenizer_folder, template, tmp_path / "m", family, **changes)

    with GgufExaminer(path, 1) as examiner:
        found = worst(examiner, model, prompts)

    print(f"{shape} {family}: logits differ by {found:.2g} at most")
    assert found <= LARGEST[family]


def adapted(folder, family, *, rslora=False):
    torch.manual_seed(3)
    model = get_peft_model(
        load_model(folder),
        LoraConfig(
            r=4,
            lora_alpha=6,
            use_rslora=rslora,
            target_modules=["c_attn", "c_proj", "c_fc"] if family == "gpt2" else "all-linear",
            task_type="CAUSAL_LM",
            fan_in_fan_out=family == "gpt2",
        ),
    )
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    return model.eval()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("rslora", [False, True], ids=["plain", "rslora"])
@pytest.mark.parametrize("family", FAMILIES)
def test_an_adapter_on_its_base_is_the_merged_student(
    family, rslora, tokenizer, tokenizer_folder, template, prompts, tmp_path
):
    base = tmp_path / "base"
    _, path = write(tokenizer, tokenizer_folder, template, base, family)
    model = adapted(base, family, rslora=rslora)
    write_adapter(model, tmp_path / "adapter", "org/base", base)
    merged = merge_student(model)

    write_gguf_adapter(tmp_path / "adapter", base, tmp_path / "a.gguf", FACTS)

    with GgufExaminer(path, 1) as examiner:
        bare = [examiner.logits(ids) for ids in prompts]
        examiner.put_adapter(tmp_path / "a.gguf")
        found = worst(examiner, merged, prompts)
        moved = max(
            float(np.abs(examiner.logits(ids) - one).max())
            for ids, one in zip(prompts, bare, strict=True)
        )
        examiner.put_adapter(None)
        off = [examiner.logits(ids) for ids in prompts]
    print(f"{family}: adapter against merged {found:.2g}; it moves logits by {moved:.2f}")
    assert found <= LARGEST[family]
    assert moved > 1.0
    assert all(np.array_equal(one, two) for one, two in zip(bare, off, strict=True))


# Ids ------------------------------------------------------------------------------------------

TEXTS = 10_000
PIECES = (
    "'s", "'LL", "'Re", "don't", "I'VE", " ", "  ", "\n", "\r\n", "\t", "\u00a0", "\u3000",
    "\u2009", "0",
    "12", "3456", "٣", "Ⅻ", "½", "a", "Ünï", "ß", "漢字", "かな", "한국", "हिन्दी", "ไทย",
    "🦊", "👩‍👩‍👧", "🇩🇪", "é", "...", "?!", "--", "_", "$", "€", "<|x|>", "http://a.b/c?d=e",
    "{\"k\": 1}", "The", " the", "\u200b", "ǅ", "ͅ", "\u0085", "e\u0301",
)  # fmt: skip


def fuzzed(count, seed, words):
    """Texts of hard pieces, of words, of any assigned character, in every mixture."""
    draw = random.Random(seed)
    texts = []
    while len(texts) < count:
        text = "".join(_piece(draw, words) for _ in range(draw.randint(1, 30)))
        if "\0" not in text:
            texts.append(text)
    return texts


def _piece(draw, words):
    which = draw.random()
    if which < 0.4:
        return draw.choice(PIECES)
    if which < 0.75:
        return draw.choice(("", " ", "\n")) + draw.choice(words)
    while True:
        plane = draw.choice((0x100, 0x3000, 0x10000, 0x20000))
        character = chr(draw.randrange(plane))
        if unicodedata.category(character) not in ("Cn", "Cs", "Co"):
            return character


def same_ids(tokenizer, path, texts):
    """How many texts have other ids in llama.cpp, and the first of them."""
    with GgufExaminer(path, 1) as examiner:
        theirs = examiner.tokenize(texts)
    wrong = [
        (text, tokenizer.encode(text)[0].tolist(), found.tolist())
        for text, found in zip(texts, theirs, strict=True)
        if tokenizer.encode(text)[0].tolist() != found.tolist()
    ]
    return len(wrong), wrong[:1]


def tokenizer_only(tokenizer_folder, tmp_path):
    """A tiny model's file with the tokenizer of a folder."""
    tokenizer = load_tokenizer(tokenizer_folder)
    save("llama", tokenizer, tokenizer_folder, tmp_path / "m", hidden_size=32)
    plain = PlainTemplate(tokenizer.eos_token, bos=tokenizer.added_bos)
    write_gguf(tmp_path / "m", plain, tmp_path / "m.gguf", "f16", FACTS)
    return tokenizer, tmp_path / "m.gguf"


WORDS = [*" ".join(CORPUS).split(), "vocabulary", "Vokabular", "vocabulaire", "словарь", "λεξικό"]


def rules_of(expressions):
    parts = [pre_tokenizers.Split(Regex(one), "isolated") for one in expressions]
    return pre_tokenizers.Sequence(
        [*parts, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )


@pytest.mark.parametrize("cutting", CUTTINGS, ids=list(CUTTINGS.values()))
def test_ids_of_every_known_cutting_are_equal(cutting, tmp_path):
    expressions, ignores = cutting
    backend = Tokenizer(models.BPE(ignore_merges=ignores))
    backend.pre_tokenizer = rules_of(expressions)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1500,
        special_tokens=["<|end|>", "<|user|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    backend.train_from_iterator(fuzzed(3000, 1, WORDS), trainer)
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    backend.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|end|>"}))
    tokenizer, path = tokenizer_only(folder, tmp_path)

    texts = [text.replace("x", "<|user|>") for text in fuzzed(TEXTS, 2, WORDS)]
    count, first = same_ids(tokenizer, path, texts)

    print(f"{CUTTINGS[cutting]}: {count} of {len(texts)} texts have other ids {first}")
    assert count == 0


def real_tokenizer(name, folder):
    """One of the shared tokenizers as a Hugging Face folder."""
    source = SHARED_DATA / "tokenizers" / name
    if not source.is_dir():
        pytest.skip(f"no shared test data here: tokenizers/{name}")
    if (source / "tokenizer.json").is_file():
        shutil.copytree(source, folder)
        return folder
    folder.mkdir()
    merges = [
        tuple(line.split(" "))
        for line in (source / "merges.txt").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#version")
    ]
    vocab = json.loads((source / "vocab.json").read_bytes())
    backend = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    cutting = {"gpt2": "gpt-2", "qwen": "qwen2"}[name]
    (expressions,) = (key[0] for key, value in CUTTINGS.items() if value == cutting)
    backend.pre_tokenizer = rules_of(expressions)
    backend.decoder = decoders.ByteLevel()
    end = "<|endoftext|>"
    if name == "qwen":
        backend.normalizer = normalizers.NFC()
    backend.add_special_tokens([end, "<|im_start|>", "<|im_end|>"] if name == "qwen" else [end])
    backend.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": end}))
    return folder


@pytest.mark.parametrize("name", ["gpt2", "qwen", "phi-2", "mistral-7b-v0.1"])
def test_ids_of_real_tokenizers_are_equal(name, tmp_path):
    folder = real_tokenizer(name, tmp_path / "tokenizer")
    tokenizer, path = tokenizer_only(folder, tmp_path)
    specials = [tokenizer.token_of(number) for number in sorted(tokenizer.special_ids)]
    texts = fuzzed(TEXTS, 3, [*WORDS, *specials])
    composed = texts
    if name == "qwen":  # llama.cpp does not compose characters, Qwen's tokenizer does
        composed = [unicodedata.normalize("NFC", text) for text in texts]

    count, first = same_ids(tokenizer, path, composed)
    apart, _ = same_ids(tokenizer, path, texts)

    print(f"{name}: {count} of {TEXTS} texts have other ids {first}; not composed {apart}")
    assert count == 0


# The official converter -----------------------------------------------------------------------


@pytest.mark.parametrize("family", ["qwen3", "qwen2", "llama", "gpt2"])
def test_tensors_are_those_of_the_official_converter(
    family, tokenizer, tokenizer_folder, template, tmp_path
):
    if not CONVERTER:
        pytest.skip("STILLHOUSE_TEST_LLAMA_CPP names no folder with convert_hf_to_gguf.py")
    folder = tmp_path / "m"
    for weights in ("f32", "f16", "bf16", "q8_0"):
        # transformers adds a token to whatever tokenizer stands beside a Qwen2
        rows = tokenizer.vocab_size + 4 * (family == "qwen2")
        write(tokenizer, tokenizer_folder, template, folder, family, weights, vocab_size=rows)
        script = (
            "import sys, runpy; sys.path.insert(0, sys.argv[1]); sys.argv = sys.argv[1:];"
            "import conversion.base as base;"
            # It knows tokenizers by a hash of theirs, so no student's own.
            "base.TextModel.get_vocab_base_pre = lambda self, tokenizer: 'gpt-2';"
            # Without the package it ends; with it, it finds no tokenizer.model and goes on.
            "exec('def absent(self): raise FileNotFoundError');"
            "base.TextModel._set_vocab_sentencepiece = absent;"
            "runpy.run_path(sys.argv[0] + '/convert_hf_to_gguf.py', run_name='__main__')"
        )
        config = json.loads((folder / "config.json").read_bytes())
        if family == "gpt2":  # transformers 5 writes n_positions alone
            (folder / "config.json").write_text(json.dumps({**config, "n_ctx": 128}))
        done = subprocess.run(
            [sys.executable, "-c", script, CONVERTER, str(folder), "--outtype", weights,
             "--outfile", str(tmp_path / "theirs.gguf")],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
        ours, theirs = (
            {one.name: one for one in gguf.GGUFReader(path).tensors}
            for path in (folder / "m.gguf", tmp_path / "theirs.gguf")
        )
        assert ours.keys() == theirs.keys()
        same = [
            name
            for name, one in ours.items()
            if one.tensor_type == theirs[name].tensor_type
            and np.array_equal(one.data, theirs[name].data)
        ]
        print(f"{family} {weights}: {len(same)} of {len(ours)} tensors are equal bit by bit")
        assert len(same) == len(ours)
        if family == "qwen2":
            continue  # it has another token then
        keys = [
            {key: field.contents() for key, field in gguf.GGUFReader(path).fields.items()}
            for path in (folder / "m.gguf", tmp_path / "theirs.gguf")
        ]
        told = [key for key in keys[1] if key.startswith((family, "tokenizer"))]
        assert [keys[0].get(key) for key in told] == [keys[1][key] for key in told]


# Bad files --------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")
def test_what_llama_cpp_makes_of_bad_files(
    tokenizer, tokenizer_folder, template, prompts, tmp_path
):
    _, path = write(tokenizer, tokenizer_folder, template, tmp_path / "llama", "llama")
    _, other = write(tokenizer, tokenizer_folder, template, tmp_path / "qwen3", "qwen3")
    model = adapted(tmp_path / "llama", "llama")
    write_adapter(model, tmp_path / "adapter", "org/base", tmp_path / "llama")
    adapter = tmp_path / "a.gguf"
    write_gguf_adapter(tmp_path / "adapter", tmp_path / "llama", adapter, FACTS)
    whole = path.read_bytes()
    broken = tmp_path / "broken.gguf"

    for end in (0, 3, 100, len(whole) // 2, len(whole) - 200):
        broken.write_bytes(whole[:end])
        with pytest.raises(ModelError):
            GgufExaminer(broken, 1)
        with pytest.raises(ModelError), GgufExaminer(path, 1) as examiner:
            examiner.put_adapter(broken)
    with GgufExaminer(other, 1) as examiner:
        with pytest.raises((ModelError, EngineDiedError)) as error:
            examiner.put_adapter(adapter)
        print(f"an adapter of another architecture: {error.value}")
    with GgufExaminer(path, 1) as examiner:
        with pytest.raises((ModelError, EngineDiedError)) as error:
            examiner.put_adapter(other)
        print(f"a model as an adapter: {error.value}")
    renamed = whole.replace(b"llama", b"lxama")
    broken.write_bytes(renamed)
    with pytest.raises(ModelError) as error:
        GgufExaminer(broken, 1)
    print(f"an unknown architecture: {error.value}")


def test_quantising_writes_a_whole_file_or_none(
    tokenizer, tokenizer_folder, template, prompts, tmp_path
):
    _, path = write(tokenizer, tokenizer_folder, template, tmp_path / "m", "llama", "f16")

    quantise_gguf(path, tmp_path / "q.gguf", "q4_k_m", 1)
    with pytest.raises(ModelError):
        quantise_gguf(tmp_path / "q.gguf", tmp_path / "again.gguf", "q8_0", 1)

    assert not (tmp_path / "again.gguf").exists()
    assert not list(tmp_path.glob(".*"))
    with GgufExaminer(tmp_path / "q.gguf", 1) as examiner:
        assert np.isfinite(examiner.logits(prompts[0])).all()
