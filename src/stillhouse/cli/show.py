"""Results on standard output, for people or as JSON."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from stillhouse.cli.tables import folded_table, in_bytes, in_count, in_time, in_usd, table
from stillhouse.core.rows import Example
from stillhouse.evals.gates import Verdict
from stillhouse.evals.metrics import in_reading_order
from stillhouse.evals.without_right import TEACHERS_ANSWERS, reference_in_words
from stillhouse.recipes.built import NotBuilt
from stillhouse.recipes.estimate import Cost
from stillhouse.recipes.schema import Recipe
from stillhouse.runner.check_report import CheckReport, InstanceCheck
from stillhouse.runner.inspect import RunStatus
from stillhouse.runner.ledger import LedgerView
from stillhouse.store.spending import BudgetSpending
from stillhouse.tokens.show import MaskView, TokenView

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
    if status.bundle:
        _put(f"student: {status.bundle}")
    _put(f"report: {status.report}")
    for line in status.waiting:
        _put(f"waits: {line}")


def _put_metrics(status: RunStatus) -> None:
    measured = {
        stage.key.partition("@")[2]: stage.summary["metrics"]
        for stage in status.stages
        if "metrics" in stage.summary
    }
    if not measured:
        return
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    rows: list[list[str]] = []
    better: dict[str, list[str]] = {}
    for name in in_reading_order(name for metrics in measured.values() for name in metrics):
        first = next(metrics[name] for metrics in measured.values() if name in metrics)
        cells = [_interval(metrics.get(name)) for metrics in measured.values()]
        better.setdefault(first["better"], []).append(name)
        rows.append([name if width else f"{name} ({first['better']} is better)", *cells])
    _put(folded_table(["", *measured], rows, width))
    if width:
        for way, names in sorted(better.items()):
            _put(textwrap.fill(f"{way} is better: {', '.join(names)}", width,
                               subsequent_indent="  ", break_on_hyphens=False))  # fmt: skip
    told = next((s.summary for s in status.stages if s.key == "evaluate@teacher"), {})
    if told.get("reference") == "teacher":
        _put(reference_in_words(told["examples"], told["left_out"]))


def _interval(metric: dict[str, Any] | None) -> str:
    if metric is None:
        return "-"
    value, low, high = (metric[name] for name in ("value", "low", "high"))
    return f"{value:.4g}" if low == high else f"{value:.4g} [{low:.4g}, {high:.4g}]"


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
    said = f"gate: {verdict.candidate} {'passed' if verdict.passed else 'refused'}"
    waits = verdict.num_not_asked
    if verdict.reference == "teacher":
        said += f" against {TEACHERS_ANSWERS}"
    _put(f"{said}; {waits} of {len(verdict.rules)} rules not asked" if waits else said)
    for rule in verdict.rules:
        _put(f"  {rule.decision:<15} {rule.text}: {rule.reason}")
    if not verdict.passed:
        _put(f"use instead: {verdict.fallback}")


def show_check(found: CheckReport, *, as_json: bool) -> None:
    """What a run would do and cost."""
    if as_json:
        _put_json(found.as_json())
        return
    asks = any(item.cost.calls for item in found.instances)
    rows = [
        (
            item.key,
            "done" if item.is_done else "to do",
            in_count(item.cost.tokens) if item.cost.tokens else "-",
            in_bytes(item.cost.memory_bytes),
            *([in_bytes(item.cost.device_bytes)] if found.device_bytes else []),
            in_bytes(item.cost.disk_bytes),
            in_time(item.cost.seconds),
            *([_money(item.cost)] if asks else []),
        )
        for item in found.instances
    ]
    on_device = [f"on {found.compute.name}"] if found.device_bytes else []
    header = ("stage", "state", "tokens", "peak memory", *on_device, "disk", "time")
    _put(table((*header, "money") if asks else header, rows))
    _put(_budget(found) if asks else "money: none; nobody behind an API is asked")
    if any(item.key.startswith("harness@") for item in found.instances):
        _put("harness: a rough guess, 1,000 examples a task without a limit")
    parts = ", ".join(f"{name} {in_count(count)}" for name, count in found.parts.items())
    _put(f"examples: {parts}")
    for line in _beside_the_plan(found, asks=asks):
        _put(line)
    if found.largest:
        parts = ", ".join(
            f"{name} {in_bytes(size)}" for name, size in found.largest.cost.parts.items()
        )
        _put(f"largest peak, {found.largest.key}: {parts}")
    compute = found.compute
    there = "" if found.machine == "this machine" else f" of {found.machine}, not of this one"
    _put(f"compute: {compute.name}, {compute.dtype}, {compute.threads} threads{there}")
    device = (
        f", {in_bytes(found.device_bytes)} of {in_bytes(found.free_device_bytes)} on {compute.name}"
        if found.device_bytes
        else ""
    )
    _put(
        f"to do: {in_time(found.seconds)}, {in_bytes(found.disk_bytes)} of "
        f"{in_bytes(found.free_disk_bytes)} disk, {in_bytes(found.memory_bytes)} of "
        f"{in_bytes(found.free_memory_bytes)} memory{device} (estimates)"
    )


def _beside_the_plan(found: CheckReport, *, asks: bool) -> Iterator[str]:
    if found.dropped:
        dropped = ", ".join(f"{reason} {count}" for reason, count in found.dropped.items())
        yield f"rows dropped: {dropped}"
    if found.noted:
        noted = ", ".join(f"{note} {in_count(count)}" for note, count in found.noted.items())
        yield f"rows noted: {noted}"
    if found.cut_prompts:
        yield f"prompts cut to the context: {in_count(found.cut_prompts)}"
    long, answers = found.long_answers
    if long:
        yield f"answers longer than max_new_tokens: {in_count(long)} of {in_count(answers)}"
    yield from map(_length_and_size, filter(_is_training, found.instances))
    yield from (f"take care: {caution}" for caution in found.cautions)
    yield from (f"corrected: {line}" for line in found.corrected)
    yield from (f"waits: {line}" for line in found.waiting)
    yield from (f"assumed: {line}" for line in found.assumed)
    if found.terms:
        yield f"teacher's terms: {found.terms}"
    elif asks:
        yield "teacher's terms: not known; read what its provider says of training on its answers"
    if found.student_licence:
        yield f"student's licence: {found.student_licence}"


def _is_training(item: InstanceCheck) -> bool:
    return bool(item.cost.steps)


def _length_and_size(item: InstanceCheck) -> str:
    cost = item.cost
    length = f"{in_count(cost.steps)} steps, {cost.epochs:.3g} epochs"
    return f"{item.key}: {length}, {cost.trainable_parameters:,} trained parameters"


def _money(cost: Cost) -> str:
    if not cost.calls:
        return "-"
    return f"{in_usd(cost.likely_usd)} to {in_usd(cost.most_usd)}"


def _budget(found: CheckReport) -> str:
    if not found.most_usd:
        return "money: none; what is asked has no price, as a server of your own"
    price = f"money: about {in_usd(found.likely_usd)}, {in_usd(found.most_usd)} at the longest"
    if found.budget_usd is None:
        return f"{price}; not every model that is asked has a budget_usd"
    short = "; THIS IS LIKELY TOO LITTLE" if found.likely_usd > found.budget_usd else ""
    return f"{price}; nothing is asked beyond the budget of {in_usd(found.budget_usd)}{short}"


def show_ledger(found: LedgerView, *, as_json: bool) -> None:
    """What was spent, by stage and by budget."""
    if as_json:
        _put_json(found.as_json())
        return
    header = ("run and stage", "asked", "free", "tokens", "spent", "unknown", "used", "each")
    rows = [
        (
            f"{one.run} {one.stage}",
            in_count(one.requests),
            in_count(one.refused),
            in_count(one.tokens),
            in_usd(one.spent_usd),
            in_usd(one.unknown_usd),
            in_count(one.accepted),
            in_usd(one.usd_per_accepted),
        )
        for one in found.stages
    ]
    _put(table(header, rows))
    for budget in found.budgets:
        _put(f"budget {budget.name}: spent {_of(budget)}")
    _put(
        "free: refused before anything was charged. unknown: of what was spent, the upper price of "
        "calls whose bill nobody told. used: answers that were accepted; each: money for one."
    )


def _of(budget: BudgetSpending) -> str:
    spent = f"{in_usd(budget.spent_usd)} and {in_count(budget.spent_tokens)} tokens"
    caps = [] if budget.cap_usd is None else [in_usd(budget.cap_usd)]
    caps += [] if budget.cap_tokens is None else [f"{in_count(budget.cap_tokens)} tokens"]
    held = f", {in_usd(budget.held_usd)} held by calls under way" if budget.held_usd else ""
    return f"{spent} of {' and '.join(caps) or 'no limit'}{held}"


def show_unbuilt(recipe: Recipe, missing: list[NotBuilt], *, as_json: bool) -> None:
    """What of a valid recipe this version cannot run."""
    if as_json:
        plain = [dataclasses.asdict(item) for item in missing]
        _put_json({"name": recipe.name, "valid": True, "not_built": plain})
        return
    _put(f"{recipe.name}: valid, but this version cannot run it yet. Not built:")
    for item in missing:
        _put(f"  {item}")


_COLOURS = {"system": "magenta", "user": "cyan", "tool": "yellow", "assistant": "green"}
_CUT = "----- the text is cut here: a token reached over the border of an answer"


def show_mask(example: Example, views: Mapping[str, MaskView], *, as_json: bool) -> None:
    """One example token by token; in colour on a terminal, unless NO_COLOR is set."""
    student, *others = views.values()
    if as_json:
        named = {"example_id": example.example_id, "part": example.part}
        teacher = {"teacher": dataclasses.asdict(others[0])} if others else {}
        _put_json(named | dataclasses.asdict(student) | teacher)
        return
    _put(f"example {example.example_id} of part {example.part}; * is trained on, # is no text")
    for name, view in views.items():
        if others:
            _put(f"as the {name} reads it:")
        _show_tokens(view)


def _show_tokens(view: MaskView) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for token in view.tokens:
        if token.is_cut:
            _put(_CUT)
        console.print(Text(_line(token), _style(token)))
    for note in view.notes:
        _put(note)
    trained = sum(token.is_trained for token in view.tokens)
    _put(f"{trained} of {len(view.tokens)} tokens are trained on")


def _line(token: TokenView) -> str:
    marks = ("*" if token.is_trained else " ") + ("#" if token.is_special else " ")
    return f"{token.position:>5} {marks} {token.token_id:>7}  {token.role:<9}  {token.text!r}"


def _style(token: TokenView) -> str:
    return f"{_COLOURS.get(token.role, 'dim')}{' bold' if token.is_trained else ''}"
