"""What a recipe says for services that are not there yet is told, key by key."""

import pytest

from stillhouse.recipes.built_in import library_names
from stillhouse.recipes.load import load_recipe
from stillhouse.recipes.waiting import waiting


def test_each_key_is_told_with_what_it_will_do():
    told = waiting({"serve": {"share": 0.1, "fallback": "teacher"}, "monitor": {"metrics": []}})

    assert [line.partition(":")[0] for line in told] == [
        "serve.share",
        "serve.fallback",
        "monitor.metrics",
    ]
    assert told[0] == (
        "serve.share: the part of all requests that a new version answers beside the one in use; "
        "no service reads it yet"
    )


@pytest.mark.parametrize("recipe", [{}, {"serve": None}, {"serve": {}, "monitor": {}}])
def test_a_recipe_without_services_waits_for_nothing(recipe):
    assert waiting(recipe) == ()


@pytest.mark.parametrize(
    ("key", "said"),
    [("rooter", 'did you mean "router"?'), ("q", "known are task, router, fallback, share")],
)
def test_a_key_that_nobody_plans_is_told_as_that(key, said):
    (told,) = waiting({"serve": {key: 1}})
    assert told.startswith(f"serve.{key}: no key of that name is planned, {said}")


@pytest.mark.parametrize("name", library_names())
def test_every_key_of_a_built_in_recipe_is_known(name):
    plain = load_recipe(name).recipe.model_dump(mode="json", by_alias=True)
    assert not [line for line in waiting(plain) if "no key of that name" in line]
