"""A server on 127.0.0.1 that speaks the providers' documented formats, and fails when told to.

It keeps its own log by its own clock, which tests hold our manners against.
"""

import asyncio
import threading
import time
from dataclasses import dataclass, field

from aiohttp import web

NOTICE = "\n...\n\n******* This Lyrics is NOT for Commercial use *******\n(1409618)"
BLOCK_PAGE = "<!DOCTYPE html><html><title>Attention Required!</title><body>captcha</body></html>"


@dataclass(frozen=True)
class Seen:
    """One request, by the server's clock."""

    at: float
    path: str
    query: dict
    headers: dict


@dataclass
class Behaviour:
    """How the server behaves.

    Attributes:
        robots: text of robots.txt; a number is a status without text, `to` and an
            address a redirect, and "drop" no reply. A list is used up, all but its last.
        faults: number of a request (robots.txt not counted) to what happens to it.
        every: what happens to all of them; "" for nothing.
        retry_after: header of a 429 or 503.
        token: that Genius and Musixmatch want.
        shift: songs that slip in at the top of each search after the first page.
        restricted: numbers of songs that may not be shown.
        part: Musixmatch gives a part with its notice.
        location: where a redirect leads.
    """

    robots: object = 404
    faults: dict = field(default_factory=dict)
    every: str = ""
    retry_after: str = ""
    token: str = "planted-token"
    shift: bool = False
    restricted: tuple = ()
    part: bool = False
    location: str = "http://example.invalid/"


class SongServer:
    """All formats at one address, told apart by their paths."""

    def __init__(self, songs, behaviour=None):
        self.songs = list(songs)
        self.behaviour = behaviour or Behaviour()
        self.seen = []
        self.at_work = 0
        self.most_at_work = 0
        self.respond_after = 0.0
        self._searches = {}
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_):
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _serve(self):
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._start())
        self._ready.set()
        self._loop.run_forever()

    async def _start(self):
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    @property
    def asked(self):
        """Requests but those for robots.txt."""
        return [one for one in self.seen if one.path != "/robots.txt"]

    async def _answer(self, request):
        self.seen.append(
            Seen(time.monotonic(), request.path, dict(request.query), dict(request.headers))
        )
        self.at_work += 1
        self.most_at_work = max(self.most_at_work, self.at_work)
        try:
            await asyncio.sleep(self.respond_after)
            return await self._respond(request)
        finally:
            self.at_work -= 1

    async def _respond(self, request):
        how = self.behaviour
        if request.path == "/robots.txt":
            return await self._robots(request)
        fault = how.faults.get(len(self.asked)) or how.every
        if fault:
            return await self._fail(fault, request)
        if request.path == "/api/search":
            return web.json_response([lrclib_record(one) for one in self._found(request)[:20]])
        if request.path == "/api/get":
            return self._lrclib_get(request)
        if request.path == "/search":
            return self._genius(request)
        if request.path.startswith("/ws/1.1/"):
            return self._musixmatch(request)
        if request.path == "/v1/hymns":
            return self._generic(request)
        return web.json_response({"message": "no such path"}, status=404)

    async def _robots(self, request):
        told = self.behaviour.robots
        if isinstance(told, list):
            told = told.pop(0) if told[1:] else told[0]
        if isinstance(told, int):
            return web.Response(status=told)
        if told == "drop":
            return await self._fail(told, request)
        if told.startswith("to "):
            return web.Response(status=302, headers={"Location": told[3:]})
        return web.Response(text=told)

    async def _fail(self, fault, request):
        how = self.behaviour
        headers = {"Retry-After": how.retry_after} if how.retry_after else {}
        if fault in ("403", "429", "500", "503"):
            return web.Response(status=int(fault), headers=headers, text="no")
        if fault == "block_page":
            return web.Response(text=BLOCK_PAGE, content_type="text/html")
        if fault == "empty":
            return web.Response(text="", content_type="application/json")
        if fault == "wrong_encoding":
            return web.Response(
                body=b'[{"trackName": "\xff\xfe"}]', content_type="application/json"
            )
        if fault == "cut":
            return web.Response(text='[{"trackName": "x', content_type="application/json")
        if fault == "huge":
            return web.Response(body=b"[" + b" " * (9 << 20) + b"]")
        if fault == "redirect":
            return web.Response(status=302, headers={"Location": how.location})
        if fault == "drop":
            request.transport.close()
            return web.Response()
        raise AssertionError(fault)

    def _found(self, request, name="q"):
        words = request.query.get(name, "").lower()
        found = [
            one for one in self.songs if words in f"{one.genre} {one.artist} {one.title}".lower()
        ]
        times = self._searches[words] = self._searches.get(words, 0) + 1
        if self.behaviour.shift and times > 1:
            return [*found[-1:], *found]
        return found

    def _lrclib_get(self, request):
        wanted = (request.query.get("track_name"), request.query.get("artist_name"))
        for one in self.songs:
            if (one.title, one.artist) == wanted:
                return web.json_response(lrclib_record(one))
        missing = {
            "code": 404,
            "name": "TrackNotFound",
            "message": "Failed to find specified track",
        }
        return web.json_response(missing, status=404)

    def _genius(self, request):
        if request.headers.get("Authorization") != f"Bearer {self.behaviour.token}":
            problem = {"error": "invalid_token", "error_description": "The access token is invalid"}
            return web.json_response(problem, status=401)
        page, size = int(request.query.get("page", 1)), int(request.query.get("per_page", 10))
        part = self._found(request)[(page - 1) * size : page * size]
        hits = [
            {"highlights": [], "index": "song", "type": "song", "result": genius_record(one)}
            for one in part
        ]
        return web.json_response({"meta": {"status": 200}, "response": {"hits": hits}})

    def _musixmatch(self, request):
        if request.query.get("apikey") != self.behaviour.token:
            return musixmatch_reply(401, [])
        method = request.path.rsplit("/", 1)[1]
        if method == "track.search":
            page, size = int(request.query["page"]), int(request.query["page_size"])
            part = self._found(request)[(page - 1) * size : page * size]
            tracks = [{"track": self._track(one)} for one in part]
            return musixmatch_reply(200, {"track_list": tracks})
        number = request.query.get("track_id", "")
        for one in self.songs:
            if str(one.number) == number:
                return musixmatch_reply(200, {"lyrics": self._lyrics(one)})
        return musixmatch_reply(404, "")

    def _track(self, one):
        genre = {"music_genre_id": 1, "music_genre_name": one.genre.title()}
        return {
            "track_id": one.number,
            "track_name": one.title,
            "artist_name": one.artist,
            "album_name": "",
            "track_length": one.duration,
            "instrumental": int(one.instrumental),
            "has_lyrics": 1,
            "restricted": int(one.number in self.behaviour.restricted),
            "track_share_url": f"https://www.musixmatch.com/lyrics/{one.number}",
            "primary_genres": {"music_genre_list": [{"music_genre": genre}]},
        }

    def _lyrics(self, one):
        return {
            "lyrics_id": one.number,
            "restricted": 0,
            "instrumental": int(one.instrumental),
            "lyrics_body": one.lyrics + (NOTICE if self.behaviour.part else ""),
            "lyrics_language": "en",
            "lyrics_copyright": "Lyrics powered by a test",
        }

    def _generic(self, request):
        offset, size = int(request.query.get("offset", 0)), int(request.query.get("size", 5))
        part = self.songs[offset : offset + size]
        records = [
            {
                "no": one.number,
                "name": one.title,
                "by": {"name": one.artist},
                "genre": one.genre,
                "verses": one.lyrics.split("\n"),
            }
            for one in part
        ]
        return web.json_response({"data": {"hymns": records}})


def lrclib_record(one):
    return {
        "id": one.number,
        "name": one.title,
        "trackName": one.title,
        "artistName": one.artist,
        "albumName": f"Album of {one.artist}",
        "duration": one.duration,
        "instrumental": one.instrumental,
        "plainLyrics": None if one.instrumental else one.lyrics,
        "syncedLyrics": None,
    }


def genius_record(one):
    return {
        "id": one.number,
        "title": one.title,
        "full_title": f"{one.title} by {one.artist}",
        "url": f"https://genius.com/{one.number}-lyrics",
        "path": f"/{one.number}-lyrics",
        "lyrics_state": "complete",
        "primary_artist": {"id": 1, "name": one.artist},
    }


def musixmatch_reply(status, body):
    header = {"status_code": status, "execute_time": 0.01}
    return web.json_response({"message": {"header": header, "body": body}})
