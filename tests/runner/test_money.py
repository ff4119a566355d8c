"""Who is asked is priced, and refused, as the run will ask."""

import pytest

from stillhouse.core.errors import UsageError
from stillhouse.core.rows import Example, Message
from stillhouse.recipes.load import load_recipe
from stillhouse.recipes.plan import Instance
from stillhouse.runner.money import asking_cost
from stillhouse.runner.preview import Preview

SEEN = Preview([Example("e", "holdout", (Message("user", "q"),), "a")], (), 10.0, 0, {}, {})


def cost(rival, *more, temperature=0.0):
    claude = f"api: {{kind: anthropic, model: claude-sonnet-5, budget_usd: 1.0}}, {rival}"
    changes = [
        f"evaluate.baselines=[{{name: rival, {claude}}}]",
        f"label.temperature={temperature}",
        "network=[api.anthropic.com]",
        *more,
    ]
    recipe = load_recipe("quickstart", changes).recipe
    return asking_cost(recipe, Instance("evaluate", "rival", {}, {}, "evaluate-1"), SEEN)


def test_a_baseline_is_priced_at_its_own_temperature_and_not_at_that_of_the_labels():
    assert cost("temperature: 1.0").calls == 10
    for labels in (0.0, 1.0):
        with pytest.raises(UsageError, match=r"takes no temperature here, and 0\.0 was"):
            cost("usd_per_call: 0.0", temperature=labels)


def test_repeats_at_a_temperature_that_a_provider_does_not_take_are_refused_before_the_run():
    repeats = "evaluate.repeats={times: 2, examples: 5, temperature: %s}"
    assert cost("temperature: 1.0", repeats % 1.0).calls == 20
    with pytest.raises(UsageError, match=r"takes no temperature here, and 0\.7 was"):
        cost("temperature: 1.0", repeats % 0.7)
