"""Multiple choice questions are found as people print them, and nothing else is taken for one."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.data.exercises import FILES, MARKERS, exercises_of

from stillhouse.data.choices import Option, find_choices


def words(text):
    return " ".join(text.split())


def texts(found):
    return [option.text for option in found.options]


@pytest.mark.parametrize("on_lines", [True, False], ids=["lines", "inline"])
@pytest.mark.parametrize("marker", MARKERS)
def test_real_questions_are_read_in_every_form(shared_file, marker, on_lines):
    exercises = [one for name in FILES for one in exercises_of(shared_file(name))]

    right = 0
    for one in exercises:
        found = find_choices(one.printed(marker, on_lines=on_lines))
        right += (
            found is not None
            and words(found.stem) == words(one.stem)
            and list(map(words, texts(found))) == list(map(words, one.options))
        )

    assert len(exercises) > 2900
    assert right / len(exercises) >= (0.995 if on_lines else 0.97)


def test_texts_without_options_are_left_alone(shared_file):
    gsm8k = shared_file("instruct/gsm8k_test_even.jsonl").read_text(encoding="utf-8")
    nq = shared_file("instruct/nq_open_val_0_1200.jsonl").read_text(encoding="utf-8")
    plain = [text for line in gsm8k.splitlines() for text in json.loads(line).values()]
    plain += [json.loads(line)["question"] for line in nq.splitlines()]

    taken = [text for text in plain if find_choices(text)]

    assert len(plain) > 2500
    assert len(taken) / len(plain) <= 0.005


@pytest.mark.parametrize(
    ("text", "stem", "options"),
    [
        ("What is 1+1?\n(A)2(B)4(C)9(D)10", "What is 1+1?", ["2", "4", "9", "10"]),
        ("Which? (a) one (two) three (b) four", "Which?", ["one (two) three", "four"]),
        ("Which? A) both B and C B) only C C) none", "Which?", ["both B and C", "only C", "none"]),
        (
            "Is (a) or (b) right?\n(a) first\n(b) second",
            "Is (a) or (b) right?",
            ["first", "second"],
        ),
        ("Pick: 1. 2.5 % 2. 3.5 %", "Pick:", ["2.5 %", "3.5 %"]),
        ("Frage?\na) größer\nb) 東京\nc) Привет", "Frage?", ["größer", "東京", "Привет"]),
        ("Q?\n A.  one\n    more\n B.  two", "Q?", ["one\n    more", "two"]),
        ("Q? (e) five (a) one (b) two (c) three", "Q? (e) five", ["one", "two", "three"]),
    ],
)
def test_options_end_where_the_next_begins(text, stem, options):
    found = find_choices(text)

    assert (found.stem, texts(found)) == (stem, options)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "See figures (a), (b), and (c).",
        "(a) one (b) two",
        "See figures (a) and (b).",
        "Which? (b) two (c) three",
        "Which? (a) only one",
        "Which? A) one b) two",
        "Version 1.2 and version 2.3",
    ],
)
def test_what_is_no_question_with_options_is_none(text):
    assert find_choices(text) is None


def test_fifty_options_are_read_to_the_last():
    text = "Which one?\n" + "\n".join(f"{place}. option {place}" for place in range(1, 51))

    assert len(find_choices(text).options) == 50


def test_text_behind_a_blank_line_is_no_part_of_the_last_option():
    found = find_choices("Q?\n(a) one\n(b) two\n\nChoose wisely.")

    assert (found.options[-1], found.rest) == (Option("b", "two"), "Choose wisely.")


@pytest.mark.parametrize("piece", ["Which (a) of (b) these? ", "Which\n(a) of\n", "( a) b. "])
def test_a_long_text_is_read_as_a_short_one(piece):
    # Minutes, where every label starts a search of its own.
    short, long = (find_choices(piece * times) for times in (50, 200_000 // len(piece)))

    assert (short and short.options) == (long and long.options)


@given(st.text(alphabet="abAB12().:\n? ", max_size=60))
def test_no_text_is_too_strange(text):
    found = find_choices(text)

    if found:
        assert found.stem.strip()
        assert len(found.options) >= 2
        place = 0
        for option in (*found.options, Option("", found.rest)):
            place = text.index(option.text, place) + len(option.text)
