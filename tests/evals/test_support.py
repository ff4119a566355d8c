"""A quotation is found in its passage, and words that it does not say are not."""

import json
import random

import pytest

from stillhouse.core.errors import InputError
from stillhouse.evals.scripture.find import find_references
from stillhouse.evals.scripture.references import Place, Reference
from stillhouse.evals.scripture.support import ENOUGH, read_verses, supports

VERSES = {
    ("John", 11, 34): "And said, Where have ye laid him? They said unto him, Lord, come and see.",
    ("John", 11, 35): "Jesus wept.",
    ("Ps", 23, 1): "The LORD is my shepherd; I shall not want.",
}


def ask(reference, words):
    return supports(find_references(reference)[0], words, VERSES)


def test_quoted_words_are_found_whatever_their_case_and_signs():
    found = ask("Psalm 23:1", "the Lord is my Shepherd, I shall not want")
    assert found.likeness == 1.0
    assert found.is_enough


def test_a_part_of_a_range_is_enough():
    assert ask("John 11:34-35", "They said unto him, Lord, come and see").is_enough


def test_other_words_are_not_supported():
    assert not ask("Psalm 23:1", "money answereth all things for ever and ever").is_enough


def test_a_long_claim_is_not_supported_by_a_short_verse_that_it_contains():
    assert not ask("John 11:35", "Jesus wept and then he told them to give up all hope").is_enough


def test_what_cannot_be_told_is_none():
    assert ask("Psalm 23:1", "my shepherd") is None
    assert ask("Psalm 24:1", "the earth is the Lord's and the fulness thereof") is None
    assert ask("Psalm 151:1", "the earth is the Lord's and the fulness thereof") is None


def test_verses_are_read_from_lines_and_a_bad_line_is_named(tmp_path):
    # given
    path = tmp_path / "verses.jsonl"
    good = {"book": "1 John", "chapter": 4, "verse": 8, "text": "God is love."}
    path.write_text(json.dumps(good) + "\n")
    assert read_verses(path) == {("1John", 4, 8): "God is love."}
    # then
    for bad in ('{"book": "1 John"}', "no json", json.dumps(good | {"verse": 99})):
        path.write_text(json.dumps(good) + "\n" + bad + "\n")
        with pytest.raises(InputError, match=r"verses\.jsonl:2"):
            read_verses(path)


def damaged_half(draw, text):
    words = text.split()
    middle = len(words) // 2
    half = words[:middle] if draw.random() < 0.5 else words[middle:]
    return " ".join(word for place, word in enumerate(half) if place % 5 != 4)


def test_the_threshold_parts_quotations_from_other_verses(shared_file):
    # given every ninth verse of half of the King James Version
    lines = shared_file("bible/kjv_books_shared.jsonl").read_text("utf-8").splitlines()[::9]
    rows, draw = [json.loads(line) for line in lines], random.Random(0)
    known = {f"{r['book']} {r['chapter']}:{r['verse']}": r["text"] for r in rows}
    verses, places = {}, []
    for name, text in known.items():
        place = find_references(name)[0].first
        verses[place.book.osis, place.chapter, place.verse] = text
        places.append(place)
    # when
    own, other = [], []
    for place, text in zip(places, known.values(), strict=True):
        words = damaged_half(draw, text)
        stranger = draw.choice(places)
        own.append(likeness(place, words, verses))
        if stranger != place:
            other.append(likeness(stranger, words, verses))
    own, other = [x for x in own if x is not None], [x for x in other if x is not None]
    # then
    assert len(own) > 1500
    assert sum(value >= ENOUGH for value in own) / len(own) > 0.98
    assert sum(value >= ENOUGH for value in other) / len(other) < 0.005


def likeness(place: Place, words, verses):
    found = supports(Reference(place, place), words, verses)
    return None if found is None else found.likeness
