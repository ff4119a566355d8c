"""How many of a candidate's answers have a style reference such as "in the style of"."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stillhouse.data.style_references import has_style_reference
from stillhouse.evals.metric import Metric
from stillhouse.evals.scores import COUNT, Column


def score_styles(texts: Sequence[str]) -> dict[str, Column]:
    """`style_reference`: (N,) 1 for a text with a style reference, English or German."""
    return {"style_reference": np.array([float(has_style_reference(text)) for text in texts])}


METRICS = (
    Metric(
        "style_reference_rate",
        "Style references",
        "lower",
        'Share of answers with a phrase such as "in the style of", "-esque" or "im Stil von".',
        ("style_reference", COUNT),
        is_fraction=True,
    ),
)
