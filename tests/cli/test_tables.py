"""Tables for people: as wide as they are in a pipe, folded where a terminal is narrower."""

from stillhouse.cli.tables import folded_table, table

HEADER = ("", "teacher", "student", "twin")
ROWS = [["exact_match", "0.9 [0.8, 0.95]", "0.8 [0.7, 0.85]", "0.3 [0.2, 0.4]"],
        ["kl_to_teacher", "0", "0.1 [0.05, 0.2]", "0.6 [0.5, 0.7]"]]  # fmt: skip


def test_a_table_without_a_width_or_one_that_fits_is_left_as_it_is():
    whole = table(HEADER, ROWS)
    assert folded_table(HEADER, ROWS, 0) == whole
    assert folded_table(HEADER, ROWS, max(map(len, whole.splitlines()))) == whole


def test_a_table_that_is_too_wide_goes_on_below_with_the_same_first_column():
    folded = folded_table(HEADER, ROWS, 50)

    first, second = folded.split("\n\n")
    assert max(map(len, folded.splitlines())) <= 50
    assert first.splitlines()[0].split() == ["teacher", "student"]
    assert second.splitlines()[0].split() == ["twin"]
    assert second.splitlines()[2].split() == ["kl_to_teacher", "0.6", "[0.5,", "0.7]"]


def test_no_column_is_lost_however_narrow_a_terminal_is():
    assert folded_table(HEADER, ROWS, 3).count("exact_match") == 3
