"""Built-in recipes by name and profile."""

import json
from pathlib import Path

import pytest
from huggingface_hub import constants

import stillhouse
from stillhouse.core.errors import RecipeError
from stillhouse.recipes import built_in
from stillhouse.recipes.built import not_built
from stillhouse.recipes.built_in import library_names, profiles_of, read_built_in
from stillhouse.recipes.load import load_recipe

SMALL = Path(__file__).parents[1] / "e2e" / "tiny.yaml"
TINY = [name for name in library_names() if "tiny" in profiles_of(name)]


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A library of two recipes: `plain` has the full profile alone, `songs` has both."""
    text = SMALL.read_text()
    folder = tmp_path / "library"
    folder.mkdir()
    for name in ("plain", "songs", "songs.tiny"):
        named = text.replace("name: tiny\n", f"name: {name.replace('.', '-')}\n", 1)
        (folder / f"{name}.yaml").write_text(named)
    monkeypatch.setattr(built_in, "_folder", lambda: folder)
    monkeypatch.chdir(tmp_path)
    return folder


def test_a_tiny_profile_is_no_recipe_of_its_own(library):
    assert library_names() == ["plain", "songs"]
    assert profiles_of("plain") == ("full",)
    assert profiles_of("songs") == ("full", "tiny")


@pytest.mark.parametrize(
    ("profile", "name"), [("", "songs"), ("full", "songs"), ("tiny", "songs-tiny")]
)
def test_a_profile_picks_its_file(library, profile, name):
    loaded = load_recipe("songs", ["train.seed=7"], profile)

    assert (loaded.recipe.name, loaded.recipe.train.seed) == (name, 7)
    assert loaded.origin == name.replace("-", ".")


@pytest.mark.parametrize(
    ("name", "profile", "said"),
    [
        ("plain", "tiny", "plain has no such profile\n  -> it has full"),
        ("songs", "tinny", 'no such profile\n  -> did you mean "tiny"? it has full and tiny'),
        ("songs.tiny", "", "said beside its name: songs --profile tiny; built-in recipes: plain"),
        ("song", "tiny", 'did you mean "songs"? built-in recipes: plain, songs'),
    ],
)
def test_what_does_not_exist_is_told_with_what_does(library, name, profile, said):
    with pytest.raises(RecipeError) as error:
        load_recipe(name, (), profile)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("file", "said"),
    [("mine.yaml", "built-in recipes with profiles: plain, songs"), ("songs", "no file songs")],
)
def test_a_file_has_no_profiles(library, file, said):
    text, _ = read_built_in("plain")
    Path(file).write_text(text)

    assert load_recipe(file).recipe.name == "plain"
    with pytest.raises(RecipeError, match="is a file, and a file has no profiles") as error:
        load_recipe(file, (), "tiny")
    assert said in str(error.value)


def test_the_list_tells_each_profile_and_whether_it_runs(library, called):
    unbuilt = "evaluate: {draws: 200, metrics: [embedding_distance]}"
    text = SMALL.read_text().replace("evaluate: {draws: 200}", unbuilt)
    (library / "songs.yaml").write_text(text)
    found = json.loads(called("recipe", "list", "--json")[1])

    assert [(one["name"], one["runs"], one["profiles"]) for one in found] == [
        ("plain", True, {"full": True}),
        ("songs", False, {"full": False, "tiny": True}),
    ]
    lines = called("recipe", "list")[1].splitlines()
    assert [line.split() for line in lines[:3]] == [
        ["recipe", "full", "tiny"],
        ["plain", "yes", "-"],
        ["songs", "not", "yet", "yes"],
    ]


def test_a_profile_is_shown_and_copied_under_the_name_of_its_file(library, called):
    assert "name: songs-tiny" in called("recipe", "show", "songs", "--profile", "tiny")[1]
    assert called("recipe", "copy", "songs", "--profile", "tiny") == (0, "songs.tiny.yaml\n", "")
    assert load_recipe("songs.tiny.yaml").recipe.name == "songs-tiny"


def test_a_profile_reaches_check_mask_and_forecast(library, called):
    smoke = ("--smoke", "2", "--json")
    told = json.loads(called("check", "songs", "--profile", "tiny", *smoke)[1])
    assert told["name"] == "songs-tiny-smoke"
    shown = called("mask", "songs", "--profile", "tiny", "--part", "labelled")
    assert shown[0] == 0
    assert called("mask", "songs", "--profile", "small")[0] == 2
    assert called("targets", "forecast", "songs", "--profile", "small")[0] == 2
    assert called("run", "songs", "--profile", "small")[0] == 2


def test_python_takes_a_profile_too(library):
    found = stillhouse.check("songs", stillhouse.Call(smoke=2, profile="tiny"))

    assert found.name == "songs-tiny-smoke"
    assert stillhouse.list_profiles("songs") == ("full", "tiny")


@pytest.mark.parametrize("name", TINY)
def test_a_tiny_profile_needs_nothing_from_outside(name):
    recipe = load_recipe(name, (), "tiny").recipe

    assert recipe.name in (name, f"{name}-tiny")
    assert recipe.network == "none"
    assert recipe.collect.source.sample_rows
    assert not recipe.teacher.hub
    assert not recipe.student.hub
    assert not_built(recipe) == []


def test_check_tells_the_cost_before_there_are_rows(called, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))

    without = called("check", "neurons")
    code, out, err = called("check", "neurons", "--rows", "300")

    assert without[0] == 2
    assert "its rows holds: prompt (the prompt), answer (the answer), domain (the" in without[2]
    assert "assumed: 300 rows in the place of data/neurons.jsonl" in out
    assert (code, err) == (0, "") or "this machine has" in err
