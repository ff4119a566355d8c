"""The converting steps keep every row but those that they give a reason for."""

import pytest

from stillhouse.core.rows import Drop, Keep, Row
from stillhouse.data.account import run_step
from stillhouse.data.convert import ConvertBlanksStep, ConvertChoicesStep, DropWhereStep
from stillhouse.recipes.data_steps import ConvertBlanks, ConvertChoices, DropWhere

WHICH = "Which is an asset?\n(a) a debt\n(b) a machine\n(c) a loss"


def row(question="", answer="", **more):
    return Row("1", {"question": question, "answer": answer} | more, "a.csv:2")


def outcome(step, one):
    (found,) = step.process([one])
    return found


def choices(**settings):
    return ConvertChoicesStep(ConvertChoices(**settings))


@pytest.mark.parametrize(
    ("answer", "tier"), [("B", "label"), ("a machine", "exact"), ("a machne", "fuzzy")]
)
def test_a_multiple_choice_question_becomes_a_question_and_its_answer(answer, tier):
    found = outcome(choices(), row(WHICH, answer))

    assert found.row.fields == {
        "question": "Which is an asset?",
        "answer": "a machine",
        "answer_matched_by": tier,
    }


def test_a_question_about_its_own_options_keeps_them_or_goes():
    asked = WHICH.replace("Which is", "Which of the following is")

    assert outcome(choices(), row(asked, "b")).row.fields["question"] == asked
    dropped = outcome(choices(of_the_following="drop"), row(asked, "b"))
    assert dropped.reason == "asks about its own options"


def test_an_answer_that_is_no_option_ends_the_row_with_both():
    found = outcome(choices(), row(WHICH, "goodwill"))

    assert isinstance(found, Drop)
    assert (found.reason, found.evidence) == ("no option is the answer", "'goodwill' of 3")
    kept = row(WHICH, "goodwill")
    assert outcome(choices(unmatched="keep"), kept) == Keep(kept)


@pytest.mark.parametrize(
    "one",
    [row("What is 2+2?", "4"), row(WHICH, None), row(None, "a"), row(["x"], "a"), row(WHICH, 1.5)],
)
def test_every_other_row_is_kept_as_it_is(one):
    assert outcome(choices(), one) == Keep(one)
    assert outcome(ConvertBlanksStep(ConvertBlanks()), one) == Keep(one)


def test_fewer_options_than_asked_for_are_no_question():
    one = row(WHICH, "b")

    assert outcome(choices(at_least=4), one) == Keep(one)


def test_a_blank_is_asked_for():
    found = outcome(ConvertBlanksStep(ConvertBlanks()), row("Machines are ____.", "assets"))

    assert found.row.fields["question"] == "Machines are what?"


@pytest.mark.parametrize("value", ["no", " NO ", "No"])
def test_rows_that_say_no_are_dropped_however_it_is_written(value):
    step = DropWhereStep(DropWhere(field="Classification", equals=("no", "invalid")))

    kept, dropped, count = run_step(step, [row(Classification=value), row(Classification="yes")])

    assert (len(kept), len(dropped)) == (1, 1)
    assert count.dropped == {"Classification is no": 1}


@pytest.mark.parametrize("value", [1, 1.0, "1"])
@pytest.mark.parametrize("equals", [1, 1.0, "1"])
def test_a_number_is_dropped_however_a_table_writes_it(value, equals):
    step = DropWhereStep(DropWhere(field="n", equals=equals))

    assert outcome(step, row(n=value)).reason == "n is 1"
    assert outcome(step, row(n=1.5)) == Keep(row(n=1.5))


def test_a_row_without_the_field_is_kept():
    step = DropWhereStep(DropWhere(field="Classification", equals="no"))

    assert outcome(step, row()) == Keep(row())


def test_a_blank_above_options_is_asked_for_and_the_options_stay_behind_it():
    text = "Equity is what ____ after debts.\nA. remains\nB. comes"
    (kept,) = ConvertBlanksStep(ConvertBlanks()).process(
        [Row("1", {"question": text, "answer": "A"}, "r")]
    )
    asked = kept.row.fields["question"]
    assert asked == "Equity is what what after debts?\nA. remains\nB. comes"
    (kept,) = ConvertChoicesStep(ConvertChoices()).process([kept.row])
    assert kept.row.fields["answer"] == "remains"
