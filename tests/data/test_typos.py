"""Misspellings are as many, of the kinds, and as repeatable as the recipe says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.data.edit_kinds import KINDS, edit_of, ours, print_tables, read_pairs, soundex, table_of

from stillhouse.data.typos import misspell

TEXT = "The accountant records depreciation of $5,000 because machinery wears out over its life."


def test_edits_are_of_the_kinds_of_real_misspellings(shared_file):
    real = read_pairs(shared_file("typos/wikipedia_misspellings.txt"))

    wanted, found = table_of(real), table_of(ours(real))

    for kind in KINDS:
        assert found[kind] == pytest.approx(wanted[kind], abs=0.04), kind
    assert found["phonetic"] == pytest.approx(wanted["phonetic"], abs=0.06)
    for trait in ("beside", "first third", "last third"):
        assert found[trait] == pytest.approx(wanted[trait], abs=0.12), trait


@pytest.mark.parametrize(
    ("wrong", "right", "kind"),
    [
        ("abondon", "abandon", "substitute a vowel"),
        ("abilty", "ability", "delete"),
        ("comit", "commit", "undouble"),
        ("bannana", "banana", "double"),
        ("recieve", "receive", "transpose"),
        ("cookeies", "cookies", "insert"),
        ("apsence", "absence", "substitute"),
        ("fonetic", "phonetic", "several"),
    ],
)
def test_an_edit_is_named(wrong, right, kind):
    assert edit_of(wrong, right)[0] == kind


def test_soundex_is_the_american_one():
    names = ("robert", "rupert", "rubin", "ashcraft", "tymczak", "pfister", "honeyman")
    assert [soundex(name) for name in names] == [
        "r163", "r163", "r150", "a261", "t522", "p236", "h555"
    ]  # fmt: skip


@pytest.mark.long
def test_the_table_of_edits_is_told(shared_file):
    real = read_pairs(shared_file("typos/wikipedia_misspellings.txt"))
    print()
    print_tables({"real": real, "ours": ours(real)})


@pytest.mark.parametrize(("every", "wanted"), [(1, 8), (2, 6), (4, 3), (13, 1), (100, 0)])
def test_one_word_in_so_many_is_misspelled(every, wanted):
    before, after = TEXT.split(), misspell(TEXT, "row", every).split()

    assert len(after) == len(before)
    assert sum(a != b for a, b in zip(before, after, strict=True)) == wanted


def test_the_same_seed_gives_the_same_errors_and_another_others():
    assert misspell(TEXT, "row 1") == misspell(TEXT, "row 1") != misspell(TEXT, "row 2")


def test_short_words_numbers_and_first_letters_stay():
    for seed in range(50):
        after = misspell(TEXT, str(seed), 1).split()
        for old, new in zip(TEXT.split(), after, strict=True):
            assert old[0] == new[0]
            assert old == new or sum(map(str.isalpha, old)) >= 4


@given(st.text(max_size=60), st.integers(1, 6))
def test_no_text_is_too_strange(text, every):
    after = misspell(text, "seed", every)

    assert [c for c in after if c.isspace()] == [c for c in text if c.isspace()]
