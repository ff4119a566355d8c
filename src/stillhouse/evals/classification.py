"""Answers that are one class: accuracy, the positive side's rates, averages over classes, kappa.

An answer that cannot be read is wrong: no class at all where classes are averaged, and the opposite
of the reference where there is a positive side, so that no candidate looks safe by its silence.

Legend: N examples, S columns, R resamples, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.evals.bootstrap import Statistic, Sums, of_sums, ratio
from stillhouse.evals.metric import SHARE, Metric
from stillhouse.evals.ranks import TieGroups
from stillhouse.evals.scores import COUNT, Column
from stillhouse.recipes.answers import AnswerKind, name_class

NO_CLASS = 0.0
"""The code of an answer that is no class, and of a reference that is missing; it is not counted.

Classes begin at 1, so that the row of an example that is not asked holds zeros alone.
"""


def read_class(value: Any) -> str | None:
    """The class that a JSON value names, declared or not; None where it can name none."""
    # To JSON 1.0 is 1, as a language model well knows.
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return name_class(value) if isinstance(value, str | bool | int) else None


def read_label(kind: AnswerKind, value: Any) -> str | None:
    """The class that a JSON value names; None where it names none."""
    name = read_class(value)
    return name if name and (not kind.classes or name in kind.class_names) else None


def with_classes(kind: AnswerKind, wanted: Sequence[str | None]) -> AnswerKind:
    """The kind with its classes named: as declared, else those of the references and `positive`."""
    if kind.classes:
        return kind
    found = {name for name in wanted if name is not None} | kind.positive_names
    return kind.model_copy(update={"classes": tuple(sorted(found))})


def score_labels(
    kind: AnswerKind, said: Sequence[str | None], wanted: Sequence[str | None]
) -> dict[str, Column]:
    """Columns of one field whose answers are classes.

    Args:
        kind: the field's; its classes, or those of the references, are all there are.
        said: the candidate's; None where unreadable.
        wanted: the references; None where missing, which leaves every column 0.

    Returns:
        `right`: (N,) 0 or 1. `class_said`, `class_wanted`: (N,) codes of classes, 0 for none.
        With a positive side (N,) 0 or 1 of `positive`, `negative`, `said_positive`,
        `true_positive`, `false_positive` and `false_negative`.
    """
    codes = _codes(kind, wanted)
    columns = {
        "right": np.array(
            [
                float(want is not None and got == want)
                for got, want in zip(said, wanted, strict=True)
            ]
        ),
        "class_said": np.array(
            [
                codes.get(got or "", NO_CLASS) if want is not None else NO_CLASS
                for got, want in zip(said, wanted, strict=True)
            ]
        ),
        "class_wanted": np.array([codes.get(want or "", NO_CLASS) for want in wanted]),
    }
    return columns | (_sides(kind, said, wanted) if kind.positive else {})


def score_same_label(
    kind: AnswerKind, said: Sequence[str | None], other: Sequence[str | None]
) -> dict[str, Column]:
    """Columns of two models' classes of the same examples, neither of which is the truth.

    Args:
        kind: the field's.
        said: one's; None where unreadable.
        other: the other's.

    Returns:
        `same_class_said`, `same_class_other`: (N,) codes; unreadable answers never agree.
    """
    codes = _codes(kind, [*said, *other])
    return {
        "same_class_said": np.array([codes.get(name or "", NO_CLASS) for name in said]),
        "same_class_other": np.array([codes.get(name or "", NO_CLASS) for name in other]),
    }


def _codes(kind: AnswerKind, names: Sequence[str | None]) -> dict[str, float]:
    classes = kind.class_names or sorted({name for name in names if name is not None})
    return {name: float(code) for code, name in enumerate(classes, start=1)}


def _sides(
    kind: AnswerKind, said: Sequence[str | None], wanted: Sequence[str | None]
) -> dict[str, Column]:
    asked = np.array([want is not None for want in wanted])
    positive = np.array([want in kind.positive_names for want in wanted])
    negative = asked & ~positive
    unreadable = np.array([got is None for got in said])
    yes = np.where(unreadable, negative, [got in kind.positive_names for got in said]) & asked
    sides = {
        "positive": positive,
        "negative": negative,
        "said_positive": yes,
        "true_positive": yes & positive,
        "false_positive": yes & negative,
        "false_negative": positive & ~yes,
    }
    return {name: side.astype(np.float64) for name, side in sides.items()}


def _over(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


def f1_of_sums(sums: Sums) -> NDArray[np.float64]:
    """(R,) F1 from sums of what was right, said and wanted; NaN where nothing was either."""
    return ratio(np.stack([2.0 * sums[:, 0], sums[:, 1] + sums[:, 2]], axis=1))


Counts = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
"""(R, C) each: how often a class was right, said and wanted."""


def _of_classes(function: Callable[[Counts], NDArray[np.float64]]) -> Statistic:
    """The statistic of two columns of codes that sees the counts of each class alone."""

    def statistic(
        columns_NS: NDArray[np.float64], weights_RN: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        said_N, wanted_N = columns_NS[:, 0], columns_NS[:, 1]
        num_classes = int(max(said_N.max(), wanted_N.max()))
        both_RN = weights_RN * (said_N == wanted_N)
        both, said, wanted = (
            _count(codes_N, counted_RN, num_classes)
            for codes_N, counted_RN in (
                (wanted_N, both_RN),
                (said_N, weights_RN),
                (wanted_N, weights_RN),
            )
        )
        return function((both, said, wanted))

    return statistic


def _count(
    codes_N: NDArray[np.float64], weights_RN: NDArray[np.float64], num_classes: int
) -> NDArray[np.float64]:
    """(R, C) how often each class is there; what is no class is not counted."""
    # Sorted and added up, because a product with C columns is slow where texts are named classes.
    groups = TieGroups.of(codes_N)
    codes_G = codes_N[groups.order_N][groups.starts_G].astype(np.intp)
    counts_RC = np.zeros((len(weights_RN), num_classes))
    is_class_G = codes_G != NO_CLASS
    counts_RC[:, codes_G[is_class_G] - 1] = groups.sums(weights_RN)[:, is_class_G]
    return counts_RC


def mean_over_classes(
    values_RC: NDArray[np.float64], occurs_RC: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """(R,) the mean over the classes that occur; NaN where none does.

    Args:
        values_RC: (R, C), one value a class.
        occurs_RC: (R, C), which classes count.

    Returns:
        Means.
    """
    return ratio(np.stack([np.where(occurs_RC, values_RC, 0.0).sum(1), occurs_RC.sum(1)], axis=1))


def macro_f1(counts: Counts) -> NDArray[np.float64]:
    """(R,) mean F1 of the classes that were said or wanted."""
    both, said, wanted = counts
    return mean_over_classes(_over(2.0 * both, said + wanted), said + wanted > 0)


def macro_precision(counts: Counts) -> NDArray[np.float64]:
    """(R,) mean precision of the classes that were said or wanted, 0 of those never said."""
    both, said, wanted = counts
    return mean_over_classes(_over(both, said), said + wanted > 0)


def macro_recall(counts: Counts) -> NDArray[np.float64]:
    """(R,) mean recall of the classes that were said or wanted, 0 of those never wanted."""
    both, said, wanted = counts
    return mean_over_classes(_over(both, wanted), said + wanted > 0)


def micro_f1(counts: Counts) -> NDArray[np.float64]:
    """(R,) F1 of all classes' counts together; NaN where nothing was asked."""
    both, said, wanted = (part.sum(1) for part in counts)
    return f1_of_sums(np.stack([both, said, wanted], axis=1))


def _kappa(counts: Counts) -> NDArray[np.float64]:
    both, said, wanted = counts
    return _kappa_of(both, said, wanted, wanted.sum(1))


def _kappa_of(both: Any, said: Any, other: Any, num: Any) -> NDArray[np.float64]:
    observed = ratio(np.stack([both.sum(1), num], axis=1))
    expected = ratio(np.stack([(said * other).sum(1), num * num], axis=1))
    return ratio(np.stack([observed - expected, 1.0 - expected], axis=1))


def _kappa_of_two(
    columns_NS: NDArray[np.float64], weights_RN: NDArray[np.float64]
) -> NDArray[np.float64]:
    # Both may be unreadable, so that examples are counted and not what the other said.
    num = weights_RN.sum(1)
    return _of_classes(lambda counts: _kappa_of(*counts, num))(columns_NS, weights_RN)


_CODES = ("class_said:{field}", "class_wanted:{field}")
_SKLEARN = "scikit-learn, zero_division=nan"
_SKLEARN_AVERAGES = "scikit-learn, zero_division=0"
_ROC = "Fawcett 2006, Pattern Recognition Letters 27(8), section 2"
_UNREADABLE_IS_NO_CLASS = "an unreadable answer is no class"
_UNREADABLE_IS_OPPOSITE = "an unreadable answer counts as the opposite of its reference"
_OCCURRING = f"over the classes that were said or wanted; {_UNREADABLE_IS_NO_CLASS}"

LABEL_METRICS = (
    Metric(
        "accuracy.{field}",
        "Accuracy of {field}",
        "higher",
        "Share of answers whose class is the reference's; an unreadable answer is wrong.",
        ("right:{field}", "asked:{field}"),
        counted="asked:{field}",
        is_fraction=True,
    ),
    Metric(
        "precision.{field}",
        "Precision of {field}",
        "higher",
        "Of the answers on the positive side, the share that belongs there; not defined without "
        f"any; {_UNREADABLE_IS_OPPOSITE}.",
        ("true_positive:{field}", "said_positive:{field}"),
        counted="said_positive:{field}",
        is_fraction=True,
        source=_SKLEARN,
    ),
    Metric(
        "recall.{field}",
        "Recall of {field}",
        "higher",
        "Of the references on the positive side, the share that was found; not defined without "
        f"any; {_UNREADABLE_IS_OPPOSITE}.",
        ("true_positive:{field}", "positive:{field}"),
        counted="positive:{field}",
        is_fraction=True,
        source=_SKLEARN,
    ),
    Metric(
        "f1.{field}",
        "F1 of {field}",
        "higher",
        "Harmonic mean of precision and recall of the positive side; not defined where it is "
        f"neither said nor wanted; {_UNREADABLE_IS_OPPOSITE}.",
        ("true_positive:{field}", "said_positive:{field}", "positive:{field}"),
        of_sums(f1_of_sums),
        counted="asked:{field}",
        source=_SKLEARN,
        scale=SHARE,
    ),
    Metric(
        "false_positive_rate.{field}",
        "False positive rate of {field}",
        "lower",
        f"Of the references on the negative side, the share that was called positive; not defined "
        f"where there is none; {_UNREADABLE_IS_OPPOSITE}.",
        ("false_positive:{field}", "negative:{field}"),
        counted="negative:{field}",
        is_fraction=True,
        source=_ROC,
    ),
    Metric(
        "false_negative_rate.{field}",
        "False negative rate of {field}",
        "lower",
        f"Of the references on the positive side, the share that was missed; not defined where "
        f"there is none; {_UNREADABLE_IS_OPPOSITE}.",
        ("false_negative:{field}", "positive:{field}"),
        counted="positive:{field}",
        is_fraction=True,
        source=_ROC,
    ),
    Metric(
        "macro_f1.{field}",
        "Macro F1 of {field}",
        "higher",
        f"Mean F1 {_OCCURRING}.",
        _CODES,
        _of_classes(macro_f1),
        counted="asked:{field}",
        source=_SKLEARN_AVERAGES,
        scale=SHARE,
    ),
    Metric(
        "macro_precision.{field}",
        "Macro precision of {field}",
        "higher",
        f"Mean precision {_OCCURRING}.",
        _CODES,
        _of_classes(macro_precision),
        counted="asked:{field}",
        source=_SKLEARN_AVERAGES,
        scale=SHARE,
    ),
    Metric(
        "macro_recall.{field}",
        "Macro recall of {field}",
        "higher",
        f"Mean recall {_OCCURRING}.",
        _CODES,
        _of_classes(macro_recall),
        counted="asked:{field}",
        source=_SKLEARN_AVERAGES,
        scale=SHARE,
    ),
    Metric(
        "micro_f1.{field}",
        "Micro F1 of {field}",
        "higher",
        f"F1 of all classes' counts together; {_UNREADABLE_IS_NO_CLASS}.",
        _CODES,
        _of_classes(micro_f1),
        counted="asked:{field}",
        source=_SKLEARN,
        scale=SHARE,
    ),
    Metric(
        "kappa.{field}",
        "Cohen's kappa of {field}",
        "higher",
        f"Agreement with the references beyond chance; {_UNREADABLE_IS_NO_CLASS}; not defined "
        "where both know one class alone.",
        _CODES,
        _of_classes(_kappa),
        counted="asked:{field}",
        unit="kappa",
        source="Cohen 1960, Educational and Psychological Measurement 20(1); scikit-learn",
        scale=(-1.0, 1.0),
    ),
)
"""What is measured of every field that is one class."""

SAME_LABEL_METRICS = (
    Metric(
        "kappa_to_teacher.{field}",
        "Cohen's kappa of {field}, with the teacher",
        "higher",
        "Agreement with the teacher's classes beyond chance; unreadable answers never agree.",
        ("same_class_said:{field}", "same_class_other:{field}", COUNT),
        _kappa_of_two,
        unit="kappa",
        source="Cohen 1960, Educational and Psychological Measurement 20(1); scikit-learn",
        scale=(-1.0, 1.0),
    ),
)
"""What is measured of two models' classes."""
