"""A candidate's probabilities of named answers against its teacher's.

Legend: N examples, C classes.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from stillhouse.evals.metric import SHARE, Metric
from stillhouse.evals.scores import COUNT, Column
from stillhouse.evals.votes import SMOOTHING

Floats = NDArray[np.float64]
CLASSED = "classed"
"""The column that is 1 where the teacher tells an example's classes."""
UNREAD = "class_unread"


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


def score_written_classes(teacher_NC: Floats, own_NC: Floats) -> dict[str, Column]:
    """The columns where each wrote an answer of its own, in which its classes were read.

    Two that have made up their minds before they name a class are nearly certain, and a difference
    may be of any size: so `SMOOTHING` of the uniform distribution is mixed into both for the KL.

    Args:
        teacher_NC: (N, C) log-probabilities, nats; a row of NaN where no class can be read, so
            that there is nothing to compare with.
        own_NC: (N, C) the candidate's; a row of NaN is as wrong as it may be: certain of the class
            that the teacher finds least likely.

    Returns:
        As `score_classes`, 0 where the teacher tells none; and `classed`: (N,) 1 where it tells
        some.
    """
    is_told_N, is_read_N = is_read(teacher_NC), is_read(own_NC)
    even = -math.log(teacher_NC.shape[1])
    taught_NC = np.where(is_told_N[:, None], teacher_NC, even)
    with np.errstate(divide="ignore"):
        wrong_NC = np.log(certain_of_least(taught_NC))
    said_NC = np.where(is_read_N[:, None], own_NC, wrong_NC)
    found = score_classes(taught_NC, said_NC)
    found["class_kl"] = _kl(_smooth(taught_NC), _smooth(said_NC))
    found["class_same"] *= is_read_N
    told = {name: np.where(is_told_N, values, 0.0) for name, values in found.items()}
    return told | {CLASSED: is_told_N.astype(np.float64)}


def unread(own_NC: Floats) -> dict[str, Column]:
    """How often a candidate's answers have no class, which needs no teacher.

    Args:
        own_NC: (N, C) the candidate's; NaN where none can be read.

    Returns:
        `class_unread`: (N,) 1 there.
    """
    return {UNREAD: (~is_read(own_NC)).astype(np.float64)}


def is_read(logprobs_NC: Floats) -> NDArray[np.bool_]:
    """Whether each answer has a class to read.

    Args:
        logprobs_NC: (N, C) nats; NaN where it has none.

    Returns:
        (N,).
    """
    return np.array(~np.isnan(logprobs_NC).any(axis=1), dtype=np.bool_)


def certain_of_least(weights_NC: Floats) -> Floats:
    """Probabilities that are as wrong as they may be.

    Args:
        weights_NC: (N, C) what is right, in any unit.

    Returns:
        (N, C): 1 of the class of the least weight, the first of equals.
    """
    found: Floats = np.eye(weights_NC.shape[1])[weights_NC.argmin(1)]
    return found


def _smooth(logprobs_NC: Floats) -> Floats:
    even = math.log(SMOOTHING / logprobs_NC.shape[1])
    mixed: Floats = np.logaddexp(logprobs_NC + math.log1p(-SMOOTHING), even)
    return mixed


def _kl(first_NC: Floats, second_NC: Floats) -> Column:
    probs_NC = np.exp(first_NC)
    apart_NC = np.where(probs_NC > 0, first_NC - second_NC, 0.0)
    found: Column = np.maximum((probs_NC * apart_NC).sum(1), 0.0)
    return found


_OF_A_FIELD = (
    " Of one field of JSON answers it is read after what each wrote before it; an answer that "
    "names no class counts as certain of the teacher's least likely."
)

CLASS_METRICS = (
    Metric(
        "class_kl_to_teacher",
        "KL to the teacher over the classes",
        "lower",
        "Mean KL(teacher || candidate) over the named answers of label.classes, each by the "
        f"likelihood of its whole answer.{_OF_A_FIELD} There {SMOOTHING:g} of the uniform "
        "distribution is mixed into both.",
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
        f"0.69.{_OF_A_FIELD}",
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
        "Share of examples where both find the same named answer likeliest. Of one field of JSON "
        "answers it is read after what each wrote before it; an answer that names no class agrees "
        "with nothing.",
        ("class_same", CLASSED),
        counted=CLASSED,
        is_fraction=True,
        scale=SHARE,
    ),
    Metric(
        "class_unread",
        "Answers without a class",
        "lower",
        "Share of JSON answers whose label.class_field names none of label.classes.",
        (UNREAD, COUNT),
        is_fraction=True,
        scale=SHARE,
    ),
)
"""What is measured of a candidate where the recipe names classes."""
