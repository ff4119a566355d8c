"""What a recipe names is refused before anything is run, where it cannot be what it should."""

import json

import pytest
from transformers import T5Config, T5ForConditionalGeneration

from stillhouse.core.errors import ModelError
from stillhouse.models.scratch import build_scratch, save_model
from stillhouse.recipes.models import Scratch
from stillhouse.runner.opening import open_recipe
from stillhouse.runner.resolve import resolve

RECIPE = {
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
SMALL = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}


def test_an_encoder_decoder_is_no_teacher(tokenizer, tokenizer_folder, tmp_path):
    config = T5Config(vocab_size=tokenizer.vocab_size, decoder_start_token_id=0, **SMALL)
    save_model(T5ForConditionalGeneration(config), tokenizer_folder, tmp_path / "t5")
    path = tmp_path / "recipe.yaml"
    path.write_text(json.dumps(RECIPE))

    with pytest.raises(ModelError, match="t5 is an encoder-decoder, which can write text and is"):
        resolve(*open_recipe(str(path)))


def test_the_tokenizer_and_the_template_of_a_model_that_a_step_asks_name_what_it_makes(
    tokenizer, tokenizer_folder, tmp_path
):
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
             "intermediate_size": 16}  # fmt: skip
    engine = build_scratch(Scratch(model_type="llama", config=sizes), tokenizer, seed=0)
    save_model(engine, tokenizer_folder, tmp_path / "writer")
    path, template = tmp_path / "recipe.yaml", tmp_path / "writer" / "chat_template.jinja"
    step = {"name": "translate", "fields": ["message"], "engine": {"path": "writer"}}
    asking = {"teacher": {"path": "writer"}, "prepare": RECIPE["prepare"] | {"steps": [step]}}
    path.write_text(json.dumps(RECIPE | asking))

    def made_by():
        return resolve(*open_recipe(str(path))).plan["step@translate"].artifact_id

    template.write_text("{{ messages[0].content }}")
    first = made_by()
    assert made_by() == first
    template.write_text("Translate: {{ messages[0].content }}")
    assert made_by() != first
