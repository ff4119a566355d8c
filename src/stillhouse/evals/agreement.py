"""How much a student answers and predicts as its teacher, whether or not the teacher is right."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from stillhouse.evals.bootstrap import Sums, of_sums, ratio
from stillhouse.evals.classification import SAME_LABEL_METRICS
from stillhouse.evals.metric import SHARE, Metric
from stillhouse.evals.scores import COUNT

DRAFTED = 4
"""assumption: tokens that a draft model proposes at once; the metric's definition names it."""


def acceptance_length(sums: Sums) -> NDArray[np.float64]:
    """(R,) tokens a call of the teacher gives on average, when the student drafts for it.

    Args:
        sums: (R, 2), accepted probability and tokens; their ratio is alpha, the mean of
            sum over the vocabulary of min(teacher, student).

    Returns:
        (1 - alpha^5) / (1 - alpha) for 4 drafted tokens, from 1 to 5.

    Source: Leviathan, Kalman & Matias 2023, arXiv:2211.17192, equation 1 and corollary 3.6.
    """
    # The geometric sum, term by term, so that alpha = 1 needs no limit.
    alpha = ratio(sums)
    length: NDArray[np.float64] = np.sum([alpha**power for power in range(DRAFTED + 1)], axis=0)
    return length


_DRAFTS = "Leviathan, Kalman & Matias 2023, arXiv:2211.17192"
HOLDOUTS_OWN = "the holdout's own answers"
"""The text that tokens are scored on, where the rows' answers are measured against."""
_GOLD = f"on {HOLDOUTS_OWN}"

AGREEMENT_METRICS = (
    Metric(
        "score_verdict_agreement",
        "Score and verdict as the teacher's",
        "higher",
        "Share of answers whose score is at most `within` from the teacher's, itself included, and "
        "whose verdict is equal; an unreadable answer agrees with nothing.",
        ("agrees_together", COUNT),
        is_fraction=True,
    ),
    Metric(
        "jsd_to_teacher",
        "JSD to the teacher",
        "lower",
        f"Jensen-Shannon divergence of student and teacher a token, {_GOLD}; at most 0.69.",
        ("jsd", "tokens"),
        unit="nats per token",
        source="Lin 1991, IEEE Transactions on Information Theory 37(1)",
        scale=(0.0, math.log(2.0)),
    ),
    Metric(
        "acceptance_rate",
        "Drafted tokens accepted",
        "higher",
        f"Probability that the teacher accepts a token that the student drafts, {_GOLD}: the mean "
        "of sum of min(teacher, student).",
        ("acceptance", "tokens"),
        source=f"{_DRAFTS}, corollary 3.6",
        scale=SHARE,
    ),
    Metric(
        "expected_acceptance",
        "Expected acceptance length",
        "higher",
        f"Tokens a call of the teacher gives when the student drafts {DRAFTED} at a time and each "
        "is accepted by itself.",
        ("acceptance", "tokens"),
        of_sums(acceptance_length),
        unit="tokens",
        source=f"{_DRAFTS}, equation 1",
        scale=(1.0, DRAFTED + 1.0),
    ),
)
"""What is measured of a student beside its teacher."""

FIELD_AGREEMENT_METRICS = (
    Metric(
        "agreement.{field}",
        "{field} as the teacher's",
        "higher",
        "Share of answers whose {field} is the teacher's: equal, and for a number at most `within` "
        "away; an unreadable answer agrees with nothing.",
        ("agrees:{field}", COUNT),
        is_fraction=True,
    ),
    *SAME_LABEL_METRICS,
)
"""What is measured of every declared field of both models."""
