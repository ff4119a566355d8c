"""The pages of the documentation, and the commands that they show."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from stillhouse.recipes.built import not_built
from stillhouse.recipes.built_in import library_names
from stillhouse.recipes.first_recipe import SCHEMA_LINE
from stillhouse.recipes.load import load_recipe

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
ROOT_PAGES = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "AGENTS.md", "CHANGELOG.md")

_BLOCK = re.compile(r"^```(?:console|bash|sh|shell)\n(.*?)^```", re.M | re.S)
_TAKES_RECIPE = (("run",), ("check",), ("mask",), ("targets", "forecast"))
_TAKES_RUN = (
    ("status",),
    ("gate",),
    ("export",),
    ("report",),
    ("chat",),
    ("targets", "show"),
    ("targets", "verify"),
)


def _argument(words, commands):
    """The place of the argument of a command that is one of these; None for other commands."""
    return next((len(name) for name in commands if tuple(words[: len(name)]) == name), None)


def pages():
    """Every page, the root's first."""
    return [ROOT / name for name in ROOT_PAGES] + sorted(DOCS.rglob("*.md"))


def name_of(page):
    return page.relative_to(ROOT).as_posix()


def anchors_of(page):
    """What a link to a page may name after `#`."""
    text = page.read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.*)$", text, re.M)
    slugs = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in headings}
    return slugs | set(re.findall(r'<a id="([^"]+)">', text))


@dataclass(frozen=True)
class Command:
    """A `stillhouse` command of a page, without its first word."""

    page: Path
    words: tuple[str, ...]

    def __str__(self):
        return f"{name_of(self.page)}: stillhouse {' '.join(self.words)}"

    @property
    def recipe(self):
        """The recipe that is run or looked at; None for commands that take none."""
        place = _argument(self.words, _TAKES_RECIPE)
        return None if place is None else self.words[place]

    @property
    def profile(self):
        """Of a built-in recipe; empty where none is said."""
        return self.words[self.words.index("--profile") + 1] if "--profile" in self.words else ""

    @property
    def overrides(self):
        return [value for name, value in zip(self.words, self.words[1:], strict=False)
                if name == "--set"]  # fmt: skip


def commands_of(page):
    """The `stillhouse` commands in a page's console blocks, in order."""
    found = []
    for block in _BLOCK.findall(page.read_text(encoding="utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            if not line.removeprefix("$ ").startswith("stillhouse "):
                continue
            words = shlex.split(line.removeprefix("$ "), comments=True)
            found.append(Command(page, tuple(words[1:])))
    return found


def _is_first_recipe(file):
    return file.is_file() and file.read_text(encoding="utf-8").startswith(SCHEMA_LINE)


class StandIn:
    """The tiny recipe and its finished run in the place of what a page names.

    Args:
        recipe: the tiny recipe's file.
        run: the name of its finished run.
        runs: a folder with that run, which may be changed.
    """

    def __init__(self, recipe, run, runs):
        self._recipe, self._run, self._runs = recipe, run, runs

    def replace(self, command):
        """The words to run instead; a recipe that this version refuses keeps its name.

        The tiny recipe is a file, which has no profile. A smoke run becomes its check, which reads
        all of its options and shrinks the recipe. One that `init` wrote before on the page is
        looked at as it is.
        """
        words = list(command.words)
        if words[0] == "run" and "--smoke" in words:
            words[0] = "check"
        place = _argument(words, _TAKES_RECIPE)
        if place is not None:
            name = words[place]
            if name in library_names() and not_built(load_recipe(name).recipe):
                return words
            if words[0] in ("check", "mask") and _is_first_recipe(Path(name)):
                return words
            words[place] = str(self._recipe)
            for option in ("--profile", "--rows"):  # a file has none, and these rows are there
                if option in words:
                    at = words.index(option)
                    del words[at : at + 2]
        place = _argument(words, _TAKES_RUN)
        if place is not None and not (self._runs / words[place]).exists():
            # A folder that an earlier command of the page made keeps its name.
            words[place] = words[place] if Path(words[place]).exists() else self._run
        if words[0] == "export":
            # What Ollama and the hub answer is in tests/runner; a folder stands for them here.
            to = words.index("--to") + 1
            words[to] = "./" + words[to].removeprefix("./").replace(":", "-")
        if "--runs" in words:
            words[words.index("--runs") + 1] = str(self._runs)
        return words
