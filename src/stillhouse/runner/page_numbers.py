"""The candidates of a run's page: their metrics, the student against each, slices, calibration."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from stillhouse.evals.compare import Comparison, compare_candidates, shares_unit
from stillhouse.evals.metrics import in_reading_order, metrics_of
from stillhouse.evals.significance import holm
from stillhouse.evals.summary import ENOUGH_FOR_A_SLICE, MetricSummary, SliceSummary
from stillhouse.report.content import MetricRow
from stillhouse.report.findings import (
    CandidateRow,
    Difference,
    Reliability,
    ReliabilityBin,
    SliceCell,
    SliceRow,
    SliceTable,
)
from stillhouse.report.record import Estimate
from stillhouse.runner.run_facts import STUDENT, TEACHER, RunFacts

_MOST_COMPARED = 14
"""assumption: more metrics with a paired difference are read by nobody, and each takes time."""
_ROLES = {
    "teacher": "the model that is imitated",
    "student": "taught by the teacher",
    "twin": "the same model and steps, without the teacher",
    "baseline": "what is in use without any training",
    "production": "the version in use now",
    "exported": "the files that ship, loaded again",
}
TEACHERS_OWN = (
    "kl_to_teacher",
    "jsd_to_teacher",
    "agreement",
    "top1_agreement",
    "acceptance_rate",
    "expected_acceptance",
)
"""Metrics that are given by definition for the teacher."""
_Group = Literal["", "diversity", "size"]
_GROUPS: dict[str, _Group] = {
    "distinct_1": "diversity",
    "distinct_2": "diversity",
    "entropy": "diversity",
    "self_bleu": "diversity",
    "memorised_rate": "diversity",
    "near_copy_rate": "diversity",
    "style_reference_rate": "diversity",
    "embedding_distance": "diversity",
    "size_bytes": "size",
    "num_parameters": "size",
}
"""The section that a metric stands in, by its name up to a point; others are compared."""
_NAMINGS = ("traditions_", "classes_")
"""What names of metrics of declared tags begin with; they stand with the diversity."""


def candidates(facts: RunFacts) -> tuple[CandidateRow, ...]:
    """Everybody who was measured, with what they are."""
    return tuple(
        CandidateRow(name=name, role=_role(facts, name, said.production))
        for name, said in facts.evaluations.items()
    )


def _role(facts: RunFacts, name: str, production: str) -> str:
    role = (
        _shipped(facts, name)
        or _ROLES.get(name)
        or _role_of_baseline(facts.baselines.get(name, {}))
    )
    if name == TEACHER and facts.record.recipe["finetune"]:
        role += ", finetuned on this task first"
    return f"{role}: {production}" if production else role


def _shipped(facts: RunFacts, name: str) -> str:
    """What ships in another form than it was trained in; empty for all others."""
    manifest = facts.manifests.get(f"evaluate@{name}")
    told = manifest.config if manifest else {}
    if "gguf" in told:
        return f"the file for llama.cpp in {told['gguf']}, asked there"
    return "the student that ships, its linear layers in 8 bits" if "form" in told else ""


def _role_of_baseline(said: dict[str, Any]) -> str:
    if said.get("api"):
        return f"another model, behind an API: {said['api']['model']}"
    if said.get("rules"):
        return f"rules without a model: {said['rules']}"
    if said.get("model"):
        return "the student before it learned anything"
    return "a service of your own" if said.get("http") else "a model of this run"


def metric_rows(facts: RunFacts) -> tuple[MetricRow, ...]:
    """Every metric of every candidate, and the student minus each of them."""
    numbers = {name: said.metrics for name, said in facts.evaluations.items()}
    names = in_reading_order(name for metrics in numbers.values() for name in metrics)
    compared = [n for n in names if "." not in n and _group_of(n) != "size"]
    differences = _differences(facts, compared[:_MOST_COMPARED])
    return tuple(
        _metric_row(
            name,
            {who: metrics[name] for who, metrics in numbers.items() if name in metrics},
            differences.get(name, {}),
        )
        for name in names
    )


def _group_of(name: str) -> _Group:
    if name.startswith(_NAMINGS):
        return "diversity"
    return _GROUPS.get(name.partition(".")[0], "")


def _metric_row(
    name: str, having: dict[str, MetricSummary], differences: dict[str, Difference]
) -> MetricRow:
    first = next(iter(having.values()))
    notes = dict.fromkeys(metric.note for metric in having.values() if metric.note)
    return MetricRow(
        name=name,
        title=first.title,
        better=first.better,
        unit=first.unit,
        note="; ".join(notes),
        definition=first.definition,
        source=first.source,
        group=_group_of(name),
        values={who: Estimate(value=m.value, low=m.low, high=m.high, n=m.n)
                for who, m in having.items()},
        differences=differences,
    )  # fmt: skip


def _differences(facts: RunFacts, names: Sequence[str]) -> dict[str, dict[str, Difference]]:
    """Metric to candidate to the student's paired difference, where both have the columns."""
    found: dict[str, dict[str, Difference]] = {}
    comparisons = list(_comparisons(facts, names))
    # Corrected over all that the page tells: nobody reads one of them alone.
    adjusted = holm([one.p_value for one in comparisons])
    for one, p_corrected in zip(comparisons, adjusted, strict=True):
        found.setdefault(one.metric, {})[one.second] = difference_of(one, p_corrected)
    return found


def difference_of(one: Comparison, p_corrected: float) -> Difference:
    """A comparison as the page tells it; without a p value where there were too few examples."""
    is_tested = math.isfinite(one.p_value)
    return Difference(
        value=one.effect.value,
        low=one.effect.low,
        high=one.effect.high,
        n=one.effect.n,
        p_value=one.p_value if is_tested else None,
        p_corrected=p_corrected if is_tested else None,
        test=one.test if is_tested else "",
    )


def _comparisons(facts: RunFacts, names: Sequence[str]) -> Iterator[Comparison]:
    own = facts.scores.get(STUDENT)
    if own is None:
        return
    measured = {metric.name for metric in metrics_of(own)}
    for who, other in facts.scores.items():
        if who == STUDENT or other.example_ids != own.example_ids:
            continue
        known = measured & {metric.name for metric in metrics_of(other)}
        for name in names:
            given = who == TEACHER and name in TEACHERS_OWN
            if name in known and not given and shares_unit(name, own, other):
                yield compare_candidates(name, facts.scores, (STUDENT, who), facts.resampling)


def slice_tables(facts: RunFacts) -> tuple[SliceTable, ...]:
    """One table for each kind of slice and metric."""
    told = {who: said.slices for who, said in facts.evaluations.items() if said.slices}
    keys = dict.fromkeys((one.kind, one.metric) for slices in told.values() for one in slices)
    return tuple(table for key in keys for table in _slice_table(facts, told, *key))


def _slice_table(
    facts: RunFacts, told: dict[str, tuple[SliceSummary, ...]], kind: str, metric: str
) -> Iterator[SliceTable]:
    said = [m.metrics[metric] for m in facts.evaluations.values() if metric in m.metrics]
    if not said:
        return
    cells: dict[str, dict[str, SliceCell]] = {}
    for who, slices in told.items():
        for one in slices:
            if (one.kind, one.metric) == (kind, metric):
                cells.setdefault(one.name, {})[who] = SliceCell(
                    value=one.value, low=one.low, high=one.high, n=one.n, is_enough=one.is_enough
                )
    sign = 1.0 if said[0].better == "higher" else -1.0

    def place(item: tuple[str, dict[str, SliceCell]]) -> tuple[bool, float]:
        cell = item[1].get(STUDENT) or next(iter(item[1].values()))
        return not cell.is_enough, sign * (cell.value or 0.0)

    yield SliceTable(
        kind=kind,
        metric=metric,
        title=said[0].title,
        better=said[0].better,
        unit=said[0].unit,
        enough=ENOUGH_FOR_A_SLICE,
        rows=tuple(SliceRow(name=n, cells=c) for n, c in sorted(cells.items(), key=place)),
    )


def reliabilities(facts: RunFacts) -> tuple[Reliability, ...]:
    """Stated probabilities of every candidate that states some."""
    return tuple(
        Reliability(
            candidate=who,
            of=one.of,
            title=one.title,
            bins=tuple(ReliabilityBin(**own.model_dump()) for own in one.bins),
            error=one.error,
            note=one.note,
        )
        for who, said in facts.evaluations.items()
        for one in said.calibration
        if one.bins
    )
