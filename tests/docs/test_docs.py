"""The documentation is true: generated pages are fresh, links lead somewhere, commands work."""

import importlib.util
import re
import shutil
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from tests.targets.importing.data_sets import write_captured, write_conversations

from stillhouse.cli.main import main
from stillhouse.core.errors import RecipeError
from stillhouse.recipes.built import not_built
from stillhouse.recipes.built_in import library_names
from stillhouse.recipes.load import load_recipe
from stillhouse.tokens.tokenizer import load_tokenizer

ROOT = Path(__file__).resolve().parents[2]


def _load(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


pages = _load("stillhouse_docs_pages", Path(__file__).with_name("pages.py"))
sys.path.insert(0, str(pages.DOCS))  # as when the script is run
generate = _load("stillhouse_docs_generate", pages.DOCS / "generate.py")
PAGES = pages.pages()
COMMANDS = [command for page in PAGES for command in pages.commands_of(page)]


@pytest.mark.parametrize("name", sorted(generate.pages()))
def test_a_generated_page_is_what_would_be_written_now(name):
    written = (generate.REFERENCE / name).read_text(encoding="utf-8")
    assert written == generate.pages()[name], "run `make docs`"


def test_every_key_of_a_recipe_says_what_it_means():
    rows = re.findall(r"^\| `(\w+)` \|.*\| (.*) \|$", generate.recipe_page(), re.M)
    assert len(rows) > 100
    assert [key for key, meaning in rows if not meaning.strip()] == []


def test_every_command_is_in_the_readme_or_the_reference():
    text = (ROOT / "README.md").read_text() + (generate.REFERENCE / "cli.md").read_text()
    names = [" ".join(("stillhouse", *words)) for words in generate.command_names()]
    assert len(names) >= 10
    assert [name for name in names if name not in text] == []


@pytest.mark.parametrize("page", PAGES, ids=pages.name_of)
def test_every_link_leads_to_a_page_and_a_heading_that_are_there(page):
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        path, _, place = link.partition("#")
        target = (page.parent / path) if path else page
        if not target.exists() or (place and place not in pages.anchors_of(target)):
            broken.append(link)
    assert broken == []


def test_the_site_names_every_page_once():
    site = YAML(typ="safe", pure=True).load(ROOT / "mkdocs.yml")
    named = list(_leaves(site["nav"]))
    there = [page.relative_to(pages.DOCS).as_posix() for page in pages.DOCS.rglob("*.md")]
    assert sorted(named) == sorted(there)


def _leaves(node):
    if isinstance(node, str):
        yield node
        return
    for item in node.values() if isinstance(node, dict) else node:
        yield from _leaves(item)


@pytest.mark.parametrize("page", PAGES, ids=pages.name_of)
def test_a_page_speaks_of_the_project_alone(page):
    text = page.read_text(encoding="utf-8")
    found = re.findall(r"(?<![\w.])/(?:home|work|root|tmp|Users|mnt|opt)/|\b(?:F|UN|T)-\d+\b", text)
    assert found == []


def test_the_pages_show_commands():
    assert len(COMMANDS) >= 10


@pytest.mark.xdist_group("e2e")
@pytest.mark.parametrize("page", PAGES, ids=pages.name_of)
def test_every_command_of_a_page_works(
    page, tiny_recipe, tiny_run, tokenizer_folder, tmp_path, monkeypatch, capsys
):
    # The commands of a page are run in order in one folder. A finished run of the tiny recipe
    # stands for what takes minutes; the recipe that the page names is loaded with its overrides.
    # Small data sets of other tools lie where the pages say.
    commands = pages.commands_of(page)
    if not commands:
        return
    shutil.copytree(tiny_run.root, tmp_path / "runs")
    shutil.copytree(tokenizer_folder, tmp_path / "teacher")
    write_captured(tmp_path / "captured", load_tokenizer(tokenizer_folder))
    write_conversations(tmp_path / "evolkit", load_tokenizer(tokenizer_folder))
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "Why is the sky blue?"}\n' * 20)
    monkeypatch.chdir(tmp_path)
    stand_in = pages.StandIn(tiny_recipe, tiny_run.name, tmp_path / "runs")
    for command in commands:
        expected = _expected_code(command, page)
        monkeypatch.setattr(sys, "argv", ["stillhouse", *stand_in.replace(command)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        assert (ended.value.code or 0) in expected, f"{command}\n{said.out}\n{said.err}"


def _expected_code(command, page):
    """The exit codes that are right; loads the recipe that the command names."""
    if command.recipe is None:
        return {0, 3} if command.words[0] == "gate" else {0}
    name = command.recipe
    beside = page.parent / name
    if name not in library_names() and not Path(name).exists() and beside.exists():
        name = str(beside)
    if name not in library_names() and not Path(name).exists():
        return {0}
    try:
        recipe = load_recipe(name, command.overrides, command.profile).recipe
    except RecipeError:
        # A page may show a mistake, with the message that it brings.
        assert "error: " in page.read_text(encoding="utf-8")
        return {2}
    return {2} if not_built(recipe) else {0}
