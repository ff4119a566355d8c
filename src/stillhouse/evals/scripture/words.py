"""The words that tell references from other text, and how words are compared."""

from __future__ import annotations

import unicodedata
from functools import cache
from importlib import resources

from ruamel.yaml import YAML


def fold(text: str) -> str:
    """The text without case, accents and everything but letters and digits."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in plain if letter.isalnum() and letter.isascii())


@cache
def _lists() -> dict[str, str]:
    text = (resources.files("stillhouse.evals.scripture") / "words.yaml").read_text("utf-8")
    lists: dict[str, str] = YAML(typ="safe", pure=True).load(text)
    return lists


def words(name: str) -> frozenset[str]:
    """A list of `words.yaml`, folded."""
    return frozenset(map(fold, _lists()[name].split()))
