"""How near a student's distribution is to the teacher's, beside the KL: from sums over tokens."""

from __future__ import annotations

from stillhouse.evals.metric import Metric

_GOLD = "on the holdout's own answers"

DISTANCE_METRICS = (
    Metric(
        "jsd_to_teacher",
        "JSD to the teacher",
        "lower",
        f"Jensen-Shannon divergence of student and teacher a token, {_GOLD}; at most 0.69.",
        ("jsd", "tokens"),
        unit="nats per token",
        source="Lin 1991, IEEE Transactions on Information Theory 37(1)",
    ),
    Metric(
        "expected_acceptance",
        "Expected acceptance",
        "higher",
        "Share of tokens that the teacher would accept if the student drafted them in speculative "
        f"decoding: the mass that both share, {_GOLD}.",
        ("accepted", "tokens"),
        source="Leviathan, Kalman & Matias 2023, arXiv:2211.17192, corollary 3.6",
    ),
)
