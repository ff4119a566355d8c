"""Pieces of real hymns and of other verse, labelled by the book that they stand in.

Nobody judged a piece. A hymn is RECOMMENDED because a hymnal printed it, other verse ACCEPTABLE
because it did not; each piece of a hymn has the themes and the scripture of the whole hymn.
"""

import csv
import re
from math import ceil

from tests.tasks.annotations import hymns, songs

from stillhouse.evals.scripture.find import read_references
from stillhouse.evals.scripture.references import is_valid, write_reference
from stillhouse.tasks.songs.lexicon import themes_named

MOST_WORDS, FEWEST_WORDS = 24, 8
MOST_NAMED = 2
LONGEST_LINE = 60
"""Of a line of verse; prose between the songs has longer ones."""


def verse_rows(shared_file, words=(FEWEST_WORDS, MOST_WORDS)):
    """Rows with `book`, `lyrics`, `licence`, `analysis`, its verdict alone as `judged`, and `song`.

    `song` names what stays together. The lines of the sentiment set tell no poem: three that
    follow each other are a song here, and two such songs may be of one poem. Letters and
    apostrophes are kept alone, small: a piece does not show how its book is set.
    """
    for number, (_, row) in enumerate(hymns(shared_file)):
        told = _of_hymn(row)
        for verse in row["verses"]:
            yield from _pieces(f"hymn {number}", "hymnal", verse, told, words)
    other = {"verdict": "ACCEPTABLE", "themes": [], "scripture_references": []}
    for number, song in enumerate(songs(shared_file)):
        for stanza in _stanzas(song.lyrics):
            yield from _pieces(f"song {number}", "abolition", stanza, other, words)
    path = shared_file("songs/poem_sentiment_train.tsv")
    with path.open(encoding="utf-8", newline="") as stream:
        lines = [row[1] for row in csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)]
    for at in range(0, len(lines), 3):
        yield from _pieces(f"lines {at}", "poems", "\n".join(lines[at : at + 3]), other, words)


def _of_hymn(row):
    topics = row["topics"].strip("{}").split("}, {")
    themes = dict.fromkeys(theme.name for topic in topics for theme in themes_named(topic))
    places = [write_reference(one) for one in read_references(row["scripture"]) if is_valid(one)]
    return {
        "verdict": "RECOMMENDED",
        "themes": list(themes)[:MOST_NAMED],
        "scripture_references": places[:MOST_NAMED],
    }


def _stanzas(lyrics):
    for block in re.split(r"\n\s*\n", lyrics):
        lines = [line for line in block.splitlines() if line.strip()]
        is_printer = sum(map(str.isupper, block)) > sum(map(str.islower, block))
        if len(lines) >= 3 and max(map(len, lines)) <= LONGEST_LINE and not is_printer:
            yield block


def _pieces(song, book, text, told, bounds):
    fewest, most = bounds
    words = re.findall(r"[a-z]+(?:'[a-z]+)*", text.lower())
    number = ceil(len(words) / most)
    for at in range(number):
        piece = words[at * len(words) // number : (at + 1) * len(words) // number]
        if len(piece) >= fewest:
            yield {
                "song": song,
                "book": book,
                "lyrics": " ".join(piece),
                "licence": "CC-BY-4.0" if book == "poems" else "public-domain",
                "analysis": told,
                "judged": {"verdict": told["verdict"]},
            }
