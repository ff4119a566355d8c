"""Six kinds of short tasks: each answer has the form of its domain and follows from its prompt."""

from __future__ import annotations

import json
import re
from itertools import islice

import pytest

from stillhouse.tasks.neurons.rows import DOMAINS, generate_rows

ROWS = [row.fields for row in generate_rows(600, seed=0, noise=0.0)]


def of(domain):
    return [row for row in ROWS if row["domain"] == domain]


def test_the_domains_take_turns_and_a_longer_list_begins_with_the_shorter():
    assert [row["domain"] for row in ROWS[:12]] == [*DOMAINS, *DOMAINS]
    longer = list(islice(generate_rows(900, seed=0, noise=0.0), 600))
    assert [row.fields for row in longer] == ROWS
    assert [row.fields for row in generate_rows(600, seed=1, noise=0.0)] != ROWS


FORMS = {
    "thinking": r"\d+ [+-] \d+ = \d+",
    "task": r"1\. \w+; 2\. \w+; 3\. \w+",
    "action": r'\{"tool":"\w+","input":"\w+"\}',
    "reflection": r"lesson: \w+ the \w+ first",
    "debug": r"cause: .+",
    "memory": r"importance: (high|middle|low); keep: [a-z ]+",
}


@pytest.mark.parametrize("domain", DOMAINS)
def test_every_answer_has_the_form_of_its_domain(domain):
    for row in of(domain):
        assert re.fullmatch(FORMS[domain], row["answer"]), row


def test_sums_are_right_and_never_negative():
    for row in of("thinking"):
        first, sign, second, _, result = row["answer"].split()
        assert [first, second] == re.findall(r"\d+", row["prompt"])
        assert int(result) == int(first) + (1 if sign == "+" else -1) * int(second) >= 0


def test_a_tool_is_called_with_what_the_request_names():
    for row in of("action"):
        assert json.loads(row["answer"])["input"] in row["prompt"]


def test_equal_prompts_have_equal_answers():
    found = {}
    for row in ROWS:
        assert found.setdefault((row["domain"], row["prompt"]), row["answer"]) == row["answer"]


def test_noise_changes_answers_alone_in_about_the_asked_share():
    noisy = [row.fields for row in generate_rows(600, seed=0, noise=0.5)]

    assert [row["prompt"] for row in noisy] == [row["prompt"] for row in ROWS]
    assert [row["truth"] for row in noisy] == [row["truth"] for row in ROWS]
    changed = sum(row["answer"] != row["truth"] for row in noisy)
    # Another prompt may well have the same answer.
    assert 180 < changed < 300
