import os
from pathlib import Path

import pytest

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from stillhouse.core.rows import Message
from stillhouse.tokens.template import PlainTemplate
from stillhouse.tokens.tokenizer import load_tokenizer
from stillhouse.tokens.train import train_tokenizer

CORPUS = [
    "the quick brown fox jumps over the lazy dog and runs home",
    "which song is the saddest of all? the answer is in the text.",
    "system user assistant answer: question: yes no maybe\n\n",
    "日本語のテキスト と 中文 文字 😀 👩‍👩‍👧 café naïve",
    "{'key': [1, 2, 3]} def f(x):\n    return x\n",
] * 4


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    train_tokenizer(CORPUS, 420, folder, context=128)
    return folder


@pytest.fixture(scope="session")
def tiny(tiny_folder):
    return load_tokenizer(tiny_folder)


@pytest.fixture(scope="session")
def plain(tiny):
    return PlainTemplate(
        eos=tiny.eos_token, user="Question: {content}\n", assistant="Answer: {content}"
    )


@pytest.fixture(scope="session")
def auto(tiny_folder):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_folder)


@pytest.fixture(scope="session")
def conversation():
    return (
        Message("system", "be brief"),
        Message("user", "which song?"),
        Message("assistant", "the 😀 日本語 song"),
        Message("user", "and the answer is yes?"),
        Message("assistant", "yes"),
    )


@pytest.fixture(scope="session")
def families():
    """The folder of real tokenizers beside the checkout; skips where there is none."""
    for parent in Path(__file__).resolve().parents:
        folder = parent.parent / "shared" / "data" / "tokenizers"
        if folder.is_dir():
            return folder
    pytest.skip("no folder shared/data/tokenizers beside the checkout")
