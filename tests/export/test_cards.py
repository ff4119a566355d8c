"""What a bundle says of itself: the README with the hub's metadata, and the card of its data."""

from dataclasses import replace

from ruamel.yaml import YAML
from tests.export.card_facts import FACTS

from stillhouse.core.rows import StepCount
from stillhouse.export.data_card import DataFacts, data_card
from stillhouse.export.model_card import CardFacts, model_card


def test_the_card_says_what_it_was_told():
    card = model_card(FACTS, ("merged", "adapter"))

    assert card.startswith("---\nlibrary_name: transformers\n")
    assert "---\n\n# tiny-songs\n\nA student distilled by the recipe `songs`." in card
    assert "| exact match | 0.91 (0.89 to 0.93) |" in card
    assert "| a\\|b | 1 |" in card
    assert "| teacher weights | apache-2.0 |" in card
    assert "`adapter/` holds the adapter alone" in card


def test_a_card_without_numbers_has_no_empty_table():
    card = model_card(CardFacts("s", "r", "t", "b"), ("merged",))

    assert "Measured" not in card
    assert "adapter/" not in card


def test_a_card_names_the_files_that_are_there():
    names = ["gguf/a-F16.gguf", "gguf/a-Q8_0.gguf", "gguf/a-adapter.gguf", "gguf/Modelfile",
             "gguf/a-imatrix.gguf"]  # fmt: skip
    facts = replace(
        FACTS,
        ollama="songs:v2",
        notices=("Built with Llama",),
        metadata={"license": "llama3.2", "base_model": "org/base"},
    )

    card = model_card(facts, ("gguf", "gguf_adapter", "modelfile"), names)

    assert "llama-server -m gguf/a-F16.gguf --jinja\nllama-server -m gguf/a-Q8_0.gguf" in card
    assert "--lora gguf/a-adapter.gguf" in card
    assert "imatrix" not in card  # no model, so that nobody can ask it
    assert "ollama create songs:v2 -f Modelfile" in card
    assert "- Built with Llama" in card
    front = YAML(typ="safe").load(card.split("---")[1])
    assert front == {
        "license": "llama3.2",
        "base_model": "org/base",
        "base_model_relation": "quantized",
        "library_name": "gguf",
        "pipeline_tag": "text-generation",
        "tags": ["distillation", "stillhouse"],
    }
    domains = ["adapters_kd/one/adapter_config.json", "adapters_kd/two/adapter_config.json"]
    assert '"adapters_kd/two", "two"' in model_card(facts, ("adapters_kd",), domains)


def test_a_data_card_counts_and_quotes_nothing():
    dropped = StepCount("dedup", 10, 7, {"exact copy": 2}, merged=1)
    facts = DataFacts("small", ["a file"], 10, {"MIT": 8, "none | said": 2}, ["asked"], (),
                      [dropped], {"train": (7, 120)}, 7)  # fmt: skip

    card = data_card(facts)

    assert "| dedup | 10 | 7 | exact copy 2, merged into others 1 |" in card
    assert "| none \\| said | 2 |" in card
    assert "| train | 7 | 120 |" in card
