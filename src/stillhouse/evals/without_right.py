"""The score columns of answers where nobody knows what is right: the teacher's are the reference.

What says that an answer is right is left out, not computed against the teacher under the same
name: `agreement` and its fields say how often an answer is the teacher's.
"""

from __future__ import annotations

from collections.abc import Mapping

from stillhouse.evals.metric import SHARE, Metric
from stillhouse.evals.scores import Column
from stillhouse.evals.texts import BLEU_COLUMNS, CHRF_COLUMNS

TEACHERS_ANSWERS = "the teacher's answers"
"""What others are measured against, in the words of every page."""
NOT_KNOWN = (
    f"Measured against {TEACHERS_ANSWERS}, right or wrong: nobody knows what is right here, so "
    "exact match, accuracy and calibration are not measured."
)
"""What every page and table says of such numbers."""

OF_FORM = frozenset(("valid_json", "asked", "unreadable"))
"""Columns that tell of an answer's form alone."""

_OF_NEARNESS = frozenset(
    ("rouge_l", *BLEU_COLUMNS, *CHRF_COLUMNS, "error", "squared_error", "farthest")
)
"""Columns that tell how near an answer is to the reference, whoever gave it."""

_AS_TEACHER = {"fields_right": "fields_as_teacher", "fields": "fields_of_teacher"}


def without_right(columns: Mapping[str, Column], *, is_teacher: bool) -> dict[str, Column]:
    """The same columns, without those that say what is right.

    Args:
        columns: of answers compared with the teacher's.
        is_teacher: they are the teacher's own, whose nearness to itself says nothing.

    Returns:
        The counts of JSON fields that are right under names that say whose they are.
    """
    kept = OF_FORM if is_teacher else OF_FORM | _OF_NEARNESS
    found = {name: values for name, values in columns.items() if name.partition(":")[0] in kept}
    if not is_teacher:
        found |= {ours: columns[name] for name, ours in _AS_TEACHER.items() if name in columns}
    return found


def reference_in_words(num_examples: int, left_out: Mapping[str, int]) -> str:
    """What a reader must know of numbers that are measured against the teacher's answers.

    Args:
        num_examples: that were measured.
        left_out: reason to the rows that nobody is measured on.

    Returns:
        One sentence, or two.
    """
    if not left_out:
        return NOT_KNOWN
    lost = sum(left_out.values())
    why = ", ".join(f"{reason} {count:,}" for reason, count in left_out.items())
    return (
        f"{NOT_KNOWN} {lost:,} of {num_examples + lost:,} rows are left out for every candidate, "
        f"because the teacher's answer cannot be measured against: {why}."
    )


METRICS = (
    Metric(
        "field_agreement",
        "Fields as the teacher's",
        "higher",
        "Share of the JSON fields of the teacher's answers that are equal.",
        ("fields_as_teacher", "fields_of_teacher"),
        counted="fields_of_teacher",
        scale=SHARE,
    ),
)
