"""Replies of each provider, as it documents them, become songs; what they refuse has its name."""

import json

import pytest

from stillhouse.data.collect.answers import Miss, Page
from stillhouse.data.collect.genius import Genius
from stillhouse.data.collect.json_api import JsonSongs, song_of
from stillhouse.data.collect.lrclib import Lrclib
from stillhouse.data.collect.musixmatch import Musixmatch
from stillhouse.data.collect.songs import (
    Song,
    duration_of,
    genre_of,
    name_key,
    text_of,
    without_times,
)
from stillhouse.recipes.collection import HOMES, JsonApi, Query
from stillhouse.store.replies import Reply

SONG = Song("a", "1", "Title", "Artist", lyrics_key="7")


def reply(value, status=200):
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    return Reply(status, content, "http://x", "2026-01-01T00:00:00+00:00")


def test_lrclib_is_asked_by_its_documented_parameters():
    lrclib = Lrclib("a")
    query = Query(words="a b", artist="Björk & co", title="x/y?")
    assert lrclib.ask(query, "").url == (
        "https://lrclib.net/api/search?q=a+b&track_name=x%2Fy%3F&artist_name=Bj%C3%B6rk+%26+co"
    )
    assert lrclib.ask_lyrics(SONG).url == (
        "https://lrclib.net/api/get?artist_name=Artist&track_name=Title"
    )


def test_genius_and_musixmatch_are_asked_by_theirs_and_keys_stay_out_of_addresses():
    ask = Genius("a").ask(Query(words="x"), "2")
    assert (ask.url, ask.header) == (
        "https://api.genius.com/search?q=x&per_page=20&page=2",
        "Authorization: Bearer {key}",
    )
    musixmatch = Musixmatch("a")
    ask = musixmatch.ask(Query(artist="x"), "")
    assert ask.url == (
        "https://api.musixmatch.com/ws/1.1/track.search?q_artist=x&f_has_lyrics=1"
        "&page_size=100&page=1"
    )
    assert ask.parameter == "apikey"
    assert musixmatch.ask_lyrics(SONG).url.endswith("/ws/1.1/track.lyrics.get?track_id=7")
    assert set(HOMES) == {"lrclib", "genius", "musixmatch"}


@pytest.mark.parametrize(
    ("status", "miss"),
    [
        (401, Miss("blocked", "key_refused")),
        (402, Miss("blocked", "quota_used_up")),
        (403, Miss("blocked", "forbidden")),
        (404, Miss("not_found", "not_found")),
        (500, Miss("error", "status_in_body")),
        ("200", Miss("error", "status_in_body")),
    ],
)
def test_musixmatch_tells_its_status_inside_of_the_message(status, miss):
    told = reply({"message": {"header": {"status_code": status}, "body": []}})
    assert Musixmatch("a").read(told, Query(words="x"), "") == miss
    assert Musixmatch("a").read_lyrics(told, SONG) == miss


@pytest.mark.parametrize(
    ("value", "status", "miss"),
    [
        ({"code": 404, "name": "TrackNotFound"}, 404, Miss("not_found", "not_found")),
        (b"<html>gone</html>", 404, Miss("not_found", "not_found")),
        (b"<html>captcha</html>", 200, Miss("blocked", "block_page")),
        (b"", 200, Miss("error", "empty_body")),
        (b"\xff\xfe", 200, Miss("error", "wrong_encoding")),
        (b'{"a"', 200, Miss("error", "no_json")),
        ({"instrumental": True, "trackName": "T", "artistName": "A"}, 200,
         Miss("no_lyrics", "instrumental")),
        ({"trackName": "T", "artistName": "A"}, 200, Miss("not_found", "empty_lyrics")),
        (5, 200, Miss("error", "wrong_shape")),
    ],
)  # fmt: skip
def test_what_lrclib_does_not_give_has_a_name(value, status, miss):
    assert Lrclib("a").read_lyrics(reply(value, status), SONG) == miss


def test_timed_lyrics_are_read_where_there_are_no_plain_ones():
    timed = "[ar: A]\n[00:01.20][00:31.20] one line\n[00:02.5]\n[00:03.001] another [x]"
    record = {"trackName": "T", "artistName": "A", "syncedLyrics": timed, "plainLyrics": ""}
    page = Lrclib("a").read(reply([record, "odd", {}]), Query(words="x"), "")
    assert isinstance(page, Page)
    assert (len(page.songs), page.num_odd) == (1, 2)
    assert page.songs[0].lyrics == "one line\n\nanother [x]"
    assert without_times("no times") == "no times"


@pytest.mark.parametrize(
    ("paging", "reply_value", "at", "next_at"),
    [
        ("none", {"r": [1, 2]}, "", ""),
        ("page", {"r": [1, 2]}, "", "2"),
        ("page", {"r": [1, 2]}, "5", "6"),
        ("page", {"r": [1]}, "5", ""),
        ("offset", {"r": [1, 2]}, "4", "6"),
        ("offset", {"r": []}, "4", ""),
        ("cursor", {"r": [1], "next": "n2"}, "n1", "n2"),
        ("cursor", {"r": [1], "next": "n1"}, "n1", ""),
        ("cursor", {"r": [1], "next": None}, "n1", ""),
        ("cursor", {"r": [1]}, "n1", ""),
    ],
)
def test_a_generic_api_is_paged_as_the_recipe_says(paging, reply_value, at, next_at):
    url = "http://x/{page}/{offset}/{cursor}?n={size}&q={words}"
    api = JsonApi(
        url=url,
        records="r",
        fields={"title": "t", "artist": "a", "lyrics": "l"},
        paging=paging,
        page_size=2,
        next_cursor="next",
    )
    page = JsonSongs("a", api).read(reply(reply_value), Query(words="x"), at)
    assert page.next_at == next_at
    asked = JsonSongs("a", api).ask(Query(words="a b&c/{page}"), at).url
    assert asked.endswith("?n=2&q=a%20b%26c%2F%7Bpage%7D")


def test_a_record_of_a_list_is_read_by_its_own_names_or_by_given_paths():
    record = {"title": "T", "artist": "A", "lyrics": ["one", "two"], "duration_s": "180",
              "genre": "Gospel", "christian_confidence": 0.9, "themes": ["Gospel", 5],
              "license": "CC0"}  # fmt: skip
    song = song_of("a", record, {})
    assert (song.lyrics, song.duration_s, song.genre, song.licence) == (
        "one\n\ntwo", 180.0, "christian", "CC0",
    )  # fmt: skip
    assert (song.confidence, song.themes) == (0.9, ("Gospel", "5"))
    assert song_of("a", {"n": {"t": "T"}, "by": "A"}, {"title": "n.t", "artist": "by"}).title == "T"
    assert song_of("a", {"title": "T"}, {}) is None
    assert song_of("a", [], {}) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Amazing Grace (Live)", "amazing grace"),
        ("Song [2011 Remaster]", "SONG!"),
        ("Artist feat. Someone", "artist"),
        ("(I)", "i"),
        ("ＦＵＬＬ", "full"),
    ],
)
def test_names_are_compared_without_what_differs_between_providers(one, other):
    assert name_key(one) == name_key(other)


def test_the_parts_of_a_song_are_songs_and_a_years_new_sound_is_none():
    parts = [f"Wall {part}" for part in ("(Part 1)", "(Part 2)", "[pt. II]", "")]
    assert len(set(map(name_key, parts))) == 4
    assert name_key("Wall (Remastered 2011)") == name_key("Wall (Live in Part)") == "wall"


@pytest.mark.parametrize(
    ("told", "seconds", "is_odd"),
    [
        (180, 180.0, False), ("180.5", 180.5, False), (None, 0.0, False), (0, 0.0, False),
        (-5, 0.0, True), ("soon", 0.0, True), (True, 0.0, True), (1e9, 0.0, True),
        ([], 0.0, True), (10**400, 0.0, True),
    ],
)  # fmt: skip
def test_durations_that_no_song_has_are_noticed(told, seconds, is_odd):
    assert duration_of(told) == (seconds, is_odd)


def test_texts_are_storable_whatever_was_told():
    assert text_of("a\x00b\ud83d\r\nc\u200b ") == "ab\ufffd\nc"
    assert text_of("a\x1cb\u2028c\x0b\x85\x0cd\ufeff") == "ab\nc\n\n\nd"
    for spelt in ("می\u200cخواهم", "ශ්\u200dරී", "\u0d28\u0d4d\u200d", "👩\u200d👧", "a\u00a0b"):
        assert text_of(spelt) == spelt
    assert text_of(["x"]) == text_of(None) == text_of(True) == ""
    assert text_of(12) == "12"
    assert text_of("x" * 9000) == "x" * 500
    assert [genre_of(one) for one in ("Hip Hop", "R&B/Soul", "Polka")] == [
        "hip-hop",
        "r&b",
        "polka",
    ]
