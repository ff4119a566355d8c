"""What a run's page says of money and of sizes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from stillhouse.evals.summary import SizeSummary
from stillhouse.report.content import MetricRow
from stillhouse.report.findings import (
    CandidateCost,
    CompressionView,
    CostView,
    SizeRow,
    SpendingRow,
)
from stillhouse.report.scorecard import rising
from stillhouse.runner.page_ratios import claims_of, ratios_of
from stillhouse.runner.run_facts import STUDENT, TEACHER, RunFacts, variant_of
from stillhouse.store.artifacts import Manifest
from stillhouse.store.spending import StageSpending

_THOUSAND = 1000
_BYTES = {"float32": 4, "bfloat16": 2}
_SPENDS = "budget_usd"
_BEFORE = ("baseline", "production", TEACHER)
"""Who the student's cost is compared with, after the baselines that the recipe names: the first
that costs something."""


def cost_view(facts: RunFacts) -> CostView | None:
    """The run's money; None where nobody was asked or replaced who costs some."""
    stages = facts.spending()
    if not stages and not any(_declared(facts, name) for name in facts.baselines):
        return None
    each = [_cost_of(facts, name, stages) for name in facts.evaluations]
    paid = {one.candidate: one.usd_per_thousand for one in each if one.usd_per_thousand}
    baseline = next((name for name in (*facts.baselines, *_BEFORE) if name in paid), "")
    own = next((one.usd_per_thousand for one in each if one.candidate == STUDENT), None)
    spent = sum((one.spent_usd for one in stages), Decimal(0))
    saved = paid[baseline] - own if baseline and own is not None else None
    pays = saved is not None and saved > 0
    return CostView(
        stages=tuple(
            SpendingRow(
                stage=one.stage,
                requests=one.requests,
                accepted=one.accepted,
                tokens=one.tokens,
                spent_usd=one.spent_usd,
                unknown_usd=one.unknown_usd,
            )
            for one in stages
        ),
        spent_usd=spent,
        budget_usd=budget_of(facts.record.recipe),
        candidates=tuple(each),
        saved_usd_per_thousand=saved,
        baseline=baseline,
        answers_to_pay_back=math.ceil(spent / saved * _THOUSAND) if pays and saved else None,
    )


def budget_of(recipe: Mapping[str, Any]) -> Decimal | None:
    """What a run may spend on models behind an API.

    Args:
        recipe: as a run's record has it.

    Returns:
        All budgets together, as whatever is asked spends its own; None where one has no cap.
    """
    caps = [api[_SPENDS] for api in _endpoints(recipe)]
    if not caps or None in caps:
        return None
    return sum((Decimal(str(cap)) for cap in caps), Decimal(0))


def _endpoints(plain: Any) -> Iterator[dict[str, Any]]:
    """Whatever may spend money under `api`: not a source that songs are collected from."""
    named = plain.items() if isinstance(plain, dict) else ()
    inside = plain if isinstance(plain, list | tuple) else [value for _, value in named]
    yield from (value for name, value in named if name == "api" and value and _SPENDS in value)
    for value in inside:
        yield from _endpoints(value)


def _cost_of(facts: RunFacts, name: str, stages: Sequence[StageSpending]) -> CandidateCost:
    speed = facts.speed_of(name)
    seconds = 60.0 / speed.per_minute * _THOUSAND if speed and speed.per_minute else None
    asked = {one.stage: one for one in stages}
    behind = ["label"] if name == TEACHER and _is_remote(facts) else []
    # Behind a stage stands whose budget it was, where that is not the teacher's.
    for stage in (f"evaluate@{name}", f"evaluate@{name} baseline {name}", *behind):
        each = asked[stage].usd_per_accepted if stage in asked else None
        if each is not None:
            source = f"ledger: {stage}, {asked[stage].accepted:,} answers"
            return CandidateCost(
                candidate=name,
                usd_per_thousand=each * _THOUSAND,
                seconds_per_thousand=seconds,
                source=source,
            )
    declared = _declared(facts, name)
    if declared:
        return CandidateCost(
            candidate=name,
            usd_per_thousand=declared * _THOUSAND,
            seconds_per_thousand=seconds,
            source="declared: evaluate.baselines.usd_per_call",
        )
    asks_others = _is_remote(facts) if name == TEACHER else _asks_others(facts, name)
    return CandidateCost(
        candidate=name,
        usd_per_thousand=None if asks_others else Decimal(0),
        seconds_per_thousand=seconds,
        source="nothing in the ledger of this run" if asks_others else "it asks no API",
    )


def _declared(facts: RunFacts, name: str) -> Decimal:
    """What the recipe says that an answer of a baseline costs; 0 where it says nothing."""
    return Decimal(str(facts.baselines.get(name, {}).get("usd_per_call") or 0))


def _asks_others(facts: RunFacts, name: str) -> bool:
    """Whether a baseline is a model or a service elsewhere."""
    said = facts.baselines.get(name, {})
    return bool(said.get("api") or said.get("http"))


def _is_remote(facts: RunFacts) -> bool:
    return bool(facts.record.recipe["teacher"].get("api"))


def compression_view(facts: RunFacts, metrics: Sequence[MetricRow]) -> CompressionView | None:
    """Sizes and speeds of every candidate where any is known.

    Args:
        facts: of the run.
        metrics: of its page, the one that counts most first.

    Returns:
        Rows, the teacher's over the student's, and what is kept of the quality; None before
        anybody was measured.
    """
    if not facts.evaluations:
        return None
    sizes = dict(_sizes(facts))
    rows = [_size_row(facts, name, size, source) for name, (size, source) in sizes.items()]
    speeds = [name for name in facts.evaluations if name not in sizes and facts.speed_of(name)]
    rows += [_size_row(facts, name, None, "") for name in speeds]
    bundle = facts.summary_of("export")
    if bundle and "exported" not in sizes:
        rows.append(
            SizeRow(candidate="exported", disk_bytes=bundle["bytes"], source="export: all files")
        )
    if not rows:
        return None
    by_name = {row.candidate: row for row in rows}
    teacher, student = by_name.get(TEACHER), by_name.get(STUDENT)
    kept = kept_quality(metrics)
    return CompressionView(
        rows=tuple(rows),
        ratios=tuple(ratios_of(teacher, student)) if teacher and student else (),
        claims=tuple(claims_of(teacher, student)) if teacher and student else (),
        kept_metric=kept[0] if kept else "",
        kept=kept[1] if kept else None,
    )


def kept_quality(metrics: Sequence[MetricRow]) -> tuple[str, float] | None:
    """Title and ratio of the first metric that both teacher and student have and that can be kept.

    Args:
        metrics: of the page, the one that counts most first.

    Returns:
        None where none is above 0 for the teacher and better when higher.
    """
    for metric in rising(metrics):
        teacher, student = metric.values.get(TEACHER), metric.values.get(STUDENT)
        if teacher and student and teacher.value > 0:
            return metric.title, student.value / teacher.value
    return None


def _sizes(facts: RunFacts) -> Iterator[tuple[str, tuple[SizeSummary, str]]]:
    trained = {
        variant_of(item) or TEACHER: manifest
        for stage in ("finetune", "train")
        for item, manifest in facts.of_stage(stage)
    }
    for name in dict.fromkeys([*facts.evaluations, *trained]):
        said = facts.evaluations[name].size if name in facts.evaluations else None
        if said:
            yield name, (said, "evaluate: counted in memory")
        elif name in trained:
            yield name, (_size_of(trained[name]), f"{trained[name].instance}: its parameters")


def _size_of(manifest: Manifest) -> SizeSummary:
    parameters = int(manifest.summary["parameters"])
    weights = [one.bytes for one in manifest.files if one.path.endswith(".safetensors")]
    return SizeSummary(
        parameters=parameters,
        bytes_by_dtype={name: parameters * size for name, size in _BYTES.items()},
        disk_bytes=sum(weights) or None,
    )


def _size_row(facts: RunFacts, name: str, size: SizeSummary | None, source: str) -> SizeRow:
    speed = facts.speed_of(name)
    return SizeRow(
        candidate=name,
        parameters=size.parameters if size else None,
        bytes_by_dtype=size.bytes_by_dtype if size else {},
        disk_bytes=size.disk_bytes if size else None,
        dtype=size.dtype if size else "",
        latency_n=speed.latency_n if speed else 0,
        latency_mean_s=speed.latency_mean_s if speed else None,
        latency_p50_s=speed.latency_p50_s if speed else None,
        latency_p95_s=speed.latency_p95_s if speed else None,
        per_minute=speed.per_minute if speed else None,
        source=source,
    )
