"""A text with a blank becomes a question with every other word; what is no blank stays."""

import json
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillhouse.data.blanks import ask_for_blanks, find_blanks


def words(text):
    return Counter(re.findall(r"[^\W_]+", text))


def assert_asks(text, answer="", blank=""):
    asked = ask_for_blanks(text, answer)
    assert asked is not None, text
    assert not find_blanks(asked), asked
    assert asked.endswith("?"), asked
    assert not words(text.replace(blank, " ") if blank else text) - words(asked), asked


def test_every_winogrande_sentence_becomes_a_question(shared_file):
    path = shared_file("cloze/winogrande_val_first.jsonl")
    for record in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
        assert_asks(record["sentence"], record[f"option{record['answer']}"])


@pytest.mark.parametrize("blank", ["_", "__", "________", "[blank]", "......", "(MASK)"])
def test_every_pararel_pattern_becomes_a_question(shared_file, blank):
    path = shared_file("cloze/pararel_a.jsonl")
    for record in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
        for pattern in record["patterns"]:
            subject, answer = record["facts"][0]
            text = pattern.replace("[X]", subject).replace("[Y]", blank)
            assert_asks(text, answer, blank)


def test_formulas_and_sums_have_no_blank(shared_file):
    sat = shared_file("mcq/agieval_sat_math.jsonl").read_text(encoding="utf-8")
    gsm8k = shared_file("instruct/gsm8k_test_even.jsonl").read_text(encoding="utf-8")
    texts = [
        " ".join([r["question"], *(r["options"] or ())]) for r in map(json.loads, sat.splitlines())
    ]
    texts += [json.loads(line)["question"] for line in gsm8k.splitlines()]

    assert [text for text in texts if find_blanks(text)] == []


@pytest.mark.parametrize(
    ("text", "answer", "asked"),
    [
        ("Assets are ____.", "things", "Assets are what?"),
        ("____ is the capital. It is old.", "Paris", "It is old. What is the capital?"),
        ("It opened in __.", "1999", "It opened in which year?"),
        ("He paid __ in all", "$5,000", "He paid which number in all?"),
        ("It cost $5 and __ of it is $6.", "", "It cost $5 and what of it is $6?"),
        ("Is ___ red?", "", "Is what red?"),
        ("un____able", "ste", "un what able?"),
        ("One is __ and two is __.", "", "One is what and two is what?"),
        ("東京は____です。", "", "東京は what です。?"),
    ],
)
def test_the_rule_reads(text, answer, asked):
    assert ask_for_blanks(text, answer) == asked


@pytest.mark.parametrize(
    "text",
    [
        "",
        "snake_case and __init__ are names",
        r"$x_1 + x_{22}$ and \(a __ b\)",
        "Wait... what?",
        "a - b -- c",
        "an e_mail",
    ],
)
def test_what_is_no_blank_is_left_alone(text):
    assert ask_for_blanks(text) is None


@pytest.mark.parametrize("piece", ["$a ", "__ ", "\\( ", "$$ ", "_ . ", "a.b? "])
def test_a_long_text_holds_the_blanks_of_its_pieces(piece):
    # Minutes, where a pattern looks for its end from every place of the text.
    times = 200_000 // len(piece)

    assert len(find_blanks(piece * times)) == times * len(find_blanks(piece))
    assert (ask_for_blanks(piece * times) is None) == (not find_blanks(piece))


@given(st.text(alphabet="ab _.$?[]()blank\n", max_size=50))
def test_no_text_is_too_strange(text):
    if find_blanks(text):
        assert ask_for_blanks(text).endswith("?")
    else:
        assert ask_for_blanks(text) is None
