import json
from collections import Counter
from itertools import islice

import pytest

from stillhouse.recipes.rows import SampleRows
from stillhouse.tasks.sample_rows import sample_rows
from stillhouse.tasks.songs.analysis import read_analysis
from stillhouse.tasks.songs.annotation_faults import Song, find_faults
from stillhouse.tasks.songs.criteria import VERDICTS
from stillhouse.tasks.songs.rows import generate_rows
from stillhouse.tasks.songs.rules import judge
from stillhouse.tasks.songs.unsupported import find_unsupported
from stillhouse.tasks.songs.writer import sample_lines

TOGETHER = (("verdict", "score", "safety"), ("themes", "rationale"), ("sentiment", "emotion"))


@pytest.fixture(scope="module")
def clean():
    return [row.fields for row in generate_rows(1000, 0, 0.0)]


def test_the_same_seed_gives_the_same_rows_and_a_prefix_of_a_longer_list():
    first = list(generate_rows(50, 3, 0.2))

    assert list(islice(generate_rows(500, 3, 0.2), 50)) == first
    assert list(generate_rows(50, 4, 0.2)) != first
    assert list(sample_rows(SampleRows(task="songs", rows=50, seed=3, noise=0.2))) == first


def test_noise_changes_annotations_only_and_keeps_each_in_step_with_itself(clean):
    noisy = [row.fields for row in generate_rows(1000, 0, 0.3)]

    for one, other in zip(clean, noisy, strict=True):
        assert {**one, "analysis": ""} == {**other, "analysis": ""}
        assert one["analysis"] == one["truth"]
    for names in TOGETHER:
        changed = sum(
            any(row["analysis"][name] != row["truth"][name] for name in names) for row in noisy
        )
        assert 0.15 < changed / 1000 <= 0.33
    faults = [find_faults(json.dumps(row["analysis"]), Song(row["lyrics"])) for row in noisy]
    assert not any(fault.kind in ("score", "verdict") for found in faults for fault in found)


def test_what_a_song_was_meant_to_say_stands_in_its_lyrics(clean):
    for row in clean:
        meant = read_analysis(json.dumps(row["truth"]))
        assert find_unsupported(meant, row["lyrics"]) == []
    faults = Counter(
        fault.kind
        for row in clean
        for fault in find_faults(json.dumps(row["truth"]), Song(row["lyrics"]))
    )
    # Irony and borrowed words lie 50 points from what the words alone say; a few in a thousand do.
    assert set(faults) <= {"other_song"}
    assert faults.total() <= 10


def test_every_verdict_theme_and_genre_occurs_and_no_song_twice(clean):
    verdicts = Counter(row["truth"]["verdict"] for row in clean)
    themes = {theme for row in clean for theme in row["truth"]["themes"]}

    assert min(verdicts[name] for name in VERDICTS) >= 100
    assert themes == {one.name for tier in sample_lines().themes.values() for one in tier}
    assert {row["genre"] for row in clean} == set(sample_lines().genres)
    assert len({row["lyrics"] for row in clean}) >= 995
    assert all(len(row["lyrics"].split("\n")) == 4 for row in clean)


def test_whoever_counts_words_is_right_about_most_songs_and_far_from_all(clean):
    right = sum(judge(row["lyrics"]).verdict == row["truth"]["verdict"] for row in clean)

    assert 0.55 <= right / 1000 <= 0.75
