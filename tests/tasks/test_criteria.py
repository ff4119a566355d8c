import pytest

from stillhouse.core.errors import InputError
from stillhouse.tasks.songs.criteria import CONCERN_LEVELS, VERDICTS, criteria, read_criteria
from stillhouse.tasks.songs.lexicon import band_of, lexicon

OURS = """
name: mine
criteria: [it is kind]
verdicts: {60: RECOMMENDED, 0: NOT_RECOMMENDED}
concern_levels: {50: Low, 0: Critical}
review: {confidence_below: 0.9}
"""


def test_the_packages_criteria_say_whose_they_are_and_cover_every_score():
    own = criteria()

    assert "Protestant" in own.name
    assert len(own.statements) == 5
    assert list(own.verdicts.values()) == list(VERDICTS)
    assert list(own.concern_levels.values()) == list(CONCERN_LEVELS)
    assert lexicon().verdicts is own.verdicts
    assert [band_of(score, own.verdicts) for score in (100, 75, 74.9, 45, 25, 24, 0)] == [
        VERDICTS[0], VERDICTS[0], VERDICTS[1], VERDICTS[1], VERDICTS[2], VERDICTS[3], VERDICTS[3],
    ]  # fmt: skip


def test_a_changed_copy_is_read(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(OURS)

    mine = read_criteria(path)

    assert (mine.name, mine.confidence_below) == ("mine", 0.9)
    assert band_of(59, mine.verdicts) == "NOT_RECOMMENDED"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("name: mine", "title: mine", "lacks name and has the unknown title"),
        ("RECOMMENDED, 0", "GOOD, 0", "'GOOD' is none of RECOMMENDED"),
        ("0: NOT_RECOMMENDED", "10: NOT_RECOMMENDED", "do not go from 0"),
        ("{50: Low, 0: Critical}", "[Low]", "are no bands of scores"),
        ("0.9", "90", "confidence_below is 90"),
        ("[it is kind]", "[it is kind", "is no YAML"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused(tmp_path, old, new, told):
    path = tmp_path / "mine.yaml"
    path.write_text(OURS.replace(old, new))

    with pytest.raises(InputError) as caught:
        read_criteria(path)

    assert told in caught.value.message


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.yaml cannot be read"):
        read_criteria(tmp_path / "none.yaml")
