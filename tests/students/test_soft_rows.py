import numpy as np
import pytest

from stillhouse.core.targets import Draws, TargetKey, TokenTargets
from stillhouse.students.soft_rows import soft_rows

V = 6


def targets(logits, top_k, draws=None, temperatures=(1.0, 2.0)):
    logprobs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    ids = np.argsort(-logprobs, axis=1)[:, :top_k]
    softened = [np.log(np.exp(logprobs / t).sum(axis=1)) for t in temperatures]
    return TokenTargets(
        key=TargetKey("one", "", ""),
        token_ids=np.zeros(len(logits), np.int32),
        byte_offsets=np.zeros((len(logits), 2), np.int32),
        observed_logprobs=np.zeros(len(logits), np.float32),
        top_ids=ids.astype(np.int32),
        top_logprobs=np.take_along_axis(logprobs, ids, axis=1).astype(np.float32),
        log_z=np.stack(softened, axis=1).astype(np.float32),
        draws=draws,
    )


@pytest.fixture
def logits():
    return np.random.default_rng(0).normal(size=(5, V)) * 2


def test_without_draws_the_entries_stand_as_they_are_stored(logits):
    parts = [targets(logits[:2], 3), targets(logits[2:], 3)]

    rows = soft_rows(parts, 1, 2.0)

    assert set(rows) == {"top_ids", "top_logprobs", "log_z"}
    assert rows["top_ids"].dtype == np.int64
    np.testing.assert_array_equal(rows["top_logprobs"], targets(logits, 3).top_logprobs)
    np.testing.assert_array_equal(rows["log_z"], targets(logits, 3).log_z[:, 1])


@pytest.mark.parametrize("column", [0, 1])
def test_kept_entries_are_exact_and_draws_share_the_rest(logits, column):
    temperature = (1.0, 2.0)[column]
    softened = np.exp(logits / temperature)
    softened /= softened.sum(axis=1, keepdims=True)
    order = np.argsort(-logits, axis=1)
    rest = np.sort(order[:, 2:4], axis=1).astype(np.int32)
    one = Draws(rest[:3], np.array([[1, 3]] * 3, np.int32), np.ones(3, np.float32))
    wide = np.array([[1, 2, 0], [4, 0, 0]], np.int32)
    other = Draws(np.pad(rest[3:], ((0, 0), (0, 1))), wide, np.ones(2, np.float32))

    rows = soft_rows(
        [targets(logits[:3], 2, one), targets(logits[3:], 2, other)], column, temperature
    )

    assert rows["drawn_ids"].shape == rows["drawn_probs"].shape == (5, 5)
    kept = np.take_along_axis(softened, order[:, :2], axis=1)
    tail = 1 - kept.sum(axis=1)
    np.testing.assert_allclose(rows["drawn_probs"][:, :2], kept, atol=1e-6)
    np.testing.assert_allclose(
        rows["drawn_probs"][:3, 2:4], tail[:3, None] * [0.25, 0.75], atol=1e-6
    )
    np.testing.assert_allclose(
        rows["drawn_probs"][3, 2:], tail[3] * np.array([1, 2, 0]) / 3, atol=1e-6
    )
    np.testing.assert_allclose(rows["drawn_probs"].sum(axis=1), 1.0, atol=1e-6)
    np.testing.assert_array_equal(rows["drawn_ids"][:, :2], order[:, :2])
    assert (rows["drawn_ids"][:3, 4] == 0).all()
    assert rows["entropy"].shape == (5,)


def test_a_row_that_nothing_was_drawn_for_has_its_entries_alone(logits):
    nothing = Draws(*np.zeros((2, 5, 0), np.int32), np.zeros(5, np.float32))

    rows = soft_rows([targets(logits, V, nothing)], 0, 1.0)

    np.testing.assert_allclose(rows["drawn_probs"].sum(axis=1), 1.0, atol=1e-6)


def test_draws_alone_are_the_whole_distribution(logits):
    ids = np.array([[0, 3]] * 5, np.int32)
    drawn = Draws(ids, np.array([[30, 20]] * 5, np.int32), np.ones(5, np.float32))

    rows = soft_rows([targets(logits, 0, drawn)], 0, 1.0)

    np.testing.assert_allclose(rows["drawn_probs"], [[0.6, 0.4]] * 5, atol=1e-7)
    np.testing.assert_array_equal(rows["drawn_ids"], ids)


def test_no_example_gives_no_row():
    rows = soft_rows([], 0, 1.0)

    assert {name: len(values) for name, values in rows.items()} == {
        "top_ids": 0,
        "top_logprobs": 0,
        "log_z": 0,
    }
