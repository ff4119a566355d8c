"""A recipe's collection: refused before it starts where it cannot be, filled, accounted for."""

import json
import time
from dataclasses import replace
from functools import partial

import pytest
from ruamel.yaml import YAML
from tests.data.collect.servers import Behaviour, SongServer
from tests.data.collect.songs_on_trial import make_songs

from stillhouse.core.errors import InputError, RecipeError, StillhouseError, UsageError
from stillhouse.core.protocols import no_progress
from stillhouse.data.storage import read_rows_file
from stillhouse.recipes.collection_plans import load_plan, plan_names
from stillhouse.runner.check import check
from stillhouse.runner.opening import named_place, open_recipe
from stillhouse.runner.resolve import resolve
from stillhouse.runner.run import refuse_early
from stillhouse.stages import collect, collecting
from stillhouse.stages.contract import StageRequest
from stillhouse.store.replies import ReplyStore

SMALL_PLAN = {
    "name": "small",
    "songs": {"at_least": 26, "at_most": 26},
    "labels": {"christian": {"at_least": 6, "at_most": 6}},
}


@pytest.fixture
def recipe_of(write_recipe, tmp_path, monkeypatch):
    """`recipe_of(server, plan=..., ...)`: a recipe that collects from a server of tests."""
    monkeypatch.setenv("SONG_KEY", "planted-token")

    def write(server, plan=SMALL_PLAN, network=(), **collection):
        YAML().dump(plan, tmp_path / "plan.yaml")
        queries = [{"words": word, "genre": word} for word in ("pop", "christian")]
        home = {"base_url": server.url} if server else {}
        given = {
            "contact": "tests@example.org",
            "plan": "plan.yaml",
            "sources": {"lrclib": {"kind": "lrclib", "queries": queries, **home}},
        } | collection
        return write_recipe(
            network=list(network) or "none",
            collect={
                "source": {"collection": given},
                "rights": {
                    "licence_field": "licence",
                    "source_field": "source",
                    "also_permitted": ["lrclib-terms"],
                },
            },
            prepare={
                "user": "{title} by {artist}: {lyrics}",
                "answer": "label",
                "split": {"parts": {"holdout": 5, "labelled": 9, "teacher": "rest"}},
            },
        )

    return write


@pytest.fixture
def at_once(monkeypatch):
    """A pace that only tests have."""
    manners = collecting.Manners
    monkeypatch.setattr(
        collecting, "Manners", lambda contact: replace(manners(contact), pause_s=0.0, retry_s=0.01)
    )
    monkeypatch.setattr(collecting, "pause_of", lambda source: 0.0)


def resolved_of(path):
    return resolve(*open_recipe(str(path)))


def run(resolved, tmp_path, name="one"):
    place = named_place(str(tmp_path / "runs"), name)
    instance, collection = resolved.plan["collect"], resolved.recipe.collect.source.collection
    out = tmp_path / name
    out.mkdir()
    request = StageRequest(
        stage="collect",
        variant="",
        artifact_id=instance.artifact_id,
        config=instance.config,
        inputs={},
        out=out,
        scratch=tmp_path / "scratch",
        locations=resolved.locations,
        access=place.collecting(collection) if collection else {},
    )
    return collect.run(request, no_progress), out, place


def test_a_collection_becomes_rows_with_their_origin_and_a_table(recipe_of, tmp_path, at_once):
    with SongServer(make_songs(340)) as server:
        resolved = resolved_of(recipe_of(server))
        result, out, _ = run(resolved, tmp_path)

    rows = read_rows_file(out / "rows.parquet")
    first = rows[0].fields
    assert len(rows) == result.summary["rows"] == 26
    assert first["licence"] == "lrclib-terms"
    assert (first["source"], first["lyrics_source"]) == ("lrclib", "lrclib")
    assert first["source_url"].startswith(f"{server.url}/api/search?q=")
    assert first["fetched_at"]
    found = result.summary["collection"]
    assert found["labels"] == {"secular": 20, "christian": 6}
    assert found["verdict"]["passed"]
    (flow, rights) = result.summary["flow"]
    assert flow["rows_in"] == flow["rows_out"] + sum(flow["dropped"].values())
    assert rights["rows_out"] == 26
    assert result.measured["requests_lrclib"] == len(server.seen)
    told = [json.loads(line) for line in (out / "refused.jsonl").read_text().splitlines()]
    assert len(told) == sum(flow["dropped"].values())
    assert "lyrics" not in told[0]


def test_a_list_that_changes_under_its_collection_gives_no_rows_a_false_name(
    recipe_of, tmp_path, at_once
):
    (tmp_path / "own.jsonl").write_text('{"title": "T", "artist": "A", "lyrics": "la"}\n')
    own = {"kind": "file", "licence": "own", "file": {"path": "own.jsonl"}}
    queries = [{"words": word, "genre": word} for word in ("pop", "christian")]
    with SongServer(make_songs(340)) as server:
        sources = {
            "own": own,
            "lrclib": {"kind": "lrclib", "base_url": server.url, "queries": queries},
        }
        resolved = resolved_of(recipe_of(server, sources=sources))
        (tmp_path / "own.jsonl").write_text('{"title": "U", "artist": "A", "lyrics": "la"}\n')
        with pytest.raises(InputError, match=r"own\.jsonl has changed since the run began"):
            run(resolved, tmp_path)


def test_rows_of_a_file_that_changed_since_the_plan_was_made_are_refused(write_recipe, tmp_path):
    (tmp_path / "own.jsonl").write_text('{"question": "q", "answer": "a"}\n' * 2)
    source = {"source": {"file": str(tmp_path / "own.jsonl")}}
    split = {"parts": {"holdout": 5, "labelled": 9, "teacher": "rest"}}
    prepare = {"user": "{question}", "answer": "answer", "split": split}
    resolved = resolved_of(write_recipe(network="none", collect=source, prepare=prepare))
    with (tmp_path / "own.jsonl").open("a") as stream:
        stream.write('{"question": "late", "answer": "a"}\n')
    with pytest.raises(InputError, match="has changed since the run began"):
        run(resolved, tmp_path)


def test_a_plan_waits_for_the_one_before_it_to_pass(recipe_of, tmp_path, at_once):
    after = SMALL_PLAN | {"name": "large", "after": "plan_a.yaml"}
    YAML().dump(SMALL_PLAN, tmp_path / "plan_a.yaml")
    with SongServer(make_songs(340)) as server:
        first = resolved_of(recipe_of(server))
        second = resolved_of(recipe_of(server, after))
        place = named_place(str(tmp_path / "runs"), "large")
        with pytest.raises(
            UsageError, match=r"large comes after plan_a\.yaml, and it has not been"
        ):
            check(second, place)
        run(first, tmp_path)
        refuse_early(second, place)
        YAML().dump(SMALL_PLAN | {"quality": {"artists_at_least": 99}}, tmp_path / "plan_a.yaml")
        with pytest.raises(UsageError, match="under other rules than it has now"):
            refuse_early(second, place)


def test_a_plan_that_did_not_pass_says_why(recipe_of, tmp_path, at_once):
    poor = SMALL_PLAN | {"quality": {"artists_at_least": 99}}
    YAML().dump(poor, tmp_path / "plan_a.yaml")
    with SongServer(make_songs(340)) as server:
        run(resolved_of(recipe_of(server, poor)), tmp_path)
        second = resolved_of(recipe_of(server, SMALL_PLAN | {"after": "plan_a.yaml"}))
        with pytest.raises(UsageError, match=r"artists is \d+, at least 99"):
            refuse_early(second, named_place(str(tmp_path / "runs"), "large"))


def test_an_unfilled_plan_says_what_is_missing_and_a_second_run_goes_on(
    recipe_of, tmp_path, at_once, monkeypatch
):
    with SongServer(make_songs(340), Behaviour(faults=dict.fromkeys((2, 3, 4), "403"))) as server:
        queries = [{"words": w, "genre": w} for w in ("christian", "no", "never", "none", "pop")]
        source = {"kind": "lrclib", "base_url": server.url, "queries": queries}
        resolved = resolved_of(recipe_of(server, sources={"lrclib": source}))
        with pytest.raises(StillhouseError, match="6 of at least 26 songs") as caught:
            run(resolved, tmp_path, "one")
        assert "lrclib was stopped (forbidden, ask again in" in str(caught.value)
        assert "run the same command again" in str(caught.value)
        server.behaviour.faults = {}
        later = time.time() + 1000
        monkeypatch.setattr(collecting, "ReplyStore", partial(ReplyStore, wall=lambda: later))
        result, *_ = run(resolved, tmp_path, "two")

    assert result.summary["rows"] == 26


def test_a_missing_key_and_a_forbidden_host_are_told_before_anything_starts(
    recipe_of, tmp_path, monkeypatch
):
    queries = [{"words": "pop"}]
    sources = {"mxm": {"kind": "musixmatch", "queries": queries, "key_env": "SONG_KEY"}}
    with pytest.raises(RecipeError, match=r"asks api\.musixmatch\.com.*\[api\.musixmatch\.com\]"):
        resolved_of(recipe_of(None, sources=sources))
    sources["mxm"]["licence"] = "own"
    resolved = resolved_of(recipe_of(None, network=["*.musixmatch.com"], sources=sources))
    monkeypatch.delenv("SONG_KEY")
    with pytest.raises(UsageError, match="SONG_KEY"):
        refuse_early(resolved, named_place(str(tmp_path / "runs"), "one"))


def test_songs_that_may_not_be_used_are_not_even_asked_for(recipe_of):
    sources = {"mxm": {"kind": "musixmatch", "queries": [{"words": "a"}], "key_env": "SONG_KEY"}}
    with pytest.raises(InputError, match="none of 26 rows may be used: licence forbids training"):
        resolved_of(recipe_of(None, network=["api.musixmatch.com"], sources=sources))


def test_check_tells_requests_and_hours(recipe_of, tmp_path):
    with SongServer([]) as server:
        resolved = resolved_of(recipe_of(server))
        report = check(resolved, named_place(str(tmp_path / "runs"), "one"))
        assert server.seen == []

    note = next(one for one in report.cautions if "asks 127.0.0.1 about" in one)
    assert "127.0.0.1 about 4 times" in note
    assert report.instances[0].cost.seconds > 4


def test_how_a_collection_is_asked_names_nothing_anew(recipe_of, tmp_path):
    (tmp_path / "queries.csv").write_text("words,genre\npop,pop\nchristian,christian\n")
    with SongServer([]) as server:
        one = resolved_of(recipe_of(server))
        source = {"kind": "lrclib", "base_url": server.url, "queries_file": "queries.csv"}
        other = recipe_of(
            server, contact="https://example.org/us", sources={"lrclib": source | {"pages": 1000}}
        )
        same = resolved_of(other)
        (tmp_path / "queries.csv").write_text("words,genre\njazz,jazz\n")
        new = resolved_of(other)

    names = [each.plan["collect"].artifact_id for each in (one, same, new)]
    assert names[0] == names[1] != names[2]


@pytest.mark.parametrize("name", plan_names())
def test_every_plan_can_be_filled(name, tmp_path):
    plan = load_plan(name, tmp_path)
    assert plan.name == name
    assert plan.after in ("", *plan_names())


def test_the_plans_are_those_that_were_promised(tmp_path):
    plans = {name: load_plan(name, tmp_path) for name in plan_names()}
    assert {name: (one.songs.at_least, one.songs.at_most) for name, one in plans.items()} == {
        "smoke": (100, 100),
        "option_a": (2000, 3500),
        "option_b": (66_200, 66_200),
        "full": (100_000, 100_000),
    }
    assert {name: one.at_least for name, one in plans["smoke"].labels.items()} == {
        "christian": 20, "secular": 80,
    }  # fmt: skip
    assert sum(one.at_least for one in plans["option_b"].sources.values()) == 66_200


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: [", "is no YAML"),
        ("name: x\nsongs: {at_most: 5, at_least: 6}", "at_most 5 is below at_least 6"),
        ("name: x\nsongs: {at_least: 6}", "when is it enough"),
        ("name: x\nsongs: {at_most: 5}\nlabels: {a: {at_least: 9}}", "ask for at least 9"),
        ("name: x\nsongs: {at_most: 5}\nspeed: fast", "speed"),
        ("[]", "plan"),
    ],
)
def test_a_plan_that_cannot_be_says_so(tmp_path, text, problem):
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(InputError, match=problem):
        load_plan("p.yaml", tmp_path)


def test_a_plan_that_is_not_there_names_the_nearest(tmp_path):
    with pytest.raises(InputError, match='did you mean "option_a"'):
        load_plan("option-a", tmp_path)
    with pytest.raises(InputError, match=r"no plan .*mine\.yaml"):
        load_plan("mine.yaml", tmp_path)
