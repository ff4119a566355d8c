"""A candidate's distribution against several people's votes on the same examples.

People disagree; the share of votes is then the truth, and no single class is.

Legend: N examples, C classes.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from stillhouse.core.errors import InputError
from stillhouse.evals.calibration import expected_calibration_error
from stillhouse.evals.metric import SHARE, Metric
from stillhouse.evals.ranks import pearson, spearman
from stillhouse.evals.scores import COUNT, Column

Floats = NDArray[np.float64]

SMOOTHING = 1e-3
"""assumption: the share of the uniform distribution that is mixed into the candidate's for the KL,
so that a class that it holds for impossible costs at most about 8 nats."""

_ROUNDED = 1e-3
"""assumption: probabilities that were written in few digits add up this nearly to 1."""


def score_votes(votes_NC: Floats, probs_NC: Floats) -> dict[str, Column]:
    """The columns of a candidate against votes.

    Args:
        votes_NC: (N, C) how many people chose each class, at least one vote an example.
        probs_NC: (N, C) the candidate's probabilities of the same classes, each row 1 in all.

    Returns:
        (N,) each: `kl_votes`, KL(votes || candidate smoothed by `SMOOTHING`), and `jsd_votes`, of
        the candidate as it is, nats; `vote_entropy` and `model_entropy`, nats; `majority_right`, 1
        where the candidate's likeliest class (the first of equals) has the most votes or as many;
        `brier_votes`, the squared distance of both distributions; `top_prob` and `top_votes`, what
        the candidate and the votes give to the candidate's likeliest class.

    Raises:
        InputError: an example without votes, or a row that is no distribution.
    """
    votes, probs = np.asarray(votes_NC, dtype=np.float64), np.asarray(probs_NC, dtype=np.float64)
    _require_distributions(votes, probs)
    shares_NC = votes / votes.sum(1, keepdims=True)
    probs_NC = probs / probs.sum(1, keepdims=True)
    smooth_NC = (1.0 - SMOOTHING) * probs_NC + SMOOTHING / probs_NC.shape[1]
    middle_NC = (shares_NC + probs_NC) / 2.0
    rows, top_N = np.arange(len(probs_NC)), probs_NC.argmax(1)
    return {
        "kl_votes": _kl(shares_NC, smooth_NC),
        "jsd_votes": (_kl(shares_NC, middle_NC) + _kl(probs_NC, middle_NC)) / 2.0,
        "vote_entropy": _entropy(shares_NC),
        "model_entropy": _entropy(probs_NC),
        "majority_right": (votes[rows, top_N] == votes.max(1)).astype(np.float64),
        "brier_votes": ((probs_NC - shares_NC) ** 2).sum(1),
        "top_prob": probs_NC[rows, top_N],
        "top_votes": shares_NC[rows, top_N],
    }


def _require_distributions(votes: Floats, probs: Floats) -> None:
    if votes.shape != probs.shape or votes.ndim != 2:
        raise InputError(
            f"votes of shape {votes.shape} beside probabilities of shape {probs.shape}",
            "both need one row an example and one column a class",
        )
    for name, values, are_fine in (
        ("votes", votes, votes.sum(1) > 0),
        ("probabilities", probs, np.abs(probs.sum(1) - 1.0) <= _ROUNDED),
    ):
        wrong = np.flatnonzero(~(are_fine & (np.isfinite(values) & (values >= 0)).all(1)))
        if len(wrong):
            raise InputError(
                f"the {name} of example {wrong[0] + 1} are {values[wrong[0]].tolist()}",
                "votes are counts of at least one person; probabilities are >= 0 and 1 in all",
            )


def _kl(first_NC: Floats, second_NC: Floats) -> Column:
    seen_NC = first_NC > 0
    quotient_NC = np.divide(first_NC, second_NC, out=np.ones_like(first_NC), where=seen_NC)
    found: Column = np.maximum((first_NC * np.log(quotient_NC)).sum(1), 0.0)
    return found


def _entropy(probs_NC: Floats) -> Column:
    logs_NC = np.log(probs_NC, out=np.zeros_like(probs_NC), where=probs_NC > 0)
    entropy: Column = np.maximum(-(probs_NC * logs_NC).sum(1), 0.0)
    return entropy


_ENTROPIES = ("vote_entropy", "model_entropy", COUNT)

VOTE_METRICS = (
    Metric(
        "kl_to_votes",
        "KL to the votes",
        "lower",
        f"Mean KL(votes || candidate); {SMOOTHING:g} of the uniform distribution is mixed into the "
        "candidate's.",
        ("kl_votes", COUNT),
        unit="nats",
        source="Nie, Zhou & Bansal 2020, arXiv:2010.03532",
    ),
    Metric(
        "jsd_to_votes",
        "JSD to the votes",
        "lower",
        "Mean Jensen-Shannon divergence of the candidate's distribution and the votes', at most "
        "0.69.",
        ("jsd_votes", COUNT),
        unit="nats",
        source="Lin 1991, IEEE Transactions on Information Theory 37(1); scipy's distance, squared",
        scale=(0.0, math.log(2.0)),
    ),
    Metric(
        "entropy_correlation",
        "Unsure where people disagree",
        "higher",
        "Spearman's rank correlation of the votes' entropy and the candidate's; not defined where "
        "either is the same everywhere.",
        _ENTROPIES,
        spearman,
        unit="correlation",
        source="scipy, spearmanr",
        scale=(-1.0, 1.0),
    ),
    Metric(
        "entropy_correlation_linear",
        "The same, linear",
        "higher",
        "Pearson's correlation of the votes' entropy and the candidate's.",
        _ENTROPIES,
        pearson,
        unit="correlation",
        source="scipy, pearsonr",
        scale=(-1.0, 1.0),
    ),
    Metric(
        "majority_accuracy",
        "Likeliest class has most votes",
        "higher",
        "Share of examples whose likeliest class to the candidate has the most votes, or as many.",
        ("majority_right", COUNT),
        is_fraction=True,
    ),
    Metric(
        "brier_to_votes",
        "Brier score against the votes",
        "lower",
        "Mean squared distance of the candidate's distribution and the votes', over all classes.",
        ("brier_votes", COUNT),
        unit="squared",
        source="Brier 1950, Monthly Weather Review 78(1)",
        scale=(0.0, 2.0),
    ),
    Metric(
        "ece_to_votes",
        "Calibration error against the votes",
        "lower",
        "Mean distance of the likeliest class's probability and its share of the votes, over 15 "
        "bins of equal width.",
        ("top_prob", "top_votes", COUNT),
        expected_calibration_error,
        source="Guo et al. 2017, arXiv:1706.04599, equation 3, with shares of votes for right",
        scale=SHARE,
    ),
)
"""What is measured of a candidate with a distribution, where several people voted."""
