"""What the recipe language can say and this version does not do yet: one table, told truthfully.

A row leaves the table in the change that builds its feature.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from stillhouse.recipes.metric_names import (
    FAMILIES,
    FIXED,
    WAITING,
    WAITING_FAMILIES,
    is_measured,
)
from stillhouse.recipes.models import ModelSource
from stillhouse.recipes.schema import Recipe

METRICS = frozenset(FIXED) - WAITING
"""Metrics of one name that `evaluate` measures."""

_FAMILIES = sorted(f"{family}NAME" for family in frozenset(FAMILIES) - WAITING_FAMILIES)


@dataclass(frozen=True, slots=True)
class NotBuilt:
    """One thing that a recipe asks for in vain.

    Attributes:
        key: where the recipe says it, dotted.
        value: what it says there.
        what: why that cannot run, or what to write instead.
    """

    key: str
    value: str
    what: str

    def __str__(self) -> str:
        return f"{self.key}: {self.value}: {self.what}"


@dataclass(frozen=True, slots=True)
class _Row:
    """One unbuilt feature: which values under `key` ask for it."""

    key: str
    find: Callable[[Recipe], Iterable[object]]
    what: str


def not_built(recipe: Recipe) -> list[NotBuilt]:
    """Everything that this recipe asks for and this version cannot run, in the order of work.

    Args:
        recipe: valid; nothing is read from disk or network.

    Returns:
        Empty when `run` can do all of it.
    """
    found = [
        NotBuilt(row.key, str(value), row.what) for row in _TABLE for value in row.find(recipe)
    ]
    return list(dict.fromkeys(found))


def _endpoint(source: ModelSource) -> list[str]:
    return [f"{source.api.kind} {source.api.model}"] if source.api else []


def _unknown_metrics(names: Iterable[str]) -> list[str]:
    return [name for name in names if not is_measured(name)]


def _rule_metrics(recipe: Recipe) -> list[str]:
    return _unknown_metrics(rule.metric for rule in recipe.gate.rules) if recipe.gate else []


def _teacher_rule_metrics(recipe: Recipe) -> list[str]:
    gate = recipe.finetune.gate if recipe.finetune else None
    return _unknown_metrics(rule.metric for rule in gate.rules) if gate else []


_METRIC = (
    f"no such metric is measured yet; measured are {', '.join([*sorted(METRICS), *_FAMILIES])}"
)

_TABLE: tuple[_Row, ...] = (
    _Row("student.api", lambda r: _endpoint(r.student), "a student needs weights of its own"),
    _Row(
        "train.mode",
        lambda r: [r.train.mode] if r.train.mode == "on_policy" else [],
        "the student's own text is not learned from yet: cached, live or base",
    ),
    _Row("evaluate.metrics", lambda r: _unknown_metrics(r.evaluate.metrics), _METRIC),
    _Row("finetune.gate.rules.metric", _teacher_rule_metrics, _METRIC),
    _Row("gate.rules.metric", _rule_metrics, _METRIC),
)
