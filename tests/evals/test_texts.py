"""BLEU and chrF are sacrebleu's, ROUGE-L is rouge-score's."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF
from tests.evals.test_fields import measure

from stillhouse.evals.text_counts import rouge_l
from stillhouse.recipes.answers import AnswerKind

WORDS = st.lists(st.sampled_from(["the", "cat", "sat", "on", "a", "mat.", "A", "1,000", "é"]))
TEXT = WORDS.map(" ".join)
KIND = {"f": AnswerKind(kind="text")}


def measure_texts(said, wanted):
    return measure(KIND, *([json.dumps({"f": text}) for text in side] for side in (said, wanted)))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=5))
def test_bleu_and_chrf_of_a_corpus_are_sacrebleus(pairs):
    said, wanted = map(list, zip(*pairs, strict=True))
    found = measure_texts(said, wanted)
    assert found["bleu.f"] == pytest.approx(BLEU().corpus_score(said, [wanted]).score)
    assert found["chrf.f"] == pytest.approx(CHRF().corpus_score(said, [wanted]).score)


@settings(max_examples=30, deadline=None)
@given(TEXT.filter(str.isascii), TEXT.filter(str.isascii))
def test_rouge_l_of_english_is_rouge_scores(said, wanted):
    expected = RougeScorer(["rougeL"]).score(wanted, said)["rougeL"].fmeasure
    assert rouge_l(said, wanted) == pytest.approx(expected)


def test_rouge_l_reads_every_alphabet():
    assert rouge_l("Кот сидит тут", "кот сидит") == pytest.approx(0.8)


@pytest.mark.parametrize("said", ["", " ", "the cat sat"])
def test_texts_too_short_for_four_words_have_no_bleu_as_with_sacrebleu(said):
    found = measure_texts([said], ["the cat sat on the mat"])
    assert found["bleu.f"] == BLEU().corpus_score([said], [["the cat sat on the mat"]]).score
    assert found["bleu.f"] == 0.0


def test_equal_texts_are_perfect_and_an_unreadable_one_is_an_empty_text():
    text = "the cat sat on the mat"
    perfect = measure_texts([text], [text])
    assert perfect["bleu.f"] == pytest.approx(100.0)
    assert perfect["chrf.f"] == pytest.approx(100.0)
    assert perfect["rouge_l.f"] == 1.0
    references = [json.dumps({"f": text})] * 2
    torn = measure(KIND, [references[0], "torn"], references)
    assert torn["unreadable.f"] == 0.5
    assert torn["rouge_l.f"] == 0.5
    # all n-grams that were said are right; half of the words are missing
    assert torn["bleu.f"] == pytest.approx(100.0 * np.exp(1 - 2))
