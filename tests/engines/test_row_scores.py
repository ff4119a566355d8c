"""Rows of logits without torch, held against the teacher in memory and the textbook."""

import numpy as np
import pytest
import torch
from tests.models.texts import encode_texts
from tests.models.tiny_models import build

from stillhouse.core.errors import ModelError
from stillhouse.engines.row_scores import RowScores, largest, pick
from stillhouse.models.inference import evaluating
from stillhouse.models.score import score_batch
from stillhouse.models.scoring import Scoring
from stillhouse.models.tally import NOT_DRAWN, tally, uniforms

TEMPERATURES = (1.0, 2.0, 0.5)


def scores_of(rows, observed, scoring, numbers=None):
    numbers = np.zeros((len(rows), scoring.num_draws)) if numbers is None else numbers
    scores = RowScores(scoring, np.array(observed, np.int32), numbers)
    for row in rows:
        scores.add(np.array(row, np.float32))
    return scores.columns()


@pytest.mark.parametrize(
    "told",
    [
        {"top_k": 7, "kd_temperatures": TEMPERATURES},
        {"top_k": 0, "kd_temperatures": (2.0,), "num_draws": 12},
        {"top_k": 5, "kd_temperatures": (1.0,), "num_draws": 12, "seed": 3},
        {"top_k": 100_000},
    ],
)
def test_they_are_what_the_model_in_memory_scores(told, tokenizer, template):
    scoring = Scoring(tokenizer.vocab_size, **told)
    model, texts = build("llama", tokenizer, seed=1), encode_texts(template, tokenizer)

    for (name, text), wanted in zip(texts, score_batch(model, texts, scoring), strict=True):
        with evaluating(model):
            rows = model(torch.from_numpy(text.ids).long()[None]).logits[0, :-1].numpy()
        observed = text.ids[text.is_trained]
        numbers = uniforms(name, len(observed), scoring.num_draws, scoring.seed)
        found = scores_of(rows[text.is_trained[1:]], observed, scoring, numbers)
        np.testing.assert_array_equal(found["top_ids"], wanted.top_ids)
        for column in ("observed_logprobs", "top_logprobs", "log_z"):
            np.testing.assert_allclose(found[column], getattr(wanted, column), atol=1e-5)
            assert found[column].dtype == np.float32
        if scoring.num_draws:
            ids, counts = tally(found["drawn"])
            np.testing.assert_array_equal(ids, wanted.draws.ids)
            np.testing.assert_array_equal(counts, wanted.draws.counts)
            np.testing.assert_allclose(found["entropy"], wanted.draws.entropy, atol=1e-5)


def test_ids_behind_the_vocabulary_get_no_mass():
    padded = scores_of([[1.0, 2.0, 99.0]], [0], Scoring(2, top_k=5))

    assert padded["top_ids"].tolist() == [[1, 0]]
    assert np.exp(padded["top_logprobs"]).sum() == pytest.approx(1.0)


def test_equal_entries_come_in_the_order_of_their_ids():
    assert largest(np.array([1.0, 3.0, 3.0, -1.0, 3.0]), 2).tolist() == [1, 2]
    assert largest(np.array([0.0, -0.0, 0.0]), 3).tolist() == [0, 1, 2]
    assert largest(np.array([1.0]), 0).tolist() == []


def test_logits_far_apart_do_not_overflow():
    found = scores_of([[1e4, -1e4]], [1], Scoring(2, top_k=2, kd_temperatures=(1.0, 0.1)))

    assert found["observed_logprobs"].tolist() == [-2e4]
    np.testing.assert_allclose(found["log_z"], [[0.0, 0.0]])


@pytest.mark.parametrize("row", [[np.nan, 1.0], [np.inf, 1.0], [-np.inf, -np.inf]])
def test_logits_that_are_no_numbers_are_refused(row):
    with pytest.raises(ModelError, match="no numbers"):
        scores_of([row], [0], Scoring(2))


def test_where_the_kept_entries_leave_nothing_nothing_is_drawn():
    scoring = Scoring(3, top_k=3, num_draws=2)

    assert scores_of([[1.0, 2.0, 3.0]], [0], scoring)["drawn"].tolist() == [[NOT_DRAWN] * 2]


def test_a_draw_is_the_inverse_of_the_distribution_function():
    weights = np.array([0.0, 1.0, 0.0, 3.0, 0.0])
    numbers = np.array([0.0, 0.2499, 0.25, 0.9999, np.nextafter(1.0, 0.0)])

    assert pick(weights, numbers).tolist() == [1, 1, 3, 3, 3]
