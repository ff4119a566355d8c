"""Thoughts are told from answers, and taken out where nobody asked for them."""

import numpy as np
import pytest
from tests.tokens.model_families import FAMILIES, open_family

from stillhouse.tokens.answers import read_answer
from stillhouse.tokens.thoughts import drop_thought, join_thought, part_thought

BY_NAME = {family.name: family for family in FAMILIES}


def read(name, written):
    tokenizer, template = open_family(BY_NAME[name])
    ids, _ = tokenizer.encode(written)
    return read_answer(np.asarray(ids), tokenizer, template)


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("yes", ("", "yes")),
        ("<think>\nso\n</think>\n\nyes", ("so", "yes")),
        ("so\n</think>\n\nyes", ("so", "yes")),  # the prompt wrote the beginning
        ("<think>\n\n</think>\n\nyes", ("", "yes")),
        ("<think>one</think><think>two</think> yes", ("two", " yes")),
    ],
)
def test_thought_and_answer_are_told_apart(content, parts):
    assert part_thought(content) == parts


def test_a_thought_is_joined_as_it_is_parted():
    assert part_thought(join_thought("so", "yes")) == ("so", "yes")
    assert join_thought("", "yes") == "yes"


@pytest.mark.parametrize(
    ("written", "answer", "thought"),
    [
        ("yes", "yes", ""),
        ("<think>\n\n</think>\n\nyes", "yes", ""),
        ("<think>\nso\n</think>\n\nyes", "yes", "so"),
        ("<think>\ncut sho", "", "cut sho"),
        ("so</think>yes", "yes", "so"),
    ],
)
def test_told_not_to_think_an_answer_holds_no_thought(written, answer, thought):
    assert drop_thought(written) == (answer, thought)
    assert read("qwen3-off", written) == (answer, thought)
    assert read("qwen3", written) == (written, "")


def test_the_channels_of_harmony_become_thought_and_answer():
    written = (
        "<|channel|>analysis<|message|>no sun<|end|><|start|>assistant"
        "<|channel|>final<|message|>It is black."
    )

    assert read("gpt-oss", written) == ("<think>\nno sun\n</think>\n\nIt is black.", "")
    assert read("gpt-oss", "<|channel|>final<|message|>It is black.") == ("It is black.", "")
    assert read("gpt-oss", "<|channel|>analysis<|message|>cut sho") == (
        "<think>\ncut sho\n</think>\n\n",
        "",
    )
    assert read("gpt-oss", "no channel") == ("no channel", "")
