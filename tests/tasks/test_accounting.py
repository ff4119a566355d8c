"""A spreadsheet on bookkeeping: every fault stands in it, and most questions are answered."""

from __future__ import annotations

import re
from collections import Counter

from stillhouse.data.blanks import ask_for_blanks
from stillhouse.tasks.accounting.phrases import KINDS, SIDES, STATEMENTS
from stillhouse.tasks.accounting.rows import COLUMNS, FAULTS, generate_rows

ROWS = [row.fields for row in generate_rows(2000, seed=0, noise=0.0)]
ASKED = [(row["Question"], row["Answer"]) for row in ROWS]
KIND_OF = {account: kind for kind, accounts in KINDS.items() for account in accounts}


def test_a_longer_list_begins_with_the_shorter_and_noise_changes_answers_alone():
    longer = [row.fields for row in generate_rows(2100, seed=0, noise=0.0)]
    noisy = [row.fields for row in generate_rows(2000, seed=0, noise=0.3)]
    assert longer[:2000] == ROWS
    assert [row.fields for row in generate_rows(2000, seed=1, noise=0.0)] != ROWS
    others = [name for name in COLUMNS if name != "Answer"]
    assert all(a[name] == b[name] for a, b in zip(ROWS, noisy, strict=True) for name in others)
    share = sum(a != b for a, b in zip(ROWS, noisy, strict=True)) / len(ROWS)
    assert 0.2 < share < 0.3


def test_every_fault_of_a_spreadsheet_stands_among_the_rows_by_its_share():
    assert set(ROWS[0]) == set(COLUMNS)
    found = {
        "marked no": sum(row["Classification"] == "no" for row in ROWS),
        "marked invalid": sum(row["Correction_Question"] == "invalid" for row in ROWS),
        "near copy": sum(asked.startswith("Please, ") for asked, _ in ASKED),
        "off topic": sum(
            bool(re.search("chapter|syllabus|eggs|bird", asked)) for asked, _ in ASKED
        ),
        "no answer": sum(not answer for _, answer in ASKED),
    }
    for fault, number in found.items():
        assert 0.5 * FAULTS[fault] < number / len(ROWS) < 1.7 * FAULTS[fault], fault
    copies = sum(number - 1 for number in Counter(ASKED).values())
    assert copies >= FAULTS["copy"] * len(ROWS)
    answers = Counter(asked for asked, _ in set(ASKED))
    assert sum(number > 1 for number in answers.values()) >= 0.5 * FAULTS["second answer"] * 2000


def test_blanks_have_a_rule_that_asks_for_them_and_options_hold_their_answer():
    blanks = [one for one in ASKED if "__" in one[0]]
    choices = [one for one in ASKED if "(a)" in one[0] and one[1]]
    assert len(blanks) > 100
    assert len(choices) > 100
    for text, answer in blanks[:50]:
        asked = ask_for_blanks(text, answer)
        assert asked.endswith("?")
        assert "__" not in asked
    told = Counter(answer in KINDS for _, answer in choices)
    assert min(told.values()) > 30


def test_entries_balance_and_name_the_amount_of_the_question():
    entries = [one for one in ASKED if one[1].startswith("Debit") and "$" in one[0]]
    right = 0
    for question, answer in entries:
        debit, credit = re.findall(r"\$\d+", answer)
        assert debit == credit
        right += debit in question
    assert right / len(entries) > 0.95  # the others are second answers


def test_sides_and_reports_follow_from_the_kind_of_the_account():
    wrong = 0
    asked = [one for one in ASKED if re.match("On which side|In which report", one[0]) and one[1]]
    for question, answer in asked:
        kind = next(kind for account, kind in KIND_OF.items() if f" {account} " in question)
        wrong += SIDES[kind] not in answer and STATEMENTS[kind] not in answer
    assert len(asked) > 200
    assert wrong / len(asked) < 0.05
