"""The recipe of docs/how-to/collect.md at a server of tests: filled, told, reused, forgotten."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tests.data.collect.servers import SongServer
from tests.data.collect.songs_on_trial import lyrics_of, make_songs

import stillhouse
from stillhouse.data.shards import read_rows_of
from stillhouse.recipes.collection import Collection, Query, SongSource
from stillhouse.recipes.collection_forecast import forecast
from stillhouse.recipes.collection_plans import load_plan
from stillhouse.stages import collecting
from stillhouse.store.replies import COLLECTED, REPLIES, ReplyStore

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"
GENRES = ("pop", "rock", "hip-hop", "country", "metal", "folk")


@pytest.fixture
def recipe(tmp_path):
    shutil.copy(HOW_TO / "collect.yaml", tmp_path)
    hymns = [
        {"title": f"Hymn {n}", "artist": f"Poet {n}", "lyrics": lyrics_of(5000 + n, is_hymn=True)}
        for n in range(30)
    ]
    text = "".join(json.dumps(one) + "\n" for one in hymns)
    (tmp_path / "hymns.jsonl").write_text(text)
    (tmp_path / "queries.csv").write_text("words,genre\n" + "".join(f"{g},{g}\n" for g in GENRES))
    return tmp_path / "collect.yaml"


@pytest.fixture
def at_once(monkeypatch):
    manners = collecting.Manners
    monkeypatch.setattr(collecting, "Manners", lambda c: replace(manners(c), pause_s=0.0))
    monkeypatch.setattr(collecting, "pause_of", lambda source: 0.0)


def call(tmp_path, server, *more):
    home = f"collect.source.collection.sources.lrclib.base_url={server.url}"
    short = ("finetune.length.steps=2", "train.length.steps=2")
    return stillhouse.Call(overrides=(home, *short, *more), runs=str(tmp_path / "runs"))


def test_the_recipe_of_the_page_is_checked_without_asking_anybody(recipe, tmp_path):
    with SongServer([]) as server:
        found = stillhouse.check(str(recipe), call(tmp_path, server))

    assert server.seen == []
    assert any("asks 127.0.0.1 about" in one for one in found.cautions)
    assert sum(found.parts.values()) == 100


@pytest.mark.long
def test_the_recipe_of_the_page_collects_reports_and_forgets(
    recipe, tmp_path, at_once, in_this_process
):
    with SongServer(make_songs(340)) as server:
        status = stillhouse.run(str(recipe), call(tmp_path, server))
        assert status.state == "passed"
        asked = len(server.seen)
        stillhouse.run(str(recipe), call(tmp_path, server, "evaluate.draws=201"))
        assert len(server.seen) == asked

    folder = next((tmp_path / "runs" / "artifacts").glob("collect-*"))
    rows = [row.fields for row in read_rows_of(folder)]
    assert len(rows) == 100
    assert {(row["label"], row["licence"]) for row in rows} == {
        ("christian", "own"), ("secular", "lrclib-terms"),
    }  # fmt: skip
    report = stillhouse.read_report("collect", str(tmp_path / "runs"))
    assert report.collection.labels == {"secular": 80, "christian": 20}
    assert report.collection.sources["lrclib"].kept == 80
    assert report.row_flow[0].step == "collect"
    page = Path(status.report).read_text()
    assert 'data-source="lrclib"' in page
    assert "The plan smoke: 100 songs" in re.sub(r"\s+", " ", page)

    stillhouse.erase(source="lrclib", yes=True, runs=str(tmp_path / "runs"))
    store = ReplyStore(tmp_path / "runs" / COLLECTED / REPLIES)
    assert set(store.counts()) <= {"robots.txt"}
    store.close()


@pytest.mark.parametrize("plan", ["smoke", "option_a", "option_b", "full"])
def test_the_pages_table_of_requests_and_hours_is_what_check_says(plan):
    query = (Query(words="a"),)
    lrclib = SongSource(kind="lrclib", queries=query)
    genius = SongSource(kind="genius", queries=query, key_env="K", lyrics_from="lrclib")
    free = load_plan(plan, HOW_TO).model_copy(update={"sources": {}})
    told = []
    for sources in (
        {"lrclib": lrclib},
        {"genius": genius, "lrclib": lrclib},
        {"mxm": SongSource(kind="musixmatch", queries=query, key_env="K")},
    ):
        collection = Collection(contact="a@example.org", sources=sources)
        if len(sources) == 2:
            only = {"genius": {"at_most": free.most_songs}, "lrclib": {"at_most": 0}}
            wanted = free.model_validate(free.model_dump() | {"sources": only})
        else:
            wanted = free
        longest = max(forecast(collection, wanted), key=lambda one: one.seconds)
        told.append(longest)
    texts = [str(one).partition(" about ")[2].replace(" times", "") for one in told]
    row = f"| `{plan}` | {' | '.join(texts)} |"
    assert row in (HOW_TO / "collect.md").read_text().replace(" requests,", ",")
