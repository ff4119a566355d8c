"""Results on standard output, for people or as JSON."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import Any

from stillhouse.cli.tables import in_bytes, in_count, in_time, table
from stillhouse.core.rows import Example
from stillhouse.evals.gates import Verdict
from stillhouse.evals.metrics import in_reading_order
from stillhouse.recipes.built import NotBuilt
from stillhouse.recipes.schema import Recipe
from stillhouse.runner.check import CheckReport
from stillhouse.runner.inspect import RunStatus
from stillhouse.tokens.show import TokenView

_STATES = {
    "passed": "done",
    "refused": "refused by the gate",
    "failed": "failed",
    "interrupted": "interrupted",
    "running": "not finished",
}


def _put(text: str) -> None:
    sys.stdout.write(text + "\n")


def _put_json(value: Any) -> None:
    _put(json.dumps(value, indent=1, ensure_ascii=False))


def show_run(status: RunStatus, *, as_json: bool) -> None:
    """The result of a run: every metric of every candidate, the verdict, the version, the page."""
    if as_json:
        _put_json(status.as_json())
        return
    _put_metrics(status)
    for stage in status.stages:
        if "verdict" in stage.summary:
            show_verdict(Verdict.model_validate(stage.summary["verdict"]), as_json=False)
        if "version_id" in stage.summary:
            _put(f"version: {stage.summary['version_id']}")
    _put(f"report: {status.report}")


def _put_metrics(status: RunStatus) -> None:
    measured = {
        stage.key.partition("@")[2]: stage.summary["metrics"]
        for stage in status.stages
        if "metrics" in stage.summary
    }
    if not measured:
        return
    rows = []
    for name in in_reading_order(name for metrics in measured.values() for name in metrics):
        first = next(metrics[name] for metrics in measured.values() if name in metrics)
        cells = [_interval(metrics.get(name)) for metrics in measured.values()]
        rows.append([f"{name} ({first['better']} is better)", *cells])
    _put(table(["", *measured], rows))


def _interval(metric: dict[str, Any] | None) -> str:
    if metric is None:
        return "-"
    return f"{metric['value']:.4g} [{metric['low']:.4g}, {metric['high']:.4g}]"


def show_status(status: RunStatus, *, as_json: bool) -> None:
    """How far a run is."""
    if as_json:
        _put_json(status.as_json())
        return
    rows = [
        (
            stage.key,
            "done" if stage.is_done else "to do",
            in_time(stage.seconds),
            in_bytes(stage.peak_bytes),
            stage.artifact_id,
        )
        for stage in status.stages
    ]
    _put(table(("stage", "state", "time", "peak memory", "artifact"), rows))
    where = f" at {status.failed}" if status.failed else ""
    _put(f"{status.name}: {_STATES.get(status.state, status.state)}{where}")
    if status.message:
        _put(status.message)
    if status.report:
        _put(f"report: {status.report}")


def show_verdict(verdict: Verdict, *, as_json: bool) -> None:
    """What the gate said, rule by rule."""
    if as_json:
        _put_json(verdict.model_dump(mode="json"))
        return
    _put(f"gate: {verdict.candidate} {'passed' if verdict.passed else 'refused'}")
    for rule in verdict.rules:
        _put(f"  {rule.decision:<15} {rule.text}: {rule.reason}")


def show_check(found: CheckReport, *, as_json: bool) -> None:
    """What a run would do and cost."""
    if as_json:
        _put_json(found.as_json())
        return
    rows = [
        (
            item.key,
            "done" if item.is_done else "to do",
            in_count(item.cost.tokens) if item.cost.tokens else "-",
            in_bytes(item.cost.memory_bytes),
            in_bytes(item.cost.disk_bytes),
            in_time(item.cost.seconds),
        )
        for item in found.instances
    ]
    _put(table(("stage", "state", "tokens", "peak memory", "disk", "time"), rows))
    parts = ", ".join(f"{name} {in_count(count)}" for name, count in found.parts.items())
    _put(f"examples: {parts}")
    if found.dropped:
        dropped = ", ".join(f"{reason} {count}" for reason, count in found.dropped.items())
        _put(f"rows dropped: {dropped}")
    if found.cut_prompts:
        _put(f"prompts cut to the context: {in_count(found.cut_prompts)}")
    if found.terms:
        _put(f"teacher's licence: {found.terms}")
    compute = found.compute
    _put(f"compute: {compute.device}, {compute.dtype}, {compute.threads} threads")
    _put(
        f"to do: {in_time(found.seconds)}, {in_bytes(found.disk_bytes)} of "
        f"{in_bytes(found.free_disk_bytes)} disk, {in_bytes(found.memory_bytes)} of "
        f"{in_bytes(found.free_memory_bytes)} memory (estimates)"
    )


def show_unbuilt(recipe: Recipe, missing: list[NotBuilt], *, as_json: bool) -> None:
    """What of a valid recipe this version cannot run."""
    if as_json:
        plain = [dataclasses.asdict(item) for item in missing]
        _put_json({"name": recipe.name, "valid": True, "not_built": plain})
        return
    _put(f"{recipe.name}: valid, but this version cannot run it yet. Not built:")
    for item in missing:
        _put(f"  {item}")


def show_tokens(example: Example, tokens: list[TokenView], *, as_json: bool) -> None:
    """One example token by token."""
    if as_json:
        plain = [dataclasses.asdict(token) for token in tokens]
        _put_json({"example_id": example.example_id, "part": example.part, "tokens": plain})
        return
    _put(f"example {example.example_id} of part {example.part}; * is trained on")
    for token in tokens:
        mark = "*" if token.is_trained else " "
        _put(f"{token.position:>5} {mark} {token.token_id:>7}  {token.text!r}")
    trained = sum(token.is_trained for token in tokens)
    _put(f"{trained} of {len(tokens)} tokens are trained on")
