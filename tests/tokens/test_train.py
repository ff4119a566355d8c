import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.core.errors import InputError
from stillhouse.core.hashing import digest_folder
from stillhouse.tokens.train import SMALLEST_VOCAB, train_tokenizer

TRAIN = """
import sys; from pathlib import Path
from stillhouse.tokens.train import train_tokenizer
words = [f"word{i % 7} and ab{i % 5}c" for i in range(200)]
train_tokenizer(words, 400, Path(sys.argv[1]), 64)
"""


def test_equal_texts_give_equal_bytes_in_another_process(tmp_path):
    for seed in ("1", "2"):
        env = os.environ | {"PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-c", TRAIN, str(tmp_path / seed)], check=True, env=env)

    assert digest_folder(tmp_path / "1") == digest_folder(tmp_path / "2")


@settings(max_examples=40, deadline=None)
@given(text=st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_any_unicode_text_comes_back(tiny, text):
    ids, _ = tiny.encode(text)

    assert tiny.decode(ids, skip_special=False) == text


def test_transformers_loads_the_folder(auto, tiny):
    assert auto.model_max_length == 128
    assert (auto.pad_token_id, auto.eos_token_id) == (tiny.pad_id, tiny.eos_id)
    assert len(auto) == tiny.vocab_size <= 420


def test_no_texts_give_bytes_alone(tmp_path):
    made = train_tokenizer([], SMALLEST_VOCAB, tmp_path)

    assert made.vocab_size == SMALLEST_VOCAB
    assert len(made.encode("abc😀")[0]) == 7


def test_too_small_a_vocabulary_is_refused(tmp_path):
    with pytest.raises(InputError, match="at least 261"):
        train_tokenizer(["a"], 260, tmp_path)
