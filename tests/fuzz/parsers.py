"""Every parser of remote text: whatever it is given, it names the trouble and does not raise."""

import json
from dataclasses import dataclass
from email.message import Message as Headers

from tests.fuzz import samples

from stillhouse.core.retry_after import retry_after_s
from stillhouse.core.sampling import Sampling
from stillhouse.data.collect.answers import Miss, Page
from stillhouse.data.collect.genius import Genius
from stillhouse.data.collect.json_api import JsonSongs
from stillhouse.data.collect.lrclib import Lrclib
from stillhouse.data.collect.musixmatch import Musixmatch
from stillhouse.data.collect.quality import score_of
from stillhouse.data.collect.robots import read_robots
from stillhouse.data.collect.songs import MOST_LYRICS, Song, duration_of, genre_of
from stillhouse.engines import openai_batch
from stillhouse.engines.anthropic import AnthropicWire
from stillhouse.engines.bedrock import BedrockWire
from stillhouse.engines.gemini import GeminiWire
from stillhouse.engines.http import read_failure, read_reply
from stillhouse.engines.ollama import OllamaWire
from stillhouse.engines.openai_wire import OpenAIWire
from stillhouse.engines.outcomes import Failure
from stillhouse.engines.outcomes import Reply as EngineReply
from stillhouse.engines.prices import FREE
from stillhouse.engines.wire import Asking, Decoding, Endpoint, completion_of
from stillhouse.recipes.collection import JsonApi, Query
from stillhouse.store.replies import Reply

ASKING = Asking(Sampling(16), Decoding(top_logprobs=1))
QUERY = Query(words="la", genre="pop")
SONG = Song("a", "1", "T", "A", lyrics_key="1")
FIELDS = {"id": "no", "title": "name", "artist": "by.name", "lyrics": "verses"}
MOST_TOKENS = 2**53


@dataclass(frozen=True)
class Parser:
    """What is fuzzed.

    Attributes:
        run: takes bytes; what it raises is a finding.
        starts: sound inputs.
    """

    run: object
    starts: tuple


def found_songs(finder, at=""):
    def run(content):
        for status in (200, 404):
            page = finder.read(Reply(status, content, "http://x", ""), QUERY, at)
            assert isinstance(page, Page | Miss)
            for song in page.songs if isinstance(page, Page) else ():
                assert song.title
                assert song.artist
                check_song(song)
            if isinstance(page, Page) and page.next_at:
                assert finder.ask(QUERY, page.next_at).url

    return run


def found_lyrics(giver):
    def run(content):
        for status in (200, 404):
            song = giver.read_lyrics(Reply(status, content, "http://x", ""), SONG)
            assert isinstance(song, Song | Miss)
            if isinstance(song, Song):
                check_song(song)

    return run


def check_song(song):
    for text in (song.title, song.artist, song.album, song.lyrics, song.language, song.url):
        text.encode()
        assert "\x00" not in text
    assert len(song.lyrics) <= MOST_LYRICS
    assert 0.0 <= song.duration_s < 1e6
    assert 0.0 <= score_of(song)[0] <= 1.0
    assert song.same_as


def answers(wire):
    def run(content):
        found = read_reply(content)
        assert isinstance(found, EngineReply | Failure)
        if isinstance(found, Failure) or not wire.has_answer(found.value):
            return
        usage = wire.usage(found.value)
        if usage is not None:
            for number in (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens):
                assert type(number) is int
                assert 0 <= number < MOST_TOKENS
            assert usage.cached_tokens <= usage.prompt_tokens
        said = completion_of("e", wire.read(found.value), ASKING)
        said.text.encode()
        said.reasoning.encode()
        assert type(said.num_tokens) is int
        for one in said.logprobs:
            assert isinstance(one.token, bytes)
        for call in said.tool_calls:
            assert isinstance(call.name, str)
            assert isinstance(call.arguments, str)

    return run


def failures(content):
    headers = Headers()
    for name in ("Retry-After", "x-amzn-ErrorType"):
        headers[name] = content[:80].decode("latin-1").replace("\r", "").replace("\n", "")
    for status in (302, 400, 401, 404, 429, 500, 503, 529):
        found = read_failure(status, headers, content)
        assert found.reason
        assert found.retry_after_s is None or found.retry_after_s >= 0


def batch_outputs(content):
    for outcome in openai_batch.read_output(content).outcomes.values():
        assert isinstance(outcome, EngineReply | Failure)


def batch_status(content):
    found = read_reply(content)
    for read in (openai_batch._status, openai_batch._page):
        assert openai_batch._read(found, read) is not None


def dates(content):
    for codec in ("latin-1", "utf-8"):
        seconds = retry_after_s(content[:200].decode(codec, "replace"))
        assert seconds is None or 0 <= seconds < float("inf")


def robots(content):
    found = read_robots(content, "Stillhouse")
    assert 0 <= found.delay_s <= 3600
    for path in ("/", "/a?b=c", "/robots.txt", "/%zz%c3%28", content[:60].decode("latin-1")):
        assert found.allows(path) in (True, False)


def words(content):
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        value = content.decode("latin-1")
    seconds, is_odd = duration_of(value)
    assert 0 <= seconds < 1e6
    assert is_odd in (True, False)
    assert isinstance(genre_of(str(value)[:200]), str)


def api(paging):
    url = "http://x/{words}?p={page}&o={offset}&c={cursor}&s={size}"
    given = {"records": "data.hymns", "fields": FIELDS, "page_size": 1, "next_cursor": "next"}
    return JsonSongs("a", JsonApi(url=url, paging=paging, **given))


def wire_of(kind, name, dialect, **more):
    return kind(Endpoint("m", "http://x", name, dialect, **more), FREE)


_LRCLIB, _MXM = Lrclib("a", "http://x"), Musixmatch("a", "http://x")
_CODED = (samples.LRCLIB, samples.NOT_FOUND)
PARSERS = {
    "lrclib_search": Parser(found_songs(_LRCLIB), _CODED),
    "lrclib_get": Parser(found_lyrics(_LRCLIB), (samples.LRCLIB[0], samples.NOT_FOUND)),
    "genius_search": Parser(found_songs(Genius("a", "http://x"), "3"), (samples.GENIUS,)),
    "musixmatch_search": Parser(found_songs(_MXM, "2"), (samples.MUSIXMATCH,)),
    "musixmatch_lyrics": Parser(found_lyrics(_MXM), (samples.MUSIXMATCH,)),
    "json_api_page": Parser(found_songs(api("page"), "2"), (samples.JSON_API,)),
    "json_api_offset": Parser(found_songs(api("offset"), "4"), (samples.JSON_API,)),
    "json_api_cursor": Parser(found_songs(api("cursor"), "c1"), (samples.JSON_API,)),
    "robots": Parser(robots, (samples.ROBOTS,)),
    "retry_after": Parser(dates, (b"120", b"Wed, 21 Oct 2026 07:28:00 GMT")),
    "words_of_a_song": Parser(words, (b"180", b"[1]", b'"hip hop"')),
    "openai": Parser(answers(wire_of(OpenAIWire, "openai", "openai")), (samples.OPENAI,)),
    "anthropic": Parser(
        answers(wire_of(AnthropicWire, "anthropic", "2026-10-21")), (samples.ANTHROPIC,)
    ),
    "gemini": Parser(answers(wire_of(GeminiWire, "gemini", "gemini_3")), (samples.GEMINI,)),
    "ollama": Parser(
        answers(wire_of(OllamaWire, "ollama", "chat", context_tokens=512)), (samples.OLLAMA,)
    ),
    "bedrock": Parser(answers(wire_of(BedrockWire, "bedrock", "converse")), (samples.BEDROCK,)),
    "failures": Parser(failures, (samples.ERROR, samples.NOT_FOUND, b"3")),
    "batch_outputs": Parser(batch_outputs, (samples.BATCH_LINE,)),
    "batch_status": Parser(batch_status, (samples.BATCH, {"data": [samples.BATCH]})),
}
