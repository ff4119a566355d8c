"""Self-BLEU is sacreBLEU's sentence score against all other texts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics.bleu import BLEU

from stillhouse.data.words import words_of
from stillhouse.evals.self_bleu import score_self_bleu


def naive(texts):
    bleu = BLEU(tokenize="none", effective_order=True)
    spoken = [" ".join(words_of(text)) for text in texts]
    spoken = [text for text in spoken if text]
    return [
        bleu.sentence_score(text, spoken[:at] + spoken[at + 1 :]).score / 100
        for at, text in enumerate(spoken)
        if len(spoken) > 1
    ]


@given(st.lists(st.text("abc ", max_size=24), max_size=6))
@settings(max_examples=60, deadline=None)
def test_each_text_scores_as_sacrebleu_scores_it_against_the_others(texts):
    columns = score_self_bleu(texts)
    asked = columns["self_bleu_asked"] == 1
    assert columns["self_bleu"][asked].tolist() == pytest.approx(naive(texts))
    assert not columns["self_bleu"][~asked].any()


def test_equal_texts_are_one_and_texts_of_other_words_nearly_nothing():
    assert score_self_bleu(["a b c d e"] * 3)["self_bleu"].tolist() == pytest.approx([1.0] * 3)
    apart = score_self_bleu(["a b c d e f g h", "i j k l m n o p", "q r s t u v w x"])
    assert apart["self_bleu"].max() < 0.1


@pytest.mark.parametrize("texts", [[], ["alone"], ["", "!"], ["a b", ""]])
def test_a_text_without_others_is_not_asked(texts):
    assert not score_self_bleu(texts)["self_bleu_asked"].any()


def test_of_many_texts_the_seed_draws_some_and_the_same_for_each_candidate():
    # given
    texts = [f"text {number} of many" for number in range(50)]
    # when
    asked = [
        np.flatnonzero(score_self_bleu(own, most=10, seed=seed)["self_bleu_asked"]).tolist()
        for own, seed in ((texts, 0), (texts[::-1], 0), (texts, 1))
    ]
    # then
    assert asked[0] == asked[1] != asked[2]
    assert len(asked[0]) == 10
