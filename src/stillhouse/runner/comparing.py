"""Runs side by side: paired differences where the holdout is the same, and a list of them all."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from stillhouse.core.errors import ArtifactError, InputError, UsageError
from stillhouse.evals.compare import compare_candidates, shares_unit
from stillhouse.evals.metrics import in_reading_order, metrics_of
from stillhouse.evals.scores import Scores
from stillhouse.evals.significance import holm
from stillhouse.evals.summary import MetricSummary
from stillhouse.report.comparison import (
    ComparedMetric,
    Leaderboard,
    RecipeLine,
    RunComparison,
    RunRow,
)
from stillhouse.report.findings import Difference
from stillhouse.report.record import Estimate
from stillhouse.runner.page_costs import compression_view
from stillhouse.runner.page_numbers import difference_of
from stillhouse.runner.pages import decisive_gate, run_state
from stillhouse.runner.run import Place
from stillhouse.runner.run_facts import STUDENT, RunFacts

_SHORT = 8
_LABELS = ("name", "description")
"""Keys that name a recipe and change nothing of a run."""


def compare_runs(places: Sequence[Place], candidate: str = STUDENT) -> RunComparison:
    """Runs that were measured on the same examples, side by side.

    Args:
        places: of at least two runs.
        candidate: whose numbers are compared.

    Returns:
        Every metric with the difference of each later run to the first, paired by example, and
        the lines of the recipes that differ.

    Raises:
        InputError: a run is not there or not measured, or their holdouts differ.
        UsageError: one run is named twice.
    """
    names = [place.name for place in places]
    if len(set(names)) < len(names):
        raise UsageError("a run cannot be compared with itself", f"runs: {', '.join(names)}")
    runs = {place.name: RunFacts(place.folder, place.store) for place in places}
    for name, facts in runs.items():
        if candidate not in facts.evaluations:
            raise InputError(
                f"the run {name!r} has no numbers of {candidate!r}",
                f"measured there: {', '.join(facts.evaluations) or 'nobody yet'}",
            )
    first, *others = runs.values()
    for facts in others:
        _refuse_another_holdout(first, facts)
    return RunComparison(
        candidate=candidate,
        runs=tuple(_row(facts, candidate) for facts in runs.values()),
        metrics=tuple(_metrics(runs, candidate)),
        recipe=tuple(_differing_lines(runs)),
    )


def _refuse_another_holdout(first: RunFacts, facts: RunFacts) -> None:
    if first.holdout_digest == facts.holdout_digest:
        return
    own = {one.example_id for one in first.holdout}
    other = {one.example_id for one in facts.holdout}
    shared = len(own & other)
    if own == other:
        why = "the same examples are asked or answered in another way"
    else:
        why = f"they share {shared} of {len(own)} and {len(other)} examples"
    raise InputError(
        f"{facts.record.name!r} was measured on another holdout than {first.record.name!r}: {why}; "
        "a difference would mix the data with the model",
        "run one of them again on the rows, the prepare section and the seed of the other; "
        "stillhouse leaderboard lists both, each with its holdout",
    )


def _metrics(runs: dict[str, RunFacts], candidate: str) -> Iterator[ComparedMetric]:
    said = {name: facts.evaluations[candidate].metrics for name, facts in runs.items()}
    gaps = _differences(runs, candidate)
    for metric in in_reading_order(name for metrics in said.values() for name in metrics):
        having = {name: metrics[metric] for name, metrics in said.items() if metric in metrics}
        known = next(iter(having.values()))
        yield ComparedMetric(
            name=metric,
            title=known.title,
            better=known.better,
            unit=known.unit,
            values={name: _estimate(one) for name, one in having.items()},
            differences={run: gap for (name, run), gap in gaps.items() if name == metric},
        )


def _estimate(one: MetricSummary) -> Estimate:
    return Estimate(value=one.value, low=one.low, high=one.high, n=one.n)


def _differences(runs: dict[str, RunFacts], candidate: str) -> dict[tuple[str, str], Difference]:
    """Metric and later run to its difference to the first, its p value corrected over them all."""
    base, *others = runs
    first = runs[base].scores[candidate]
    scores = {base: first} | {
        name: _in_order(runs[name].scores[candidate], first.example_ids) for name in others
    }
    known = {name: {metric.name for metric in metrics_of(one)} for name, one in scores.items()}
    found = [
        compare_candidates(metric, scores, (other, base), runs[base].resampling)
        for other in others
        for metric in in_reading_order(known[base] & known[other])
        if shares_unit(metric, scores[base], scores[other])
    ]
    told = [one for one in found if math.isfinite(one.effect.value)]
    return {
        (one.metric, one.first): difference_of(one, p_corrected)
        for one, p_corrected in zip(told, holm([one.p_value for one in told]), strict=True)
    }


def _in_order(scores: Scores, example_ids: tuple[str, ...]) -> Scores:
    """The same scores in another order of the same examples."""
    place = {name: index for index, name in enumerate(scores.example_ids)}
    order = np.array([place[name] for name in example_ids])
    columns = {name: values[order] for name, values in scores.columns.items()}
    return Scores(example_ids, columns)


def _differing_lines(runs: dict[str, RunFacts]) -> Iterator[RecipeLine]:
    flat = {name: dict(_leaves(facts.record.recipe, "")) for name, facts in runs.items()}
    for key in dict.fromkeys(key for lines in flat.values() for key in lines):
        values = {name: lines.get(key, "") for name, lines in flat.items()}
        if key not in _LABELS and len(set(values.values())) > 1:
            yield RecipeLine(key=key, values=values)


def _leaves(value: Any, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _leaves(inner, f"{key}.{name}" if key else str(name))
    else:
        yield key, json.dumps(value, ensure_ascii=False)


def _row(facts: RunFacts, candidate: str, estimate: Estimate | None = None) -> RunRow:
    gate = decisive_gate(facts)
    said = {True: "pass", False: "fail", None: "not enough data"}
    sizes = compression_view(facts, ())
    own = next((r for r in (sizes.rows if sizes else ()) if r.candidate == candidate), None)
    return RunRow(
        name=facts.record.name,
        state=run_state(facts.record.state),
        gate=said[gate.passed] if gate else "",
        holdout=facts.holdout_digest[:_SHORT] if facts.holdout else "",
        estimate=estimate,
        spent_usd=sum((one.spent_usd for one in facts.spending()), Decimal(0)),
        parameters=own.parameters if own else None,
        disk_bytes=facts.summary_of("export").get("bytes"),
    )


def leaderboard(root: Place, metric: str = "", candidate: str = STUDENT) -> Leaderboard:
    """All runs of a folder by one metric of a candidate.

    Args:
        root: the folder of the runs.
        metric: its name; the first in reading order that any run has if empty.
        candidate: whose numbers they are.

    Returns:
        The best first, those without a number last.

    Raises:
        InputError: there is no run, or none has the metric.
    """
    runs, unreadable = _all_runs(root)
    said = {
        name: facts.evaluations[candidate].metrics
        for name, facts in runs.items()
        if candidate in facts.evaluations
    }
    known = in_reading_order(name for metrics in said.values() for name in metrics)
    if not known:
        raise InputError(
            f"no run below {root.root} has numbers of {candidate!r}",
            f"runs there: {', '.join(runs) or 'none'}",
        )
    chosen = metric or known[0]
    if chosen not in known:
        near = difflib.get_close_matches(chosen, known, n=1)
        guess = f'did you mean "{near[0]}"? ' if near else ""
        raise InputError(f"no run has the metric {chosen!r}", f"{guess}known: {', '.join(known)}")
    first = next(metrics[chosen] for metrics in said.values() if chosen in metrics)
    found = {name: said.get(name, {}).get(chosen) for name in runs}
    sign = -1.0 if first.better == "higher" else 1.0

    def place(name: str) -> tuple[bool, float, str]:
        one = found[name]
        return one is None, sign * one.value if one else 0.0, name

    return Leaderboard(
        metric=chosen,
        title=first.title,
        better=first.better,
        unit=first.unit,
        candidate=candidate,
        rows=tuple(
            _row(runs[name], candidate, _estimate(one) if (one := found[name]) else None)
            for name in sorted(runs, key=place)
        ),
        unreadable=tuple(unreadable),
    )


def _all_runs(root: Place) -> tuple[dict[str, RunFacts], list[str]]:
    """Run to its facts, and the names of those that cannot be read."""
    runs: dict[str, RunFacts] = {}
    unreadable: list[str] = []
    for path in sorted(root.root.glob("*/run.json")):
        place = Place(root.root, path.parent.name)
        try:
            runs[place.name] = RunFacts(place.folder, place.store)
        except ArtifactError:
            unreadable.append(place.name)
    return runs, unreadable
