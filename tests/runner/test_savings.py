"""What a refusal offers saves what it says, once it is really done."""

import pytest

from stillhouse.recipes.rates import Rates
from stillhouse.runner.opening import open_recipe
from stillhouse.runner.preview import preview
from stillhouse.runner.pricing import Pricer
from stillhouse.runner.resolve import resolve
from stillhouse.runner.savings import savings

LARGE = ("teacher.scratch.config.hidden_size=2048", "teacher.scratch.config.num_hidden_layers=24")


@pytest.fixture(scope="module")
def pricer(tiny_recipe):
    resolved = resolve(*open_recipe(str(tiny_recipe), [*LARGE]))
    return Pricer(resolved, preview(resolved), Rates.guessed(1e11)), resolved.plan


def with_changes(pricer, tiny_recipe, *changes):
    return pricer.of(open_recipe(str(tiny_recipe), [*LARGE, *changes])[1])


@pytest.mark.parametrize("key", ["finetune", "label"])
def test_each_change_saves_what_it_says_and_the_most_helpful_comes_first(key, pricer, tiny_recipe):
    price, plan = pricer
    found = savings(price, plan[key])

    assert found
    saved = [one.saved_bytes for one in found]
    assert saved == sorted(saved, reverse=True)
    before = price.price(plan[key]).memory_bytes
    for one in found:
        changed = with_changes(price, tiny_recipe, *one.changes)
        assert before - changed.price(plan[key]).memory_bytes == one.saved_bytes, one.changes


def test_a_stage_without_a_model_has_nothing_to_save(pricer):
    price, plan = pricer
    assert savings(price, plan["prepare"]) == ()


def test_what_is_done_already_is_not_offered(pricer, tiny_recipe):
    price, plan = pricer
    done = ("finetune.gradient_checkpointing=true", "finetune.lora={rank: 8}")
    found = savings(with_changes(price, tiny_recipe, *done), plan["finetune"])
    said = " ".join(change for one in found for change in one.changes)
    assert "gradient_checkpointing" not in said
    assert "lora" not in said
