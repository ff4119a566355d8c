"""Rows that nobody has yet, made up so that a recipe's cost can be told before they are there.

They have the columns that the recipe reads and lengths that are assumed; no run ever sees them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from stillhouse.recipes.row_needs import example_row, row_needs
from stillhouse.recipes.schema import Recipe

_FIELD_WORDS, _LONG_WORDS, _ANSWER_WORDS = 12, 250, 40
"""assumption: of a column of the prompt, of the one that `cut_field` names, and of an answer; a
song of charts has about 250 words, a question of an examination about 15."""
_SLICES = 4  # assumption: values of a column that parts are cut or dealt by
_COMMON = """
the of and to in is it you that he was for on are with as his they be at one have this from or
had by hot but some what there we can out other were all your when up use word how said an each
she which do their time if will way about many then them would write like so these her long make
thing see him two has look more day could go come did my sound no most number who over know
water than call first people may down side been now find any new work part take get place made
live where after back little only round man year came show every good me give our under name
very through just form much great think say help low line before turn cause same mean differ
move right boy old too does tell sentence set three want air well also play small end put home
read hand port large spell add even land here must big high such
"""
_WORDS = tuple(_COMMON.split())


def lengths_in_words(recipe: Recipe) -> str:
    """The assumed lengths of a recipe's rows, in a sentence."""
    cut = recipe.prepare.cut_field
    long = f", {_LONG_WORDS} in {cut}" if cut else ""
    return f"{_FIELD_WORDS} words a column{long}, {_ANSWER_WORDS} an answer in plain text"


def assumed_rows(recipe: Recipe, num_rows: int) -> Iterator[dict[str, Any]]:
    """Rows of a recipe, as its file would hold them.

    Args:
        recipe: as it is run.
        num_rows: how many, >= 1.

    Yields:
        Records in which `collect.columns` finds its paths; no two have the same prompt.
    """
    rng = random.Random(0)
    columns = {need.name: need.column for need in row_needs(recipe)}
    for number in range(num_rows):
        row = _row(recipe, number, rng)
        # A dotted path is found as one key too.
        yield {columns.get(name, name): value for name, value in row.items()}


def settings(num_rows: int) -> Iterator[dict[str, Any]]:
    """Settings as a file of `pair_with` holds them."""
    rng = random.Random(1)
    for number in range(num_rows):
        yield {"id": f"setting {number}", "text": _words(rng, _ANSWER_WORDS)}


def _row(recipe: Recipe, number: int, rng: random.Random) -> dict[str, Any]:
    prepare = recipe.prepare
    row = example_row(recipe, number)
    slices = {prepare.split.stratify_by, *recipe.evaluate.slices} - {None}
    for name, value in row.items():
        if name in slices and name != prepare.domain_field:
            row[name] = f"kind {number % _SLICES}"
        elif isinstance(value, str) and not _is_said(recipe, name):
            row[name] = _words(rng, _length(recipe, name))
        elif isinstance(value, list):
            row[name] = [_with_words(turn, rng) for turn in value]
    return row


def _is_said(recipe: Recipe, name: str) -> bool:
    """Whether a value stands for itself: a domain, or one of the classes."""
    if name == recipe.prepare.domain_field:
        return True
    kind = recipe.evaluate.fields.get("answer")
    is_class = bool(recipe.label.classes or (kind and kind.classes))
    return is_class and name in (recipe.prepare.answer, recipe.prepare.reference)


def _length(recipe: Recipe, name: str) -> int:
    if name == recipe.prepare.cut_field:
        return _LONG_WORDS
    is_answer = name in (recipe.prepare.answer, recipe.prepare.reference)
    return _ANSWER_WORDS if is_answer else _FIELD_WORDS


def _with_words(turn: Any, rng: random.Random) -> Any:
    if not isinstance(turn, dict):
        return turn
    return {
        key: _words(rng, _ANSWER_WORDS) if text == "..." else text for key, text in turn.items()
    }


def _words(rng: random.Random, number: int) -> str:
    return " ".join(rng.choices(_WORDS, k=number))
