"""Providers are asked by name, rarely, and only for what they allow; a refusal is an end."""

import asyncio
import time
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise

import pytest
from tests.data.collect.collecting import (
    QUICK,
    Hidden,
    gather,
    genius,
    lrclib,
    musixmatch,
    paced,
    plan_of,
)
from tests.data.collect.servers import Behaviour, SongServer
from tests.data.collect.songs_on_trial import make_songs

from stillhouse.data.collect import client
from stillhouse.data.collect.answers import Ask, Miss
from stillhouse.data.collect.client import Manners, PoliteClient
from stillhouse.recipes.collection import Collection, Query, SongSource
from stillhouse.store.replies import ReplyStore


def ask(folder, server, *paths, manners=QUICK, keys=None, header="", wall=time.time):
    """What each request came to, one after the other."""
    store = ReplyStore(folder / "replies.sqlite", wall)

    async def work():
        async with PoliteClient(manners, store, folder / "turns", keys or {}, {}) as client:
            return [await client.get("trial", Ask(f"{server.url}{path}", header)) for path in paths]

    try:
        return asyncio.run(work())
    finally:
        store.close()


SEARCHES = [f"/api/search?q={number}" for number in range(8)]


def test_every_request_says_who_asks_and_how_to_reach_them(tmp_path):
    with SongServer(make_songs(1)) as server:
        ask(tmp_path, server, *SEARCHES[:2])

    assert {one.headers["User-Agent"] for one in server.seen} == {
        "Stillhouse/1 (language-model data collection; contact: tests@example.org)"
    }
    assert len(server.seen) == 3


def test_robots_txt_is_fetched_once_kept_and_obeyed(tmp_path):
    robots = "User-agent: *\nDisallow: /api/search\nAllow: /api/search?q=1$\n"
    with SongServer(make_songs(1), Behaviour(robots=robots)) as server:
        found = ask(tmp_path, server, *SEARCHES[:3], "/api/get?track_name=x")
        again = ask(tmp_path, server, "/api/search?q=7")

    assert [getattr(one, "reason", "") for one in (*found, *again)] == [
        "robots", "", "robots", "", "robots",
    ]  # fmt: skip
    assert [one.path for one in server.seen].count("/robots.txt") == 1
    assert [one.query.get("q") for one in server.asked] == ["1", None]


def test_a_robots_txt_that_lies_elsewhere_is_read_there_and_obeyed(tmp_path):
    with SongServer([], Behaviour(robots="User-agent: *\nDisallow: /")) as other:
        elsewhere = Behaviour(robots=f"to {other.url}/robots.txt")
        with SongServer(make_songs(1), elsewhere) as server:
            found = ask(tmp_path, server, *SEARCHES[:2])

    assert found == [Miss("blocked", "robots")] * 2
    assert len(other.seen) == 1
    assert server.asked == []


@pytest.mark.parametrize("where", ["http://[", "http://a.example:99999/", "file:///etc/passwd"])
def test_a_redirect_to_what_is_no_address_ends_nothing_but_its_request(tmp_path, where):
    behaviour = Behaviour(robots=f"to {where}", faults={1: "redirect"}, location=where)
    with SongServer(make_songs(1), behaviour) as server:
        found, other = ask(tmp_path, server, *SEARCHES[:2])

    assert found == Miss("blocked", "redirected")
    assert other.status == 200


def test_a_long_run_reads_robots_txt_again_after_a_day(tmp_path, monkeypatch):
    with SongServer(make_songs(1)) as server:
        ask(tmp_path, server, *SEARCHES[:3])
        assert len(server.seen) - len(server.asked) == 1
        monkeypatch.setattr(client, "_ROBOTS_AGE_S", -1.0)
        ask(tmp_path, server, *SEARCHES[3:6])

    assert len(server.seen) - len(server.asked) == 4


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_host_whose_robots_txt_cannot_be_had_is_not_asked(tmp_path, status):
    with SongServer(make_songs(1), Behaviour(robots=status)) as server:
        (found,) = ask(tmp_path, server, SEARCHES[0])
        assert found == Miss("blocked", "robots")
        assert server.asked == []
        server.behaviour.robots = 403
        (found,) = ask(tmp_path, server, SEARCHES[0])

    assert found.status == 200


@pytest.mark.parametrize("fault", [500, "drop"])
def test_a_robots_txt_that_cannot_be_had_is_tried_as_often_as_a_page(tmp_path, fault):
    rules = [fault, fault, "User-agent: *\nDisallow: /api/get"]
    with SongServer(make_songs(1), Behaviour(robots=rules)) as server:
        found, refused = ask(tmp_path, server, SEARCHES[0], "/api/get?track_name=x")

    assert found.status == 200
    assert refused == Miss("blocked", "robots")


def test_a_crawl_delay_is_kept(tmp_path):
    with SongServer(make_songs(1), Behaviour(robots="User-agent: *\nCrawl-delay: 0.2")) as server:
        ask(tmp_path, server, *SEARCHES[:4])

    times = [one.at for one in server.asked]
    assert min(later - one for one, later in pairwise(times)) >= 0.2


@pytest.mark.parametrize(("status", "is_date"), [("429", True), ("503", False)])
def test_retry_after_is_waited_out(tmp_path, status, is_date):
    asked = 1
    with SongServer(make_songs(1), Behaviour(faults={1: status})) as server:
        until = datetime.now(UTC) + timedelta(seconds=2)
        server.behaviour.retry_after = format_datetime(until, usegmt=True) if is_date else "1"
        (found,) = ask(tmp_path, server, SEARCHES[0])

    assert found.status == 200
    first, second = (one.at for one in server.asked)
    if not is_date:
        assert second - first >= asked
    else:
        # An HTTP date has no fractions of a second.
        assert datetime.now(UTC) >= until.replace(microsecond=0)


def test_a_long_retry_after_ends_the_run_and_holds_over_restarts(tmp_path):
    now = time.time()
    with SongServer(make_songs(1), Behaviour(every="429", retry_after="3600")) as server:
        found = ask(tmp_path, server, *SEARCHES[:3])
        again = ask(tmp_path, server, SEARCHES[4], wall=lambda: now + 3000)
        assert len(server.asked) == 1
        server.behaviour.every = ""
        late = ask(tmp_path, server, SEARCHES[4], wall=lambda: now + 3610)

    assert {one.outcome for one in (*found, *again)} == {"blocked"}
    assert 500 < again[0].rest_s < 700
    assert late[0].status == 200


def test_a_wait_that_another_process_was_told_of_holds_for_one_in_the_queue(tmp_path):
    behaviour = Behaviour(faults={1: "503"}, retry_after="1")
    with SongServer(make_songs(1), behaviour) as server:
        ask_at_once(tmp_path, server, SEARCHES[:2], late_s=0.3)

    first, *others = (one.at for one in server.asked)
    assert len(others) == 2
    assert min(others) - first >= 1.0


def test_two_processes_that_want_the_same_ask_for_it_once(tmp_path):
    with SongServer(make_songs(1)) as server:
        found = ask_at_once(tmp_path, server, [SEARCHES[0]] * 2, late_s=0.2)

    assert len({one.body for one in found}) == len(server.asked) == 1


def ask_at_once(folder, server, paths, late_s):
    """What came of requests by clients that know of each other by their files alone."""

    async def one(number, path):
        store = ReplyStore(folder / "replies.sqlite")
        try:
            async with PoliteClient(paced(0.05), store, folder / "turns", {}, {}) as client:
                await asyncio.sleep(number * late_s / 4)
                return await client.get("trial", Ask(f"{server.url}{path}"))
        finally:
            store.close()

    async def work():
        server.respond_after = late_s
        return await asyncio.gather(*(one(*pair) for pair in enumerate(paths)))

    return asyncio.run(work())


def test_a_host_that_only_fails_is_asked_no_more_in_this_run(tmp_path):
    with SongServer(make_songs(1), Behaviour(every="500")) as server:
        queries = [Query(words=f"q{number}") for number in range(9)]
        selection, _ = gather(
            tmp_path, plan_of(9, least=0), {"lrclib": lrclib(server.url, *queries)}
        )
        assert len(server.asked) == QUICK.streak * QUICK.tries
        assert selection.tallies["lrclib"].stopped == "server_error"
        server.behaviour.every = ""
        (later,) = ask(tmp_path, server, SEARCHES[0])

    assert later.status == 200


def test_a_failure_between_refusals_does_not_end_their_streak(tmp_path):
    faults = {1: "403", 2: "500", 3: "500", 4: "500", 5: "403", 6: "403"}
    with SongServer(make_songs(1), Behaviour(faults=faults)) as server:
        found = ask(tmp_path, server, *SEARCHES)

    assert len(server.asked) == 6
    assert found[-1].outcome == "blocked"
    assert found[-1].rest_s > 800


@pytest.mark.parametrize("fault", ["403", "429", "block_page"])
def test_a_streak_of_refusals_ends_it(tmp_path, fault):
    with SongServer(make_songs(1), Behaviour(every=fault)) as server:
        found = ask(tmp_path, server, *SEARCHES)
        again = ask(tmp_path, server, *SEARCHES)

    assert {one.outcome for one in (*found, *again)} == {"blocked"}
    assert len(server.asked) == QUICK.streak
    assert again[0].rest_s > 800


def test_a_single_refusal_is_no_streak(tmp_path):
    faults = {2: "403", 4: "block_page", 6: "403"}
    with SongServer(make_songs(1), Behaviour(faults=faults)) as server:
        found = ask(tmp_path, server, *SEARCHES)

    assert [getattr(one, "outcome", "ok") for one in found] == [
        "ok", "blocked", "ok", "blocked", "ok", "blocked", "ok", "ok",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "miss"),
    [
        ("empty", Miss("error", "empty_body")),
        ("wrong_encoding", Miss("error", "wrong_encoding")),
        ("huge", Miss("error", "too_large")),
        ("500", Miss("error", "server_error")),
        ("drop", Miss("error", "no_connection")),
        ("redirect", Miss("blocked", "redirected")),
    ],
)
def test_what_is_no_answer_has_a_name_and_is_asked_again_later(tmp_path, fault, miss):
    with SongServer(make_songs(1), Behaviour(every=fault)) as server:
        (found,) = ask(tmp_path, server, SEARCHES[0])
        tries = len(server.asked)
        server.behaviour.every = ""
        (later,) = ask(tmp_path, server, SEARCHES[0])

    assert found == miss
    assert tries == (QUICK.tries if miss.outcome == "error" else 1)
    assert later.status == 200


def test_a_redirect_is_followed_on_its_host_alone_and_its_key_goes_nowhere_else(tmp_path):
    with SongServer([]) as other, SongServer(make_songs(1)) as server:
        server.behaviour.faults = {1: "redirect", 3: "redirect"}
        server.behaviour.location = "/api/search?q=moved"
        keys = {"trial": Hidden("planted")}
        (here,) = ask(
            tmp_path, server, SEARCHES[0], keys=keys, header="Authorization: Bearer {key}"
        )
        server.behaviour.location = f"{other.url}/api/search?q=stolen"
        (there,) = ask(
            tmp_path, server, SEARCHES[1], keys=keys, header="Authorization: Bearer {key}"
        )

    assert here.status == 200
    assert there == Miss("blocked", "redirected")
    assert other.seen == []


def test_a_key_that_is_refused_stops_its_source_and_is_written_nowhere(tmp_path):
    with SongServer(make_songs(34)) as server:
        sources = {"lrclib": lrclib(server.url), "genius": genius(server.url)}
        selection, _ = gather(tmp_path, plan_of(99, least=0), sources, key="wrong-planted-key")

    assert selection.tallies["genius"].stopped == "key_refused"
    assert selection.tallies["lrclib"].kept > 0
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert not any(b"wrong-planted-key" in path.read_bytes() for path in files)


def test_what_a_body_refuses_is_asked_again_once_it_is_let_in(tmp_path):
    with SongServer(make_songs(34)) as server:
        sources = {"mxm": musixmatch(server.url)}
        refused, _ = gather(tmp_path, plan_of(2, least=0), sources, key="wrong")
        let_in, _ = gather(tmp_path, plan_of(2), sources)

    assert (refused.tallies["mxm"].stopped, refused.kept) == ("key_refused", [])
    assert len(let_in.kept) == 2


def test_half_of_a_reply_is_not_kept(tmp_path):
    with SongServer(make_songs(34), Behaviour(every="cut")) as server:
        sources = {"lrclib": lrclib(server.url)}
        torn, _ = gather(tmp_path, plan_of(2, least=0), sources)
        server.behaviour.every = ""
        whole, _ = gather(tmp_path, plan_of(2), sources)

    assert torn.tallies["lrclib"].requests == {"error": 4}
    assert len(whole.kept) == 2


def test_sources_that_share_a_host_share_its_pace(tmp_path):
    with SongServer(make_songs(340)) as server:
        sources = {
            "lrclib": lrclib(server.url),
            "genius": genius(server.url, Query(words="blues", genre="blues")),
            "more": lrclib(server.url, Query(words="folk", genre="folk")),
        }
        gather(tmp_path, plan_of(60, least=0), sources, manners=paced(0.05))

    times = [one.at for one in server.seen]
    assert len(times) > 5
    assert server.most_at_work == 1
    assert min(later - one for one, later in pairwise(times)) >= 0.05


def test_no_setting_hides_who_asks():
    names = {
        *SongSource.model_fields, *Collection.model_fields, *(one.name for one in fields(Manners)),
    }  # fmt: skip
    words = ("proxy", "agent", "rotate", "disguise", "stealth", "header", "verify", "robots")
    assert [name for name in names if any(word in name for word in words)] == []
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        lrclib("http://127.0.0.1", seconds_between=0.5)
    for contact in ("", "nobody", "me@"):
        with pytest.raises(ValueError, match="must be able to reach you"):
            Collection(contact=contact, sources={"a": lrclib("http://127.0.0.1")})
