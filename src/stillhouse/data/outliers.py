"""How far texts lie from all others: each text, and few texts that are alike as one cluster.

A score alone cannot tell junk that is repeated, which has near neighbours: its copies. So the
neighbours of a text are looked for outside its cluster.

Legend: N texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stillhouse.core.errors import UsageError
from stillhouse.data.neighbours import Neighbours, Vectors, clusters_of, nearest

Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """Texts with their scores.

    Attributes:
        clusters: (N,) texts of one number are judged as one.
        scores: (N,) the higher the more unlike all others; equal within a cluster.
        near: (N, 3 or less) the nearest texts outside the own cluster; -1 where there is none.
    """

    clusters: NDArray[np.int64]
    scores: Scores
    near: NDArray[np.int64]


def score_by_neighbours(
    vectors: Vectors, copies: Sequence[int], neighbours: int, alike: float, cluster_rows: int
) -> Scored:
    """Mean cosine distance to the nearest texts outside the own cluster.

    Args:
        vectors: of N different texts.
        copies: (N,) rows that have each text.
        neighbours: how many nearest texts are looked at.
        alike: cosine from which neighbours are of one cluster.
        cluster_rows: a cluster of more rows is a topic, whose texts are judged alone.

    Returns:
        Scores in [0, 2]; 0 where there is no other text.
    """
    found = nearest(vectors, neighbours)
    clusters = clusters_of(found, alike)
    rows = np.bincount(clusters, weights=copies, minlength=len(clusters))
    texts = np.bincount(clusters, minlength=len(clusters))
    is_small = ((texts > 1) & (rows <= cluster_rows))[clusters]
    # A text alone has a number of its own, behind those of the clusters.
    clusters = np.where(is_small, clusters, len(clusters) + np.arange(len(clusters)))
    if is_small.any():
        found = nearest(vectors, neighbours, clusters)
    _, members = np.unique(clusters, return_inverse=True)
    sizes = np.bincount(members)
    means = np.bincount(members, weights=found.distances) / sizes
    return Scored(members.astype(np.int64), means[members], _shown(found))


def score_by_density(vectors: NDArray[np.float32], min_cluster_size: int) -> Scored:
    """GLOSH: how thin it is around a text, beside the cluster that it is nearest to.

    Args:
        vectors: of N different texts.
        min_cluster_size: texts that make a cluster.

    Returns:
        Scores in [0, 1]; 0 for all where there are fewer texts than make two clusters.

    Raises:
        UsageError: the package hdbscan is not installed.

    Source: Campello, Moulavi, Zimek & Sander 2015, doi:10.1145/2733381, section 7.
    """
    number = len(vectors)
    near = _shown(nearest(vectors, 3))
    if number < 2 * min_cluster_size:
        return Scored(np.arange(number), np.zeros(number), near)
    try:
        from hdbscan import HDBSCAN  # type: ignore[import-untyped,unused-ignore]
    except ImportError as error:
        raise UsageError(
            "the score glosh needs the package hdbscan, which is not installed",
            'pip install "stillhouse[outliers]", or take score: knn',
        ) from error
    # A fitted object keeps its scores when it is fitted again, so each gets a new one.
    fitted = HDBSCAN(min_cluster_size=min_cluster_size, core_dist_n_jobs=1).fit(
        vectors.astype(np.float64)
    )
    return Scored(np.arange(number), np.nan_to_num(fitted.outlier_scores_), near)


def _shown(found: Neighbours) -> NDArray[np.int64]:
    return np.where(found.is_there, found.places, -1)[:, :3]
