"""What is measured has no near copy among what is learned, or the report says how many have one."""

import json
from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Drop, Message, Row
from stillhouse.data.drafts import draft_of
from stillhouse.data.leaks import near_learned
from stillhouse.data.near_duplicates import find_near, shingle
from stillhouse.data.prepare import prepare_rows
from stillhouse.data.readers import build_rows
from stillhouse.data.split import NEAR_LEARNED, SplitStep
from stillhouse.data.words import words_of
from stillhouse.recipes.rows import Prepare, Split

SONGS = (
    "amazing grace how sweet the sound that saved a wretch like me",
    "come thou fount of every blessing tune my heart to sing thy grace",
    "rivers of dust run under the old road where my father used to drive",
)
LONG = "the quick brown fox jumps over the lazy dog and runs into the deep dark wood again"


def draft(index, text):
    row = Row(f"{index:020x}", {"q": text}, f"a.csv:{index}")
    asked = (Message("user", f"A template of words: {text}"),)
    return replace(draft_of(row, asked, "a", "a"), own_text=text)


def split_of(drafts, **settings):
    kept, dropped = {}, {}
    for outcome in SplitStep(Split(**settings)).process(drafts):
        if isinstance(outcome, Drop):
            dropped[outcome.row.row_id] = outcome
        else:
            kept[outcome.row.row_id] = outcome
    return kept, dropped


def families():
    """Forty families of three nearly equal rows, numbers among what differs."""
    return [
        draft(3 * number + at, f"{SONGS[number % 3]} verse {number} {number * 7} {ending} of it")
        for number in range(40)
        for at, ending in enumerate(("the end", "The end!", "the  end"))
    ]


def test_rows_that_say_nearly_the_same_stay_in_one_part_and_else_are_told():
    drafts = families()
    parts = {"holdout": 0.2, "labelled": "rest"}

    apart, _ = split_of(drafts, parts=parts)
    together, _ = split_of(drafts, parts=parts, near_duplicates=0.8)

    told = sum(NEAR_LEARNED in one.notes for one in apart.values())
    assert told > 0.5 * sum(one.row.part == "holdout" for one in apart.values())
    assert not any(one.notes for one in together.values())
    for number in range(40):
        family = {together[f"{3 * number + at:020x}"].row.part for at in range(3)}
        assert len(family) == 1


def test_a_row_to_learn_that_shares_many_words_with_a_measured_one_ends():
    drafts = [draft(index, f"question {index} {LONG if index % 10 == 0 else index}")
              for index in range(100)]  # fmt: skip

    kept, dropped = split_of(drafts, parts={"holdout": 50, "labelled": "rest"}, shared_words=13)

    parts = defaultdict(set)
    for one in kept.values():
        parts[LONG in one.row.own_text].add(one.row.part)
    assert parts[True] == {"holdout"}
    assert {one.reason for one in dropped.values()} == {"shares words with a measured row"}
    assert all("17 words of row 0000" in one.evidence for one in dropped.values())


texts = st.lists(st.lists(st.sampled_from("abcde"), min_size=3, max_size=9), min_size=2, max_size=8)


@settings(max_examples=40, deadline=None)
@given(texts, st.integers(1, 7))
def test_a_near_copy_is_found_wherever_a_plain_search_finds_one(texts, num_wanted):
    joined = [" ".join(words) for words in texts]
    shingled = shingle([str(at) for at in range(len(texts))], joined, 2)
    num_wanted = min(num_wanted, len(texts) - 1)
    wanted, others = np.arange(num_wanted), np.arange(num_wanted, len(texts))

    found = find_near(shingled, wanted, others, 0.8)

    def groups(text):
        words = words_of(text)
        return {tuple(words[at : at + 2]) for at in range(len(words) - 1)}

    def overlap(one, other):
        first, second = groups(joined[one]), groups(joined[other])
        return len(first & second) / len(first | second)

    for one in wanted:
        assert (one in found) == any(overlap(one, other) >= 0.8 for other in others)
    assert all(overlap(one, other) >= 0.8 for one, other in found.items())


def test_the_words_of_the_template_are_no_near_copy():
    rows = [(f"x:{number}", {"q": word, "a": "b"}) for number, word in
            enumerate(("money", "rivers", "houses", "tigers", "flutes"))]  # fmt: skip
    recipe = Prepare(user=f"{LONG}: {{q}}", answer="a", split=Split(parts={"holdout": 2,
                     "labelled": 3}, near_duplicates=0.8, shared_words=8))  # fmt: skip

    made = prepare_rows(build_rows(rows), recipe)

    assert len(made.examples) == 5
    assert made.counts[-1].notes == {}


RATIOS = (
    {"labelled": 0.8, "holdout": "rest"},
    {"labelled": 0.9, "holdout": "rest"},
    {"labelled": 0.8, "validation": 0.1, "holdout": "rest"},
)


@pytest.mark.parametrize("parts", RATIOS)
def test_real_hymns_are_split_by_ratio_with_families_and_categories_kept(shared_file, parts):
    lines = shared_file("songs/openhymnal_a.jsonl").read_text(encoding="utf-8").splitlines()
    songs = [json.loads(line) for line in lines]
    songs = [{"title": song["title"], "genre": (song.get("category") or ["none"])[0],
              "lyrics": "\n".join(song["verses"]), "a": "x"} for song in songs]  # fmt: skip
    # The same song from a second source, in other writing.
    songs += [song | {"lyrics": song["lyrics"].upper().replace(",", "")} for song in songs[::3]]
    rows = list(build_rows((f"x:{number}", song) for number, song in enumerate(songs)))
    split = Split(parts=parts, stratify_by="genre", group_by=("title",), near_duplicates=0.8)
    prepare = Prepare(user="{title}\n{lyrics}", answer="a", split=split)

    made = prepare_rows(rows, prepare)

    sizes = Counter(example.part for example in made.examples)
    for part, share in parts.items():
        wanted = share if share != "rest" else 1 - sum(n for n in parts.values() if n != "rest")
        assert sizes[part] / len(rows) == pytest.approx(wanted, abs=0.02)
    fields = {row.row_id: row.fields for row in rows}
    part_of = defaultdict(set)
    for example in made.examples:
        part_of[fields[example.example_id]["title"]].add(example.part)
    assert all(len(found) == 1 for found in part_of.values())
    assert made.counts[-1].notes == {}
    cells = Counter((fields[one.example_id]["genre"], one.part) for one in made.examples)
    of_genre = Counter(genre for genre, part in cells.elements())
    for genre, count in of_genre.items():
        if count >= 20:
            assert cells[genre, "labelled"] / count == pytest.approx(parts["labelled"], abs=0.08)


def test_one_row_and_equal_rows_are_refused_with_what_to_do():
    recipe = Prepare(
        user="{q}", answer="a", split=Split(parts={"holdout": 0.2, "labelled": "rest"})
    )
    for number in (1, 50):
        rows = build_rows([("x:1", {"q": "same", "a": "b"})] * number)
        with pytest.raises(InputError, match="gets no row of 1") as caught:
            prepare_rows(list(rows), recipe)
        said = "; rows that ended before: duplicate 49"
        assert caught.value.message.endswith(said) == (number > 1)


def test_rows_that_differ_in_a_number_are_near_for_the_split():
    one, other = (
        draft(number, f"how many of the {number} green apples in all of the wide world are left "
              "for my dear old friends of the north and of the south") for number in (3, 5)
    )  # fmt: skip

    assert near_learned([one, other], {one.row_id: "holdout", other.row_id: "labelled"})
