"""An answer means one option, or is left open; the tier that told it is known."""

import random

import numpy as np
import pytest
from tests.data.exercises import FILES, LABELS, exercises_of

from stillhouse.data.choices import Option
from stillhouse.data.option_match import match_option

PAID = [Option("A", "$70,000"), Option("B", "$75,000"), Option("C", "an asset"), Option("D", "2")]


def without_a_letter(text, rng):
    place = rng.randrange(1, len(text) - 1) if len(text) > 4 else 0
    return text[:place] + text[place + 1 :] if place else text


FORMS = {
    "label": lambda label, _, __: label,
    "in brackets": lambda label, _, __: f"({label.lower()})",
    "said": lambda label, _, __: f"The correct answer is {label}.",
    "label and text": lambda label, text, _: f"{label}) {text}",
    "text": lambda _, text, __: text,
    "other case": lambda _, text, __: f"{text.upper()}.",
    "a letter left out": lambda _, text, rng: without_a_letter(text, rng),
}


@pytest.mark.parametrize("form", FORMS)
def test_real_answers_in_every_form_mean_their_option(shared_file, form):
    rng = random.Random(0)
    right = wrong = count = 0
    for one in (one for name in FILES for one in exercises_of(shared_file(name))):
        options = [Option(LABELS[place], text) for place, text in enumerate(one.options)]
        answer = FORMS[form](LABELS[one.right], one.options[one.right], rng)

        found = match_option(answer, options)

        meant = None if found is None else one.options[found.place]
        right += meant == one.options[one.right]
        wrong += meant not in (None, one.options[one.right])
        count += 1

    is_damaged = form == "a letter left out"
    assert right / count >= (0.9 if is_damaged else 0.995)
    # 10000 without a digit is the 1000 of another option.
    assert wrong / count <= (0.002 if is_damaged else 0)


@pytest.mark.parametrize(
    ("answer", "place", "tier"),
    [
        ("B", 1, "label"),
        (" (b) ", 1, "label"),
        ("Answer: C", 2, "label"),
        ("C. an asset", 2, "label"),
        ("$75,000", 1, "exact"),
        ("$75,000.", 1, "normalised"),
        ("An  Asset", 2, "normalised"),
        ("an aset", 2, "fuzzy"),
        ("2", 3, "exact"),
    ],
)
def test_the_first_tier_that_tells_is_recorded(answer, place, tier):
    found = match_option(answer, PAID)

    assert (found.place, found.tier) == (place, tier)


@pytest.mark.parametrize(
    "answer",
    ["$75,001", "75", "E", "A. an asset", "", "?", "not an asset", "The answer is in the book"],
)
def test_an_answer_that_means_none_is_left_open(answer):
    assert match_option(answer, PAID) is None


def test_a_label_that_is_the_text_of_another_option_is_left_open():
    digits = [Option("1", "2"), Option("2", "3"), Option("3", "1")]

    assert match_option("2", digits) is None


def test_equal_options_are_one_answer():
    assert match_option("ample", [Option("A", "ample"), Option("B", "ample")]).place == 0


def test_other_words_need_vectors_and_never_change_a_number_or_a_no():
    meaning = {"owes": (1.0, 0.0), "debt": (0.9, 0.43), "gain": (0.0, 1.0)}

    def embed(texts):
        found = [next(v for word, v in meaning.items() if word in text) for text in texts]
        vectors = np.array(found, np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    options = [Option("A", "it is a debt of 5"), Option("B", "it is a gain of 5")]
    said = "what the firm owes: 5"

    assert match_option(said, options) is None
    assert (found := match_option(said, options, embed)).tier == "similar"
    assert found.place == 0
    assert match_option(said.replace("5", "6"), options, embed) is None
    assert match_option(f"not {said}", options, embed) is None
