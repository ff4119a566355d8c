"""What the guide of the direct variant tests of its rows, with shares in place of exact sizes."""

import json
from collections import Counter, defaultdict

import pytest

from stillhouse.core.rows import Message
from stillhouse.data.chat_lines import chat_line
from stillhouse.data.conversations import build_shaper
from stillhouse.data.split import assign_parts
from stillhouse.recipes.load import load_recipe
from stillhouse.tasks.songs.rows import generate_rows

NINE_IN_TEN = ("prepare.split.parts={labelled: 0.9, validation: 0.05, holdout: rest}",)
NUM_SONGS = 1000


@pytest.fixture(scope="module")
def songs():
    return list(generate_rows(NUM_SONGS, 3, 0.0))


def drafts_of(recipe, songs):
    return list(map(build_shaper(recipe.prepare), songs))


@pytest.mark.parametrize(("changes", "share"), [((), 0.8), (NINE_IN_TEN, 0.9)])
def test_both_splits_keep_every_genre_and_have_no_song_on_both_sides(songs, changes, share):
    recipe = load_recipe("songs-sft", changes).recipe

    parts = assign_parts(drafts_of(recipe, songs), recipe.prepare.split)

    learned = {row.row_id for row in songs if parts[row.row_id][0] == "labelled"}
    assert len(learned) / len(songs) == pytest.approx(share, abs=0.01)
    genres, of_genre, sides = Counter(), Counter(), defaultdict(set)
    for row in songs:
        is_learned = row.row_id in learned
        genres[row.fields["genre"]] += 1
        of_genre[row.fields["genre"]] += is_learned
        sides[row.fields["title"], row.fields["artist"]].add(is_learned)
    assert len(genres) > 1
    assert all(abs(of_genre[one] / genres[one] - share) <= 0.05 for one in genres)
    assert all(len(one) == 1 for one in sides.values())


def test_a_thousand_songs_become_three_messages_each_with_all_that_is_judged(songs):
    recipe = load_recipe("songs-sft").recipe

    for draft in drafts_of(recipe, songs):
        line = json.loads(chat_line((*draft.prompt, Message("assistant", draft.answer))))
        messages = line["messages"]
        assert [one["role"] for one in messages] == ["system", "user", "assistant"]
        told = json.loads(messages[2]["content"])
        assert {"score", "verdict", "themes", "scripture_references"} <= set(told)
        assert 0 <= told["score"] <= 100
