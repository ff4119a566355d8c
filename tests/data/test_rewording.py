"""What a text in other words is held to."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.data.meaning import claims_of
from stillhouse.data.rewording import FAR, Held, bare, far_ones, flaw_of

BLANK = Held("The Treaty of Rome was signed in ____ by 6 states.", "1957")
QUESTION = Held("Is a lease of $5,000 not an asset under IFRS?", instead_of="Is it so?")


@pytest.mark.parametrize(
    ("held", "said", "flaw"),
    [
        (BLANK, "In which year was the Treaty of Rome signed by 6 states?", ""),
        (BLANK, "", "empty"),
        (BLANK, "...", "empty"),
        (BLANK, "The Treaty of Rome was signed by 6 states in ____?", "blank_left"),
        (BLANK, "The Treaty of Rome was signed by 6 states.", "no_question"),
        (BLANK, "I'm sorry, I can't help with that.", "no_question"),
        (BLANK, "RECOMMENDED", "no_question"),
        (BLANK, "Was the Treaty of Rome signed in 1957 by 6 states?", "other_numbers"),
        (BLANK, "Which treaty did 6 states sign?", "name_lost"),
        (BLANK, "Когда был подписан Treaty of Rome 6?", "other_script"),
        (BLANK, "why " * 90 + "?", "too_long"),
        (BLANK, "Was the Treaty of Rome signed by 6 states?\n(a) yes\n(b) no", "options_left"),
        (Held("A debt is ____.", "a liability"), "A debt is a liability, is it?", "answer_told"),
        (Held("A debt is ____.", "a liability"), "What does a debt count as?", ""),
        (Held("Assets minus debts are ____."), "Was ist nach Abzug uebrig?", FAR),
        (QUESTION, "Under IFRS, isn't a lease of $5000 an asset?", ""),
        (QUESTION, "Under IFRS, is a lease of $5,000 an asset?", "other_denial"),
        (QUESTION, "Is it so?", "same_words"),
        (Held("Equity is what is left.", asks=False), "What is left is equity.", ""),
    ],
)
def test_the_first_flaw_is_named(held, said, flaw):
    assert flaw_of(held, said) == flaw


def test_what_stands_around_an_answer_is_taken_off():
    assert bare('Rewritten question: "What is it?"') == "What is it?"
    assert bare("```\nWhat is it?\n```") == "What is it?"
    assert bare("  «What is it?» ") == "What is it?"
    assert bare('"He" and "she"') == '"He" and "she"'


def test_texts_of_another_meaning_are_found_by_their_directions():
    at = {"a": [1.0, 0.0], "b": [0.8, 0.6], "c": [0.0, 1.0]}
    pairs = [("a", "b"), ("a", "c")]
    assert far_ones(pairs, lambda texts: np.array([at[text] for text in texts])) == [False, True]
    assert far_ones(pairs, None) == [False, False]


@settings(max_examples=30)
@given(st.text(max_size=60), st.text(max_size=200))
def test_any_text_can_be_judged(source, said):
    assert isinstance(flaw_of(Held(source, said[:5]), bare(said)), str)


def test_words_that_end_like_a_denial_are_none():
    assert not claims_of("What amount does the account count at present?").denies
    assert claims_of("It isnt so").denies
    assert claims_of("It isn't so").denies
