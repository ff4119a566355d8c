"""A gate asks rules of two tables: the holdout, and public tasks, which are other examples."""

import json

import numpy as np
import pytest

from stillhouse.core.errors import InputError
from stillhouse.evals.scores import Scores, write_scores
from stillhouse.stages.gate import ask_gate

TASK = "harness.sky.acc"


@pytest.fixture
def inputs(tmp_path):
    """Two candidates on four examples, and on twenty documents of a task."""
    found = {}
    for who, right in (("student", 18), ("teacher", 20)):
        values = (np.arange(20) < right).astype(float)
        tables = {
            who: Scores(tuple("abcd"), {"exact": np.ones(4)}),
            f"harness of {who}": Scores(
                tuple(map(str, range(20))),
                {"harness_higher:sky.acc": values, "harness_asked:sky.acc": np.ones(20)},
            ),
        }
        for name, scores in tables.items():
            found[name] = tmp_path / name
            found[name].mkdir()
            write_scores(found[name] / "scores.parquet", scores)
    return found


def ask(inputs, *rules):
    gate = json.loads(json.dumps({"rules": rules}))
    config = {"gate": gate, "draws": 100, "confidence": 0.95, "seed": 0}
    return ask_gate(config, inputs, "student")


def test_each_rule_is_asked_of_its_own_examples(inputs):
    exact = {"metric": "exact_match", "at_least": 0.3}
    task = {"metric": TASK, "against": "teacher", "at_least": -0.5}

    verdict = ask(inputs, task, exact)

    assert verdict.passed
    assert [(rule.metric, rule.n) for rule in verdict.rules] == [("exact_match", 4), (TASK, 20)]
    assert verdict.rules[1].value == pytest.approx(-0.1)


def test_a_refusal_on_a_task_is_a_refusal(inputs):
    verdict = ask(
        inputs,
        {"metric": "exact_match", "at_least": 0.3},
        {"metric": TASK, "at_least": 0.99},
    )

    assert not verdict.passed
    assert verdict.reasons[0].startswith(f"{TASK} at least 0.99")


def test_rules_of_tasks_alone_are_a_gate(inputs):
    assert ask(inputs, {"metric": TASK, "at_least": 0.5}).passed


def test_a_task_that_was_not_asked_names_those_that_were(inputs):
    with pytest.raises(InputError, match=r"measured: harness\.sky\.acc"):
        ask(inputs, {"metric": "harness.sea.acc", "at_least": 0.5})
