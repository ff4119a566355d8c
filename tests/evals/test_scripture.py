"""References are found in text, read as they were meant, and checked against what exists."""

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.evals.scripture.books import book_by_osis, books
from stillhouse.evals.scripture.find import (
    complete_entries,
    find_entry_problem,
    find_references,
    read_references,
)
from stillhouse.evals.scripture.references import (
    Place,
    Reference,
    find_problem,
    is_valid,
    verses_of,
    write_reference,
)


def osis(text):
    return [found.osis for found in find_references(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("John 3:16", ["John.3.16"]),
        ("john 3:16-18", ["John.3.16-John.3.18"]),
        ("John 3:16–18", ["John.3.16-John.3.18"]),
        ("John 3-4", ["John.3-John.4"]),
        ("John 3:16-4:2", ["John.3.16-John.4.2"]),
        ("John 3:16, 18; 4:2", ["John.3.16", "John.3.18", "John.4.2"]),
        ("Jn 3:16 and 18", ["John.3.16", "John.3.18"]),
        ("John 3 verse 16", ["John.3.16"]),
        ("Ps 23", ["Ps.23"]),
        ("Isaiah 40:31b", ["Isa.40.31"]),
        ("Gen 1:1ff", ["Gen.1.1-Gen.1.31"]),
        ("Gen 1:1f.", ["Gen.1.1-Gen.1.2"]),
        ("Gen 12ff", ["Gen.12-Gen.50"]),
        ("Jude 5", ["Jude.1.5"]),
        ("Jude 1", ["Jude.1"]),
        ("Jude 3-4", ["Jude.1.3-Jude.1.4"]),
        ("Jude 1:3", ["Jude.1.3"]),
        ("3 John 4", ["3John.1.4"]),
        ("the Book of Jonah and the letter to the Romans", ["Jonah", "Rom"]),
        ("Deut 34:1 - Joshua 2:24", ["Deut.34.1-Josh.2.24"]),
        ("1 Cor 13:4-7, 2 Cor 5:17", ["1Cor.13.4-1Cor.13.7", "2Cor.5.17"]),
        ("Rom 8:1. Verse 28 too", ["Rom.8.1", "Rom.8.28"]),
        ("1 John 1:9", ["1John.1.9"]),
        ("I John 1:9", ["1John.1.9"]),
        ("First John 1:9", ["1John.1.9"]),
        ("1st Jn. 1:9", ["1John.1.9"]),
        ("First Letter to the Corinthians 13:4", ["1Cor.13.4"]),
        ("II Timothy 3.16", ["2Tim.3.16"]),
        ("Song of Songs 2:4; SoS 2:4", ["Song.2.4", "Song.2.4"]),
        ("Phillipians 4:13 and Ephesans 2:8", ["Phil.4.13", "Eph.2.8"]),
        ("2 Corithians 5:17", ["2Cor.5.17"]),
        ("Ezekiel 25-17", ["Ezek.25.17"]),
        ("Mark 4-4", ["Mark.4.4"]),
        ("Gen 1:1-Lev 2:3", ["Gen.1.1", "Lev.2.3"]),
    ],
)
def test_english_references_are_read_as_they_are_meant(text, expected):
    assert osis(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Joh 3,16", ["John.3.16"]),
        ("Römer 8,28-30", ["Rom.8.28-Rom.8.30"]),
        ("Roemer 8,28 f.", ["Rom.8.28-Rom.8.29"]),
        ("1. Mose 3,15.17", ["Gen.3.15", "Gen.3.17"]),
        ("5 Mose 6,4-9", ["Deut.6.4-Deut.6.9"]),
        ("Joh 3,16; 4,2", ["John.3.16", "John.4.2"]),
        ("Psalm 23,4", ["Ps.23.4"]),
        ("siehe Mt 5,3-12 und Lk 2,14", ["Matt.5.3-Matt.5.12", "Luke.2.14"]),
        ("1. Korinther 13,4-7.13", ["1Cor.13.4-1Cor.13.7", "1Cor.13.13"]),
        ("Erster Korinther 13,4", ["1Cor.13.4"]),
        ("Zweiter Brief an die Korinther 5,17", ["2Cor.5.17"]),
        ("Hoheslied 8,6", ["Song.8.6"]),
        ("Offenbarung 21,4 und Offb 22", ["Rev.21.4", "Rev.22"]),
        ("Sprüche 3,5-6; Jes 53,5; Apg 2,38", ["Prov.3.5-Prov.3.6", "Isa.53.5", "Acts.2.38"]),
        ("Johannes 3 Vers 16", ["John.3.16"]),
        ("Mk 1,14f.", ["Mark.1.14-Mark.1.15"]),
        ("Lk 2,1-20", ["Luke.2.1-Luke.2.20"]),
    ],
)
def test_german_names_and_commas_are_read(text, expected):
    assert osis(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("is 5", "it is 5:30", "I am 5:30", "mark 3 items", "Mark 3 items below", "acts 2 times"),
        *("job 1", "a job 2 people share", "numbers 12 to 15", "Numbers 104", "song 3", "Song 3"),
        *("he was 3 kings 4", "James 5 years later", "luke 8", "so 6:10 it was", "1 king 3 queens"),
        *("Mark 9:30 pm", "Either 3:16", "March 3:16", "Revolution 3:16", "the judges gave 5:4"),
        *("Verse 2:\nla la la", "versus 16", "play it 2 Samuel", "v 2", "Am 3 Uhr"),
        *("John - 4/18/2009", "John, 3 years old", "", "3:16", "chapter 3 verse 16"),
        *("Mark 2.0 is out", "Mark 2.5 million", "John 1.1 billion people"),
    ],
)
def test_ordinary_prose_holds_no_reference(text):
    assert osis(text) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [("Mark 3:5", ["Mark.3.5"]), ("Acts 2 says", ["Acts.2"]), ("Job 1.", ["Job.1"]),
     ("Is 9:6", ["Isa.9.6"]), ("Rom 8; Is 53", ["Rom.8", "Isa.53"]), ("see mark 3", [])],
)  # fmt: skip
def test_ambiguous_names_count_where_their_form_says_so(text, expected):
    assert osis(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Acts 29 says so", ["Acts.29"]),
        ("As Job 45 says, we wait", ["Job.45"]),
        ("It is written in Acts 29.", ["Acts.29"]),
        ("(see Mark 17)", ["Mark.17"]),
        ("Micah 9, too", ["Mic.9"]),
        ("Acts 29-30 tells of it", ["Acts.29-Acts.30"]),
        ("Apostelgeschichte 29 sagt", ["Acts.29"]),
        ("As Hezekiah 3:16 says", ["Hezekiah.3.16"]),
        ("2 Hesitations 4:1-3", ["2 Hesitations.4.1-2 Hesitations.4.3"]),
        ("Joh 3,16 und Babylonians 2:5", ["John.3.16", "Babylonians.2.5"]),
    ],
)
def test_what_does_not_exist_is_found_where_what_exists_is(text, expected):
    assert osis(text) == expected
    assert not is_valid(find_references(text)[-1])


@pytest.mark.parametrize(
    "text",
    [
        *("Job 45 failed", "Job 4711 says it failed", "Numbers 104, 105 and 106", "job 45 says"),
        *("Mark 45 is here", "Mark 99.5 million", "John 30", "acts 29.", "Monday 3:16"),
        *("Hezekiah 3:16 pm", "hezekiah 3:16", "Hezekiah 3", "Egyptians 3.16", "Thomas 3:16"),
        *("At 3:16 it rang", "Babylonians 700 BC", "Chorus 3:16", "Track 2:45"),
    ],
)
def test_no_book_or_chapter_is_invented_by_the_reader(text):
    assert osis(text) == []


def test_spans_and_texts_point_at_what_was_written():
    text = "As in John 3:16, 18 and (1 Cor. 13)!"
    found = find_references(text)
    assert [text[slice(*one.span)] for one in found] == [one.text for one in found]
    assert [one.text for one in found] == ["John 3:16", "18", "1 Cor. 13"]


def every_verse():
    return [
        Place(book, chapter, verse)
        for book in books()
        for chapter, count in enumerate(book.verses, 1)
        for verse in range(1, count + 1)
    ]


def test_every_verse_of_the_bible_exists_and_one_more_in_two_editions():
    # given
    places = every_verse()
    # when
    refused = [place for place in places if find_problem(Reference(place, place))]
    # then: 31,102 of the King James Version, 3 John 15 and Revelation 12:18
    assert refused == []
    assert len(places) == 31_102 + 2
    assert is_valid(find_references("3 John 15")[0])
    assert is_valid(find_references("Rev 12:18")[0])


def test_ten_thousand_invented_verses_are_refused():
    # given places outside of the table, each written as text
    draw = random.Random(7)
    refused = 0
    for _ in range(10_000):
        book = draw.choice(books())
        chapter = draw.randint(1, len(book.verses) + 30)
        last = book.verses[chapter - 1] if chapter <= len(book.verses) else 0
        verse = draw.randint(last + 1, last + 60)
        # when
        found = read_references(f"{book.english[0]} {chapter}:{verse}")
        # then
        assert len(found) == 1
        refused += not is_valid(found[0])
    assert refused == 10_000


INVENTED = [
    *("Hezekiah", "Enoch", "Tobias", "Barnabas", "Thomas", "Nicodemus", "Ephraim", "Caleb"),
    *("Gideon", "Solomon", "Moses", "David", "Opinions", "Hesitations", "Californians"),
    *("Babylonians", "Egyptians", "Macedonians", "Adam", "Noah", "Salome", "Zebulon"),
]


@pytest.mark.parametrize(
    "name", [*INVENTED, *(f"4 {name}" for name in ("John", "Samuel", "Kings"))]
)
def test_invented_books_are_refused(name):
    assert find_entry_problem(f"{name} 3:16") != ""


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("John 3:16", ""),
        ("John 3:16 - For God so loved the world", ""),
        ("Jude", ""),
        ("John 22:1", "John has 21 chapters, so there is no chapter 22"),
        ("Jude 2:1", "Jude has 1 chapter, so there is no chapter 2"),
        ("Psalm 23:7", "Psalm 23 has 6 verses, so there is no verse 7"),
        ("3 Corinthians 1:1", "no book of the Bible is called '3 Corinthians'"),
        ("John 3:18-16", "it ends before it begins"),
        ("Is 9:6; Foo 2:3", "no reference to the Bible can be read in '; Foo 2:3'"),
        ("", "no reference to the Bible can be read in ''"),
    ],
)
def test_problems_say_what_does_not_exist(entry, problem):
    assert find_entry_problem(entry) == problem


@pytest.mark.parametrize("text", ["John 3:0", "John 0:5", "John 0", "John 3:0-5", "John 0:3-5"])
def test_a_zero_is_kept_and_does_not_exist(text):
    (found,) = read_references(text)
    assert find_problem(found) != ""
    assert write_reference(found) == text
    assert "0" in found.osis.replace("-", ".").split(".")
    assert [one.osis for one in read_references(found.osis)] == [found.osis]


def test_an_entry_of_numbers_alone_is_of_the_book_before():
    entries = ["Mk 4:3-8", "4:13-20", "Rom 1:16", "99:1", "2 Cor 5:17"]
    whole = complete_entries(entries)
    assert whole == ["Mk 4:3-8", "Mark 4:13-20", "Rom 1:16", "Romans 99:1", "2 Cor 5:17"]
    assert [bool(find_entry_problem(entry)) for entry in whole] == [0, 0, 0, 1, 0]
    assert complete_entries(["4:13-20"]) == ["4:13-20"]


@pytest.mark.parametrize(
    "entry",
    [
        *("Joel 4,1", "Joel 4,21", "Maleachi 3,19", "Maleachi 3,24", "Psalm 51,21", "Psalm 51,20"),
        *("Siehe Ps 18,51", "1. Mose 32,33", "Prediger 4,17", "Jona 2,11", "Ps 60,14"),
        *("Siehe Joel 4:1", "Joel 3,1-5", "Joel 2,32", "Joel 4,1-3", "Hosea 14,10"),
        *("Maleachi 3,23-24", "Maleachi 4,6"),
    ],
)
def test_both_numberings_exist_in_german(entry):
    assert [find_problem(one) for one in read_references(entry)] == [""]
    assert [one.last.verse for one in read_references(entry)] != [None]


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("Joel 4:1", "Joel has 3 chapters, so there is no chapter 4"),
        ("Malachi 3:19", "Malachi 3 has 18 verses, so there is no verse 19"),
        ("Psalm 51:21", "Psalm 51 has 19 verses, so there is no verse 21"),
        ("Maleachi 3,25", "Malachi 3 has 24 verses, so there is no verse 25"),
        ("Siehe Joel 5,1", "Joel has 4 chapters, so there is no chapter 5"),
        ("Siehe Psalm 23,7", "Psalm 23 has 6 verses, so there is no verse 7"),
    ],
)
def test_what_neither_numbering_has_does_not_exist(entry, problem):
    assert find_entry_problem(entry) == problem


def test_the_hebrew_numbering_has_as_many_verses_as_the_masoretic_text():
    old = [book for book in books() if book.index < book_by_osis("Matt").index]
    assert sum(sum(book.hebrew) for book in old) == 23_213
    assert [len(book_by_osis(name).hebrew) for name in ("Joel", "Mal", "Ps")] == [4, 3, 150]


@st.composite
def references(draw):
    book = draw(st.sampled_from(books()))
    chapters = sorted(draw(st.lists(st.integers(1, len(book.verses)), min_size=2, max_size=2)))
    form = draw(st.sampled_from(["verse", "verses", "chapter", "chapters", "across"]))
    verses = [draw(st.integers(1, book.verses[chapter - 1])) for chapter in chapters]
    first = Place(book, chapters[0], verses[0] if form in ("verse", "verses", "across") else None)
    last = {
        "verse": first,
        "verses": Place(book, chapters[0], book.verses[chapters[0] - 1]),
        "chapter": first,
        "chapters": Place(book, chapters[1]),
        "across": Place(book, chapters[1], max(verses)),
    }[form]
    reference = Reference(first, last)
    return reference if is_valid(reference) else Reference(first, first)


@settings(max_examples=60, deadline=None)
@given(references())
def test_what_is_written_is_read_again(reference):
    assert [one.osis for one in read_references(write_reference(reference))] == [reference.osis]
    assert [one.osis for one in read_references(reference.osis)] == [reference.osis]


@settings(max_examples=60, deadline=None)
@given(st.text("John 1:,.-;&andvIsPsa\n²ß3", max_size=60))
def test_any_text_is_read_without_failing_and_spans_do_not_overlap(text):
    end = 0
    for one in find_references(text):
        assert end <= one.span[0] < one.span[1] <= len(text)
        end = one.span[1]


@pytest.mark.parametrize(
    "piece", ["1 ", "John ", "Song of ", "1:1-", "3:16 ", "I Corintians ", "John 3:16,", "aZ"]
)
def test_time_grows_with_the_length_of_the_text(piece):
    # given a text, and one eight times as long
    short, long = piece * 2_000, piece * 16_000

    def is_linear():
        begin = time.process_time()
        find_references(short)
        middle = time.process_time()
        find_references(long)
        return time.process_time() - middle < 24 * (middle - begin)

    # then: a quadratic one would take 64 times as long each time; a busy machine may disturb one
    assert any(is_linear() for _ in range(4))


def test_verses_of_a_range_are_counted_across_chapters():
    whole = Reference(Place(book_by_osis("Jude")), Place(book_by_osis("Jude")))
    assert len(list(verses_of(whole))) == 25
    assert len(list(verses_of(find_references("John 3:36-4:2")[0]))) == 3
    assert list(verses_of(find_references("John 99:1")[0])) == []
