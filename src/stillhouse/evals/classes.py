"""A candidate's probabilities of named answers against its teacher's.

Legend: N examples, C classes.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from stillhouse.evals.metric import SHARE, Metric
from stillhouse.evals.scores import Column

Floats = NDArray[np.float64]
CLASSED = "classed"
"""The column that is 1 where an example's answer has a place for the classes."""


def score_classes(teacher_NC: Floats, own_NC: Floats) -> dict[str, Column]:
    """The columns of a candidate against its teacher.

    Args:
        teacher_NC: (N, C) log-probabilities, nats, normalised over the classes.
        own_NC: (N, C) the candidate's.

    Returns:
        (N,) each: `class_kl`, KL(teacher || candidate), and `class_jsd`, nats; `class_same`, 1
        where both find one class likeliest, the first of equals.

    Source: Hinton, Vinyals & Dean 2015, arXiv:1503.02531, section 2; Lin 1991.
    """
    middle_NC = np.logaddexp(teacher_NC, own_NC) - math.log(2.0)
    return {
        "class_kl": _kl(teacher_NC, own_NC),
        "class_jsd": (_kl(teacher_NC, middle_NC) + _kl(own_NC, middle_NC)) / 2.0,
        "class_same": (teacher_NC.argmax(1) == own_NC.argmax(1)).astype(np.float64),
    }


def _kl(first_NC: Floats, second_NC: Floats) -> Column:
    probs_NC = np.exp(first_NC)
    apart_NC = np.where(probs_NC > 0, first_NC - second_NC, 0.0)
    found: Column = np.maximum((probs_NC * apart_NC).sum(1), 0.0)
    return found


CLASS_METRICS = (
    Metric(
        "class_kl_to_teacher",
        "KL to the teacher over the classes",
        "lower",
        "Mean KL(teacher || candidate) over the named answers of label.classes, each by the "
        "likelihood of its whole answer.",
        ("class_kl", CLASSED),
        counted=CLASSED,
        unit="nats",
        source="Hinton, Vinyals & Dean 2015, arXiv:1503.02531, section 2",
    ),
    Metric(
        "class_jsd_to_teacher",
        "JSD to the teacher over the classes",
        "lower",
        "Mean Jensen-Shannon divergence of both distributions over the named answers, at most "
        "0.69.",
        ("class_jsd", CLASSED),
        counted=CLASSED,
        unit="nats",
        source="Lin 1991, IEEE Transactions on Information Theory 37(1)",
        scale=(0.0, math.log(2.0)),
    ),
    Metric(
        "class_agreement",
        "Likeliest class as the teacher's",
        "higher",
        "Share of examples where both find the same named answer likeliest.",
        ("class_same", CLASSED),
        counted=CLASSED,
        is_fraction=True,
        scale=SHARE,
    ),
)
"""What is measured of a candidate where the recipe names classes."""
