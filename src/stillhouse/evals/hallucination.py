"""How often answers claim what nothing supports: any claim, and each kind of claim.

An example counts once, however many claims it holds. What was found is a matter of letters and
tables, so the rate is a lower bound: a claim that looks supported may still be wrong.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np

from stillhouse.evals.metric import Metric
from stillhouse.evals.scores import COUNT, Column, Scores

KINDS = {
    "scripture": "name scripture that does not exist",
    "quote": "quote words that the named verse does not say",
    "theme": "name a theme for which the text has no word",
    "claim": "claim themes or scripture of a text without words",
    "biblical": "speak of a person of the Bible whom the text does not name",
}
"""Kind of claim to what answers do."""

_ANY = "hallucination"
_PREFIX = "hallucination:"
_UNJUDGED = "claims_unjudged"

METRICS = (
    Metric(
        "hallucination_rate",
        "Unsupported claims",
        "lower",
        "Share of answers with at least one claim of any kind that nothing supports.",
        (_ANY, COUNT),
        is_fraction=True,
    ),
    Metric(
        "unjudged_claims",
        "Claims that were not judged",
        "lower",
        "Share of answers with a claim that nothing here can judge, such as an unknown theme.",
        (_UNJUDGED, COUNT),
        is_fraction=True,
    ),
)


def hallucination_columns(
    found: Sequence[Collection[str]], is_unjudged: Sequence[bool]
) -> dict[str, Column]:
    """The columns of unsupported claims.

    Args:
        found: the kinds of claims found in each answer, names of `KINDS`.
        is_unjudged: whether it holds a claim that could not be judged.

    Returns:
        0 or 1 an example: `hallucination` for any kind, one column for each kind, and
        `claims_unjudged`.
    """
    columns = {
        _ANY: np.array([float(bool(kinds)) for kinds in found]),
        _UNJUDGED: np.array(is_unjudged, dtype=np.float64),
    }
    for kind in KINDS:
        columns[_PREFIX + kind] = np.array([float(kind in kinds) for kinds in found])
    return columns


def hallucination_metrics(scores: Scores) -> Iterator[Metric]:
    """One metric for each kind that the scores have a column for."""
    for kind, what in KINDS.items():
        if scores.has(_PREFIX + kind):
            yield Metric(
                f"hallucination.{kind}",
                f"Unsupported: {kind}",
                "lower",
                f"Share of answers that {what}.",
                (_PREFIX + kind, COUNT),
                is_fraction=True,
            )
