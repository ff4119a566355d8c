"""Answers of the teacher that were cut are counted, and refused above the recipe's share."""

import pytest

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Completion, Example, Message
from stillhouse.recipes.labels import Label
from stillhouse.stages.completing import refuse_many_cut

EXAMPLES = [
    Example(str(place), "labelled", (Message("user", "q"),), "gold" if place < 4 else None)
    for place in range(10)
]


def said(num_cut):
    """Gold text for the first four, and of the teacher's six answers so many cut."""
    return [
        Completion(one.example_id, "a", "length" if place >= 10 - num_cut else "stop", 3)
        for place, one in enumerate(EXAMPLES)
    ]


def test_half_of_the_teachers_answers_may_be_cut_unless_told_otherwise():
    refuse_many_cut(EXAMPLES, Label(), said(3))
    with pytest.raises(InputError, match=r"4 of the teacher's 6 answers were cut at label\.max"):
        refuse_many_cut(EXAMPLES, Label(), said(4))


def test_the_share_is_of_what_the_teacher_was_asked():
    refuse_many_cut(EXAMPLES, Label(completions="teacher", cut_at_most=0.6), said(6))
    with pytest.raises(InputError, match=r"allows 20%"):
        refuse_many_cut(EXAMPLES, Label(cut_at_most=0.2), said(2))
    refuse_many_cut(EXAMPLES, Label(cut_at_most=0.0), said(0))


def test_gold_text_alone_has_nothing_to_cut():
    refuse_many_cut(EXAMPLES[:4], Label(cut_at_most=0.0), said(0)[:4])
