"""No command of a page is left out: what is no `stillhouse` line of a console block is held here.

Those lines are run in `test_docs`. Here are commands inside of sentences, lines of other programs,
and programs in Python: each is run, or held against what it names.
"""

import ast
import importlib
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest
import typer.main
from tests.docs.pages import ROOT, name_of, pages
from tests.targets.importing.data_sets import write_captured

import stillhouse
from stillhouse.cli.main import app
from stillhouse.tokens.tokenizer import load_tokenizer

_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^ *```", re.M | re.S)
_SHELLS = ("console", "bash", "sh", "shell")
BLOCKS = [
    (page, language, body)
    for page in pages()
    for _, language, body in _BLOCK.findall(page.read_text(encoding="utf-8"))
]


def own_commands():
    """Commands inside of sentences and of shown output; console blocks are run elsewhere."""
    for page in pages():
        text = page.read_text(encoding="utf-8")
        for told in re.findall(r"`(stillhouse [^`\n]+)`", _BLOCK.sub("", text)):
            yield page, told
    for page, language, body in BLOCKS:
        if language not in _SHELLS and page.name != "cli.md":
            for line in re.findall(r"^ *\$? *(stillhouse [a-z].*)$", body, re.M):
                yield page, line


def wrong_words(told):
    """Words of a command that the program does not have."""
    words = shlex.split(told, comments=True)[1:]
    command = typer.main.get_command(app)
    while words and hasattr(command, "commands"):
        if words[0].startswith("--"):
            break
        if words[0] not in command.commands:
            return [words[0]]
        command = command.commands[words.pop(0)]
    known = {option for one in command.params for option in (*one.opts, *one.secondary_opts)}
    known.add("--help")
    return [one for one in words if one.startswith("-") and one.partition("=")[0] not in known]


def test_a_command_in_a_sentence_has_words_that_are_there():
    told = list(own_commands())
    assert len(told) > 40
    assert [(name_of(page), one) for page, one in told if wrong_words(one)] == []


@pytest.mark.parametrize("told", ["stillhouse report A --form json", "stillhouse reprot"])
def test_a_word_that_is_not_there_is_seen(told):
    assert wrong_words(told)


def other_commands():
    """Lines of other programs, without what they print: a console shows that without a `$`."""
    for page, language, body in BLOCKS:
        if language not in _SHELLS:
            continue
        lines = body.replace("\\\n", " ").splitlines()
        has_prompts = any(line.startswith("$ ") for line in lines)
        for line in lines:
            if has_prompts and not line.startswith("$ "):
                continue
            words = shlex.split(line.removeprefix("$ "), comments=True)
            if words and words[0] != "stillhouse":
                yield page, words


def _make(words):
    targets = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.M)
    return set(words[1:]) <= set(targets)


def _pip(words):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = re.findall(r"\[([\w,-]+)\]", " ".join(words))
    named = {one for several in extras for one in several.split(",")}
    files = [ROOT / name for flag, name in pairwise(words) if flag == "-c"]
    return named <= project["optional-dependencies"].keys() and all(map(Path.is_file, files))


def _python(words):
    if words[1] == "-c":
        program = words[: words.index(">>")] if ">>" in words else words
        return subprocess.run([sys.executable, *program[1:]], capture_output=True).returncode == 0
    if not (ROOT / words[1]).is_file():
        return False
    sources = "".join(path.read_text() for path in (ROOT / "benchmarks").rglob("*.py"))
    return all(f'"{one}"' in sources for one in words[2:] if one.startswith("--"))


HELD = {
    "make": _make,
    "pip": _pip,
    "python": _python,
    "benchmarks/.peers/bin/python": _python,
    # Programs of others, on files that a bundle names; the slow proofs ask llama.cpp.
    "ollama": lambda words: words[1] in ("create", "run", "pull"),
    "llama-cli": lambda words: words[1] == "-m" and words[2].endswith(".gguf"),
    "llama-server": lambda words: words[1] == "-m" and words[2].endswith(".gguf"),
}
"""A program -> whether a line of it can be right; `make` and `pip` themselves are run by hand."""


def test_a_line_of_another_program_names_what_is_there():
    told = list(other_commands())
    assert len(told) > 20
    wrong = [
        (name_of(page), words) for page, words in told
        if words[0] not in HELD or not HELD[words[0]](words)
    ]  # fmt: skip
    assert wrong == []


PROGRAMS = {
    "README.md": 1,
    "docs/how-to/diversity-audit.md": 2,  # tests/evals/test_audit_page.py
    "docs/how-to/domains.md": 1,  # tests/e2e/test_domains.py opens adapters so
    "docs/how-to/gguf-teacher.md": 1,  # tests/engines/test_gguf_page.py
    "docs/how-to/ship.md": 1,  # a call of transformers on a repository of the reader's
    "docs/how-to/songs.md": 2,  # tests/tasks/test_songs.py, tests/e2e/test_songs_tiny.py
    "docs/how-to/stored-targets.md": 1,
    "docs/ideas/loss-laws.md": 3,  # tests/testing/test_docs_page.py
}
"""Page -> its programs in Python; those without a place are run below."""


def programs(page=""):
    return [
        (name_of(where), body)
        for where, language, body in BLOCKS
        if language == "python" and name_of(where).startswith(page)
    ]


def test_every_program_has_a_test():
    found = [name for name, _ in programs()]
    assert {name: found.count(name) for name in found} == PROGRAMS


@pytest.mark.parametrize(("page", "program"), programs(), ids=lambda value: value[:40])
def test_a_program_names_what_there_is_to_import(page, program):
    for node in ast.walk(ast.parse(program)):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("stillhouse"):
            home = importlib.import_module(node.module)
            assert [one.name for one in node.names if not hasattr(home, one.name)] == []


@pytest.mark.xdist_group("e2e")
def test_the_program_of_the_readme_runs(tiny_recipe, tiny_run, tmp_path, monkeypatch, capsys):
    [(_, program)] = programs("README.md")
    shutil.copytree(tiny_run.root, tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    said = program.replace('run("quickstart")', f'run("{tiny_recipe}")')
    assert said != program

    exec(said.replace('"quickstart"', f'"{tiny_run.name}"'), {})

    reasons = stillhouse.gate(tiny_run.name, "twin").reasons
    assert capsys.readouterr().out == f"{reasons}\n"


def test_the_program_of_stored_targets_runs(tokenizer_folder, tmp_path, monkeypatch):
    [(_, program)] = programs("docs/how-to/stored-targets.md")
    monkeypatch.chdir(tmp_path)
    write_captured(tmp_path / "captured", load_tokenizer(tokenizer_folder))
    call = stillhouse.ImportCall("distillkit", "captured", "imported", str(tokenizer_folder))
    stillhouse.import_targets(call)
    names = {}

    exec(program, names)

    assert names["examples"]


def test_what_the_page_on_songs_says_of_a_line_is_so():
    [_, (_, program)] = programs("docs/how-to/songs.md")
    line = next(one for one in program.splitlines() if one.startswith("judge("))
    call, _, said = line.partition("  # ")
    names = {}
    exec(program.splitlines()[1], names)
    assert eval(call, names) == ast.literal_eval(said)
