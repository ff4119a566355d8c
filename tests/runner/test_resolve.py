"""What a recipe names is refused before anything is run, where it cannot be what it should."""

import json

import pytest
from transformers import T5Config, T5ForConditionalGeneration

from stillhouse.core.errors import ModelError
from stillhouse.models.scratch import save_model
from stillhouse.runner.opening import open_recipe
from stillhouse.runner.resolve import resolve

SMALL = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}


def test_an_encoder_decoder_is_no_teacher(tokenizer, tokenizer_folder, tmp_path):
    config = T5Config(vocab_size=tokenizer.vocab_size, decoder_start_token_id=0, **SMALL)
    save_model(T5ForConditionalGeneration(config), tokenizer_folder, tmp_path / "t5")
    path = tmp_path / "recipe.yaml"
    recipe = {
        "name": "small",
        "teacher": {"path": "t5"},
        "student": {"scratch": {"model_type": "qwen3"}},
        "collect": {"source": {"sample_rows": {"task": "tickets", "rows": 40}}},
        "prepare": {
            "user": "{message}",
            "answer": "annotation",
            "split": {"parts": {"holdout": 4, "validation": 4, "labelled": "rest"}},
        },
        "label": {"parts": ["labelled"]},
        "train": {"length": {"steps": 1, "batch_size": 4}, "parts": ["labelled"]},
    }
    path.write_text(json.dumps(recipe))

    with pytest.raises(ModelError, match="t5 is an encoder-decoder, which can write text and is"):
        resolve(*open_recipe(str(path)))
