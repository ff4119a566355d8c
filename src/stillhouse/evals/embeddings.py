"""How far a candidate's texts lie from each other, by embeddings that somebody else made.

Legend: N texts, D dimensions, R resamples.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from stillhouse.core.errors import ShapeError, UsageError
from stillhouse.evals.entropy import entropy_of_shares
from stillhouse.evals.metric import Metric
from stillhouse.evals.scores import Column, Scores

_PREFIX = "embedding:"


def score_embeddings(embeddings_ND: NDArray[np.floating]) -> dict[str, Column]:
    """The columns of embeddings, one text an example.

    Args:
        embeddings_ND: (N, D), of any length but 0.

    Returns:
        `embedding:0000` and so on, (N,), each text's direction.

    Raises:
        ShapeError: not two axes.
        UsageError: an embedding is not finite, or has no direction.
    """
    directions = _directions(embeddings_ND)
    return {f"{_PREFIX}{at:04d}": column for at, column in enumerate(directions.T.copy())}


def _directions(embeddings_ND: NDArray[np.floating]) -> NDArray[np.float64]:
    if embeddings_ND.ndim != 2:
        raise ShapeError(
            f"embeddings have the shape {embeddings_ND.shape}, not (texts, dimensions)"
        )
    exact = embeddings_ND.astype(np.float64)
    lengths = np.linalg.norm(exact, axis=1, keepdims=True)
    bad = np.flatnonzero(~np.isfinite(lengths[:, 0]) | (lengths[:, 0] == 0))
    if len(bad):
        raise UsageError(
            f"the embedding of text {bad[0]} has no direction: it is zero or not finite",
            "leave texts without an embedding out, on both sides of a comparison",
        )
    directions: NDArray[np.float64] = exact / lengths
    return directions


def vendi_score(embeddings_ND: NDArray[np.floating]) -> float:
    """How many texts of no likeness at all would be as varied as these.

    Args:
        embeddings_ND: (N, D), N >= 1; likeness is the cosine of two of them.

    Returns:
        1 where all lie in one direction, N where all stand at right angles.

    Raises:
        ShapeError: as for `score_embeddings`.
        UsageError: as for `score_embeddings`, or there is no text.

    Source: Friedman & Dieng 2023, arXiv:2210.02410, definition 3.1.
    """
    directions = _directions(embeddings_ND)
    num_texts, num_dimensions = directions.shape
    if num_texts == 0:
        raise UsageError("no text, so nothing is varied")
    # Both products have the same eigenvalues but for zeros.
    product = (
        directions @ directions.T if num_texts <= num_dimensions else directions.T @ directions
    )
    shares = np.maximum(np.linalg.eigvalsh(product / num_texts), 0.0)
    return float(np.exp(entropy_of_shares(shares / shares.sum())))


def _mean_distance(
    columns_NS: NDArray[np.float64], weights_RN: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(R,) over pairs of two texts; a text and its own copies in a resample are no pair."""
    squares = (columns_NS**2).sum(axis=1)
    both = (weights_RN @ columns_NS) ** 2
    likeness = both.sum(axis=1) - weights_RN**2 @ squares
    pairs = weights_RN.sum(axis=1) ** 2 - (weights_RN**2).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        distance: NDArray[np.float64] = 1.0 - likeness / pairs
    return distance


def embedding_metrics(scores: Scores) -> Iterator[Metric]:
    """The mean distance, where the scores have the columns of `score_embeddings`."""
    needs = tuple(sorted(name for name in scores.columns if name.startswith(_PREFIX)))
    if needs:
        yield Metric(
            "embedding_distance",
            "Distance between answers",
            "higher",
            "Mean cosine distance of all pairs of answers, 0 for one direction, in [0, 2]; "
            "comparable within one embedding model only.",
            needs,
            _mean_distance,
            scale=(0.0, 2.0),
        )
