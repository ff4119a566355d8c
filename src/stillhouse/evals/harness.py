"""Results of lm-evaluation-harness as scores: one row a document of a task.

A metric that is the mean of its documents has their values, so that it gets an interval and two
candidates are compared document by document. Of any other the harness's own number stands in every
row: exact, with an interval without width; a note tells the harness's standard error.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from stillhouse.core.errors import InputError
from stillhouse.evals.metric import Metric
from stillhouse.evals.scores import Column, Scores
from stillhouse.recipes.harness import METRICS
from stillhouse.recipes.metric_names import scale_of

_HIGHER, _LOWER, _ASKED = "harness_higher:", "harness_lower:", "harness_asked:"
_NO_FILTER = "none"
_STDERR = "_stderr"
_SOURCE = "lm-evaluation-harness, EleutherAI"


@dataclass(frozen=True, slots=True)
class HarnessResults:
    """What the harness found.

    Attributes:
        scores: a row for each document of each task.
        notes: what people should know of some metrics, by name.
        undefined: metrics whose number is not finite; they have no columns.
    """

    scores: Scores
    notes: dict[str, str]
    undefined: tuple[str, ...]


def read_results(results: Mapping[str, Any]) -> HarnessResults:
    """The scores in the results of `lm_eval.simple_evaluate`.

    Args:
        results: with `samples`, as `log_samples` gives them; its schema is that of
            `lm_eval/result_schema.py`, version 0.4.13.

    Returns:
        A column of values and one of who was asked, for each metric of each task and group.

    Raises:
        InputError: no document was asked.
    """
    documents = _Documents(results["samples"])
    if not documents.places:
        raise InputError("the tasks of the harness have no example", "raise evaluate.harness.limit")
    columns: dict[str, Column] = {}
    notes: dict[str, str] = {}
    undefined = []
    for task, metric, filtered, value in _numbers(results["results"]):
        name = _name(task, metric, filtered)
        if not math.isfinite(value):
            undefined.append(name)
            continue
        values, asked = documents.columns(
            _leaves(task, results.get("group_subtasks", {})), metric, filtered
        )
        if not _is_mean(values, asked, value):
            values = asked * value
            notes[name] = _note(results["results"][task].get(f"{metric}{_STDERR},{filtered}"))
        better = results.get("higher_is_better", {}).get(task, {}).get(metric)
        columns[(_LOWER if better is False else _HIGHER) + name] = values
        columns[_ASKED + name] = asked
    return HarnessResults(Scores(documents.ids, columns), notes, tuple(undefined))


def _numbers(results: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str, str, float]]:
    """Task or group, metric, filter and number of everything that the harness told."""
    for task, told in results.items():
        for key, value in told.items():
            metric, comma, filtered = key.rpartition(",")
            if comma and not metric.endswith(_STDERR) and _is_number(value):
                yield task, metric, filtered, float(value)


def _is_number(value: object) -> bool:
    return isinstance(value, Real | np.bool_)


def _name(task: str, metric: str, filtered: str) -> str:
    behind = "" if filtered == _NO_FILTER else f".{filtered}"
    return f"{task}.{metric}{behind}"


def _leaves(task: str, members: Mapping[str, Sequence[str]]) -> list[str]:
    """The tasks of a group, of groups in it too; a task itself."""
    if task not in members:
        return [task]
    return list(dict.fromkeys(leaf for one in members[task] for leaf in _leaves(one, members)))


def _is_mean(values: Column, asked: Column, told: float) -> bool:
    mean = values.sum() / asked.sum()
    return bool(np.isfinite(mean)) and math.isclose(mean, told, rel_tol=1e-6, abs_tol=1e-9)


def _note(stderr: Any) -> str:
    known = _is_number(stderr) and math.isfinite(stderr)
    error = f"standard error {float(stderr):.3g}" if known else "no standard error"
    return f"the harness's own number over all examples ({error}): no interval of ours"


class _Documents:
    """Every document of every task, in the harness's order.

    Args:
        samples: task to its samples, one a document and filter.
    """

    def __init__(self, samples: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        self._samples = samples
        self.places: dict[tuple[str, int], int] = {}
        ids: list[str] = []
        for task, own in samples.items():
            for sample in own:
                key = task, sample["doc_id"]
                if key not in self.places:
                    self.places[key] = len(ids)
                    # Its text too, so that another version of a data set is never paired with it.
                    ids.append(f"{task}/{sample['doc_id']}/{str(sample['doc_hash'])[:12]}")
        self.ids = tuple(ids)

    def columns(self, tasks: Sequence[str], metric: str, filtered: str) -> tuple[Column, Column]:
        """The values of a metric's documents, 0 elsewhere, and 1 for each that has one.

        Without any, all documents of the tasks are asked, and the values are no numbers.
        """
        values, asked = np.zeros(len(self.ids)), np.zeros(len(self.ids))
        for task in tasks:
            for sample in self._samples[task]:
                if sample["filter"] == filtered and metric in sample:
                    place = self.places[task, sample["doc_id"]]
                    asked[place] = 1.0
                    value = sample[metric]
                    values[place] = float(value) if _is_number(value) else math.nan
        if not asked.any():
            asked = np.array([float(task in tasks) for task, _ in self.places])
            values = np.where(asked > 0, math.nan, 0.0)
        return values, asked


def harness_metrics(scores: Scores) -> Iterator[Metric]:
    """One metric for each of the harness that the scores have columns for."""
    for column in scores.columns:
        for prefix in (_HIGHER, _LOWER):
            if column.startswith(prefix):
                yield _metric(column.removeprefix(prefix), prefix)


def _metric(name: str, prefix: str) -> Metric:
    task, _, measure = name.partition(".")
    return Metric(
        METRICS + name,
        f"{task}: {measure}",
        "higher" if prefix == _HIGHER else "lower",
        f"The {measure} of the task {task}, as lm-evaluation-harness defines it.",
        (prefix + name, _ASKED + name),
        counted=_ASKED + name,
        is_fraction=scale_of(METRICS + name) == (0.0, 1.0),
        source=_SOURCE,
    )
