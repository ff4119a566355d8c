"""What the cards of a bundle say of licences, from the recipe alone."""

from stillhouse.recipes.card_config import card_of
from stillhouse.recipes.load import load_recipe
from stillhouse.recipes.models import ModelSource

RECIPE = load_recipe("quickstart").recipe


def card(**models):
    sources = {name: ModelSource.model_validate(told) for name, told in models.items()}
    return card_of(RECIPE.model_copy(update=sources))


def test_a_card_has_licence_base_notices_and_the_addresses_of_texts():
    found = card(
        teacher={"hub": "Qwen/Qwen2.5-3B-Instruct", "accept_terms": "qwen-research"},
        student={"hub": "meta-llama/Llama-3.2-3B-Instruct"},
    )

    assert found["hub"] == {
        "license": "llama3.2",
        "base_model": "meta-llama/Llama-3.2-3B-Instruct",
    }
    assert found["licences"] == {
        "teacher weights": "qwen-research",
        "student weights": "llama3.2",
        "teacher terms accepted": "qwen-research",
    }
    assert [one[:16] for one in found["notices"]] == ["Built with Llama", "Built with Qwen"]
    assert set(found["texts"]) == {"llama3.2", "qwen-research"}


def test_a_licence_that_the_hub_has_no_name_for_is_named_beside_it():
    limited = {"hub": "Qwen/Qwen2.5-3B-Instruct", "accept_terms": "qwen-research"}
    assert card(student=limited)["hub"] == {
        "license": "other",
        "license_name": "qwen-research",
        "license_link": "https://huggingface.co/Qwen/Qwen2.5-3B-Instruct/blob/main/LICENSE",
        "base_model": "Qwen/Qwen2.5-3B-Instruct",
    }
    assert card()["hub"] == {}


def test_layers_of_the_teacher_are_under_its_licence():
    found = card(
        teacher={"hub": "openai-community/gpt2-large"}, student={"layers_of_teacher": (0, 1)}
    )
    assert found["hub"] == {"license": "mit", "base_model": "openai-community/gpt2-large"}


def test_the_terms_of_a_service_are_named_where_they_were_accepted():
    asked = {"kind": "openai", "model": "gpt-4.1", "key_env": "OPENAI_API_KEY"}
    found = card(teacher={"api": asked, "accept_terms": "openai"})
    assert found["texts"] == {"openai's terms": "https://openai.com/policies/services-agreement/"}
