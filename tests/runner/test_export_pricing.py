"""What an export takes follows what it holds side by side and what it ships."""

from __future__ import annotations

import pytest

from stillhouse.recipes.estimate import Corpus, Cost, Machine
from stillhouse.recipes.facts import facts_for
from stillhouse.recipes.load import load_recipe
from stillhouse.recipes.rates import Rates
from stillhouse.recipes.sizes import sizes_of
from stillhouse.recipes.trainable import trainable_parameters
from stillhouse.runner.export_pricing import export_cost

MACHINE = Machine(Rates.guessed(1e11), 2, "cpu")
HOLDOUT = Corpus(100, 10_000, 5_000, 200)


def priced(name, *overrides):
    recipe = load_recipe(name, overrides).recipe
    sizes = sizes_of(facts_for(recipe.student.hub).shape.config())
    return export_cost(recipe, sizes, MACHINE, HOLDOUT, lambda _: Cost()), sizes, recipe


@pytest.mark.parametrize(
    ("changes", "copies", "shipped"),
    [
        ((), 3 * 2, 2),  # the student, merged, and as it was read back
        (("export.dtype=float32",), 3 * 4, 4),
    ],
)
def test_a_merged_student_stands_three_times_in_memory(changes, copies, shipped):
    cost, sizes, _ = priced("songs", *changes)
    assert cost.memory_bytes == pytest.approx(copies * sizes.parameters, rel=0.01)
    assert cost.disk_bytes == pytest.approx(shipped * sizes.parameters, rel=0.01)


def test_an_adapter_alone_stands_beside_its_base_once_and_ships_alone():
    cost, sizes, recipe = priced("songs", "export.formats=[adapter]")
    assert cost.memory_bytes == pytest.approx(2 * sizes.parameters, rel=0.02)
    assert cost.disk_bytes == 4 * trainable_parameters(sizes, recipe.train.lora)


def test_adapters_of_domains_are_copied_without_a_model():
    cost, sizes, recipe = priced("neurons")
    assert cost.memory_bytes < 1e9
    assert cost.disk_bytes == 6 * 4 * trainable_parameters(sizes, recipe.train.lora)


def test_a_student_that_was_trained_whole_is_not_copied_to_be_merged():
    cost, sizes, _ = priced("accounting-qa")
    assert cost.memory_bytes - (400 << 20) == pytest.approx(2 * 4 * sizes.parameters, rel=0.01)


def test_the_form_in_16_bits_is_not_what_forms_of_fewer_bits_are_made_of():
    from stillhouse.core.errors import RecipeError

    with pytest.raises(RecipeError, match="gguf is made of and proved against float32"):
        load_recipe("songs", ["export.formats=[merged, gguf]"])
