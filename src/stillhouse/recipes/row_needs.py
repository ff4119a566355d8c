"""Which columns the rows of a recipe must have, and an example of such a row."""

from __future__ import annotations

import string
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from stillhouse.recipes.answer_schema import value_of_schema
from stillhouse.recipes.answers import AnswerKind
from stillhouse.recipes.measuring import CLASS, LENGTH
from stillhouse.recipes.schema import Recipe

_USUAL = {"messages": "messages", "sharegpt": "conversations"}


@dataclass(frozen=True, slots=True)
class RowNeed:
    """One column.

    Attributes:
        name: what the recipe calls it.
        column: its dotted path in the file; another name where `collect.columns` renames it.
        what: what it is for.
    """

    name: str
    column: str
    what: str

    def __str__(self) -> str:
        return f"{self.column} ({self.what})"


def row_needs(recipe: Recipe) -> tuple[RowNeed, ...]:
    """The columns that a recipe names, each once, those of the prompt first.

    Args:
        recipe: as it is run.

    Returns:
        What the file must hold; columns that a step makes are left out.
    """
    made = {name for step in recipe.prepare.steps for name in step.makes}
    named: dict[str, str] = {}
    for name, what in _named(recipe):
        if name not in made:
            named.setdefault(name, what)
    columns = recipe.collect.columns
    read_first = dict(_as_read(recipe))
    needs = [RowNeed(name, columns.get(name, name), what) for name, what in named.items()]
    # A column that is kept must be there, whether or not something reads it.
    needs += [RowNeed(k, v, "collect.columns") for k, v in columns.items() if k not in named]
    known = {one.column for one in needs}
    return (*needs, *(RowNeed(k, k, what) for k, what in read_first.items() if k not in known))


def example_row(recipe: Recipe, number: int = 0) -> dict[str, Any]:
    """A row as the recipe wants it: short, and by its names, not by those of the file.

    Args:
        recipe: as it is run.
        number: classes and the like go round with it.

    Returns:
        Name to value; an answer in JSON is an object with the fields that are measured.
    """
    prepare = recipe.prepare
    row: dict[str, Any] = {one.name: f"{one.name} {number + 1}" for one in row_needs(recipe)}
    if prepare.shape in _USUAL:
        row[prepare.conversation or _USUAL[prepare.shape]] = _conversation(prepare.shape)
    made = {name for step in prepare.steps for name in step.makes}
    for name in (prepare.answer, prepare.reference):
        if name and name not in made:
            row[name] = example_answer(recipe, number)
    if prepare.domain_field:
        names = list(recipe.domains)
        row[prepare.domain_field] = names[number % len(names)]
    if prepare.votes:
        row[prepare.votes] = {str(name): 1 for name in recipe.label.classes or ("yes", "no")}
    return row


def _named(recipe: Recipe) -> Iterator[tuple[str, str]]:
    prepare = recipe.prepare
    if prepare.shape in _USUAL:
        yield prepare.conversation or _USUAL[prepare.shape], "the conversation"
    elif prepare.shape == "prompt_completion":
        yield from (("prompt", "the prompt"), ("completion", "the answer"))
    for text in (prepare.system, prepare.user):
        yield from ((name, "the prompt") for name in _places(text or ""))
    as_object = ", a JSON object" if prepare.answer_format == "json" else ""
    for name, what in (
        (prepare.answer, f"the answer{as_object}"),
        (prepare.reference, f"what is right{as_object}"),
        (prepare.votes, "the votes"),
        (prepare.domain_field, f"the domain: {', '.join(recipe.domains)}"),
        (prepare.split.stratify_by, "split.stratify_by"),
        (recipe.evaluate.paraphrases, "evaluate.paraphrases"),
    ):
        if name:
            yield name, what
    yield from ((name, "split.group_by") for name in prepare.split.group_by)
    yield from (
        (name, "evaluate.slices") for name in recipe.evaluate.slices if name not in (LENGTH, CLASS)
    )
    for step in prepare.steps:
        yield from ((name, f"step {step.name}") for name in step.reads)


def _as_read(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """What is read before `collect.columns` renames anything."""
    rights = recipe.collect.rights
    for key in ("licence_field", "consent_field", "subject_field", "source_field", "date_field"):
        name = getattr(rights, key)
        if name:
            yield name, f"rights.{key}"
    yield from ((name, "rights.hash_fields") for name in rights.hash_fields)


def _places(text: str) -> list[str]:
    """The fields that a template names; a dotted one by its whole path."""
    return [name for _, name, _, _ in string.Formatter().parse(text) if name]


def _conversation(shape: str) -> list[dict[str, str]]:
    if shape == "messages":
        return [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]
    return [{"from": "human", "value": "..."}, {"from": "gpt", "value": "..."}]


def example_answer(recipe: Recipe, number: int = 0) -> Any:
    """An answer as the recipe wants it.

    Args:
        recipe: as it is run.
        number: classes and the like go round with it.

    Returns:
        Text, or an object with the fields that are measured.
    """
    classes, fields = recipe.label.classes or (), recipe.evaluate.fields
    if recipe.prepare.answer_format != "json":
        kind = fields.get("answer")
        known = classes or (kind.classes if kind else ())
        return known[number % len(known)] if known else f"answer {number + 1}"
    found = {name: _value(name, kind, number) for name, kind in fields.items()}
    schema = recipe.label.answer_schema or {}
    for name in schema.get("required", ()):
        found.setdefault(name, value_of_schema(schema.get("properties", {}).get(name, {}), number))
    if recipe.label.class_field and classes:
        found[recipe.label.class_field] = classes[number % len(classes)]
    return found or {"field": "value"}


def _value(name: str, kind: AnswerKind, number: int) -> Any:
    if kind.kind == "number":
        low, high = kind.low or 0.0, kind.high or 0.0
        return low + (high - low) * (number % 11) / 10
    known = kind.classes or kind.positive or (f"{name} a", f"{name} b")
    if kind.kind == "labels":
        return [known[number % len(known)]]
    return known[number % len(known)] if kind.kind == "label" else f"{name} {number + 1}"
