"""What two texts must have in common to mean the same."""

import pytest

from stillhouse.data.meaning import claims_of


@pytest.mark.parametrize(
    "text", ["It isn't.", "it ISN’T", "dont", "Not here", "never", "cannot", "can't", "no one"]
)
def test_a_denial_is_seen_with_its_apostrophe_and_without(text):
    assert claims_of(text).denies


@pytest.mark.parametrize("text", ["an important want", "the current amount", "a note", "", "know"])
def test_words_that_end_like_a_denial_are_none(text):
    assert not claims_of(text).denies


def test_numbers_count_as_often_as_they_stand_and_commas_do_not():
    assert claims_of("5 of 1,000 and 5").numbers == ("1000", "5", "5")
