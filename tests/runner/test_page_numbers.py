"""Every metric that is known stands in one section of the page."""

from __future__ import annotations

from decimal import Decimal
from typing import get_args

import pytest

from stillhouse.recipes.load import load_recipe
from stillhouse.recipes.metric_names import FAMILIES
from stillhouse.report.content import MetricRow
from stillhouse.runner.page_costs import budget_of
from stillhouse.runner.page_numbers import _GROUPS, _group_of


@pytest.mark.parametrize(
    ("name", "group"),
    [("exact_match", ""), ("accuracy.mood", ""), ("distinct_2", "diversity"),
     ("entropy", "diversity"), ("traditions_covered", "diversity"), ("num_parameters", "size")],
)  # fmt: skip
def test_a_metric_stands_where_it_is_looked_for(name, group):
    assert _group_of(name) == group


def test_every_group_is_one_of_the_page():
    allowed = get_args(MetricRow.model_fields["group"].annotation)

    assert set(_GROUPS.values()) <= set(allowed)
    assert all(_group_of(name) in allowed for name in FAMILIES)


@pytest.mark.parametrize(("cap", "told"), [("2.0", Decimal("3.75")), ("null", None)])
def test_the_budget_of_a_page_is_that_of_all_who_are_asked(cap, told):
    api = "{kind: openai, model: gpt-5-mini, key_env: K, budget_usd: %s}"
    recipe = load_recipe(
        "quickstart",
        [
            f"evaluate.judge={{api: {api % cap}}}",
            f"evaluate.baselines=[{{name: rival, api: {api % '1.25'}}}]",
            f"prepare.steps=[{{name: rephrase, engines: [{{api: {api % '0.5'}}}]}}]",
        ],
    ).recipe

    assert len(recipe.endpoints) == 3
    plain = recipe.model_dump(mode="json")
    assert budget_of(plain) == told
    # Where songs are collected from is an `api` too, and costs nothing.
    archive = {"kind": "json_api", "api": {"url": "https://example.org/songs"}}
    plain["collect"]["source"]["collection"] = {"sources": {"archive": archive}}
    assert budget_of(plain) == told
