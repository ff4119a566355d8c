"""Distances of embeddings are those of every pair, and the Vendi score counts what is unlike."""

import itertools

import numpy as np
import pytest

from stillhouse.core.errors import ShapeError, UsageError
from stillhouse.evals.bootstrap import Resampling, bootstrap
from stillhouse.evals.embeddings import embedding_metrics, score_embeddings, vendi_score
from stillhouse.evals.scores import Scores


def distance_of(embeddings):
    columns = score_embeddings(embeddings)
    (metric,) = embedding_metrics(Scores(tuple(map(str, range(len(embeddings)))), columns))
    return metric, np.stack([columns[name] for name in metric.needs], axis=1)


def test_the_distance_is_the_mean_over_all_pairs():
    # given
    embeddings = np.random.default_rng(0).normal(size=(12, 5)).astype(np.float32)
    units = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    expected = np.mean([1 - a @ b for a, b in itertools.combinations(units, 2)])
    # when
    metric, columns = distance_of(embeddings)
    # then
    assert metric.statistic(columns, np.ones((1, 12))) == pytest.approx(expected, rel=1e-5)


def test_copies_of_one_text_in_a_resample_are_no_pair():
    # given three texts of which the first is drawn three times: two pairs of others are left
    embeddings = np.eye(3) + 0.1
    metric, columns = distance_of(embeddings)
    units = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    # when
    (found,) = metric.statistic(columns, np.array([[2.0, 1.0, 0.0]]))
    # then
    assert found == pytest.approx(1 - units[0] @ units[1])


def test_the_interval_covers_the_distance_of_other_texts():
    def texts(seed):
        return np.random.default_rng(seed).normal(np.eye(4)[0], size=(40, 4))

    metric, _ = distance_of(texts(0))
    truth = np.mean(
        [metric.statistic(distance_of(texts(s))[1], np.ones((1, 40)))[0] for s in range(300)]
    )
    hits = 0
    for seed in range(100):
        found = bootstrap(distance_of(texts(1000 + seed))[1], metric.statistic, Resampling(200))
        hits += found.low <= truth <= found.high
    assert 0.86 <= hits / 100 <= 1.0


def test_the_vendi_score_is_one_for_equal_texts_and_n_for_right_angles():
    assert vendi_score(np.ones((7, 3))) == pytest.approx(1.0)
    assert vendi_score(np.eye(5) * 3) == pytest.approx(5.0)
    two = np.repeat(np.eye(2), 4, axis=0)
    assert vendi_score(two) == pytest.approx(2.0)
    assert vendi_score(np.ones((1, 9))) == pytest.approx(1.0)


def test_the_vendi_score_is_that_of_the_whole_matrix():
    embeddings = np.random.default_rng(3).normal(size=(20, 6))
    units = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    shares = np.clip(np.linalg.eigvalsh(units @ units.T / 20), 1e-300, None)
    assert vendi_score(embeddings) == pytest.approx(np.exp(-(shares * np.log(shares)).sum()))


def test_a_text_without_direction_is_refused_by_its_number():
    with pytest.raises(UsageError, match="text 1"):
        score_embeddings(np.array([[1.0, 0.0], [0.0, 0.0]]))
    with pytest.raises(UsageError, match="text 0"):
        score_embeddings(np.array([[np.nan, 0.0]]))
    with pytest.raises(ShapeError, match=r"\(3,\)"):
        score_embeddings(np.zeros(3))
    with pytest.raises(UsageError, match="no text"):
        vendi_score(np.zeros((0, 3)))
