"""Gathering a run's report from its manifests and scores.

Metrics stand in the manifests; what compares two candidates, and the clusters of errors, are
computed here from the scores and answers that the evaluations wrote.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stillhouse.core.hashing import digest_value
from stillhouse.evals.gates import Verdict
from stillhouse.evals.without_right import TEACHERS_ANSWERS, reference_in_words
from stillhouse.recipes.plan import EXPORTED
from stillhouse.report.content import (
    CountTable,
    ExampleRow,
    FlowStep,
    GateView,
    MetricRow,
    RuleRow,
    RunReport,
    RunState,
    StageRow,
    StageState,
)
from stillhouse.report.page import write_report
from stillhouse.report.scorecard import scorecard
from stillhouse.runner.page_costs import compression_view, cost_view
from stillhouse.runner.page_curves import training_curves
from stillhouse.runner.page_errors import copied_report, error_report
from stillhouse.runner.page_numbers import candidates, metric_rows, reliabilities, slice_tables
from stillhouse.runner.run_facts import STUDENT, TEACHER, RunFacts, variant_of
from stillhouse.stages.domain_files import SECONDS_OF
from stillhouse.stages.holding import licences_in_words
from stillhouse.store.artifacts import ArtifactStore
from stillhouse.store.runs import RunFolder, RunInstance

NUM_EXAMPLES = 20
_HEADLINE = ("exact_match", "field_accuracy", "kl_to_teacher", "cross_entropy", "agreement")


def write_run_report(folder: RunFolder, store: ArtifactStore) -> Path:
    """Write `report.html` of a run, finished or not; gives its path."""
    write_report(gather_report(folder, store), folder.report)
    return folder.report


def gather_report(folder: RunFolder, store: ArtifactStore) -> RunReport:
    """Everything that a run's page shows.

    Args:
        folder: of the run.
        store: with its artifacts.

    Returns:
        The page's data; what the run does not have yet is left out.

    Raises:
        InputError: no such run.
    """
    facts = RunFacts(folder, store)
    metrics = metric_rows(facts)
    flow = [
        step
        for stage in ("collect", "step", "prepare")
        for _, manifest in facts.of_stage(stage)
        for step in manifest.summary.get("flow", ())
    ]
    report = RunReport(
        title=facts.record.name,
        description=facts.record.recipe["description"],
        run_state=run_state(facts.record.state),
        headline=_headline(facts, metrics),
        reference=_reference(facts),
        candidates=candidates(facts),
        stages=tuple(_stage(facts, item) for item in facts.record.instances),
        curves=tuple(training_curves(facts)),
        metrics=metrics,
        slices=slice_tables(facts),
        calibration=reliabilities(facts),
        errors=error_report(facts),
        copied=copied_report(facts),
        costs=cost_view(facts),
        compression=compression_view(facts, metrics),
        row_flow=tuple(FlowStep.model_validate(step) for step in flow),
        parts=facts.summary_of("prepare").get("parts", {}),
        row_tables=tuple(_row_tables(facts)),
        collection=facts.summary_of("collect").get("collection"),
        licences=_licences(facts),
        warnings=tuple(facts.summary_of("collect").get("warnings", ())),
        gate=decisive_gate(facts),
        other_gates=tuple(view for view in gate_views(facts) if view != decisive_gate(facts)),
        examples=tuple(_examples(facts)),
        facts=tuple(_facts(facts)),
        recipe_yaml=(facts.folder.path / "recipe.yaml").read_text(encoding="utf-8"),
    )
    return report.model_copy(update={"scorecard": scorecard(report)})


def _row_tables(facts: RunFacts) -> Iterator[CountTable]:
    for _, manifest in facts.of_stage("step"):
        for title, numbers in manifest.summary.get("tables", {}).items():
            yield CountTable(title=title, numbers=numbers)


def _reference(facts: RunFacts) -> str:
    """What is measured against, where that is the teacher; empty for gold answers."""
    told = facts.evaluations.get(TEACHER)
    if told is None or told.reference == "gold":
        return ""
    return reference_in_words(told.examples, told.left_out)


def _licences(facts: RunFacts) -> str:
    collected = next((manifest for _, manifest in facts.of_stage("collect")), None)
    return licences_in_words(collected.model_dump()) if collected else ""


def _headline(facts: RunFacts, metrics: tuple[MetricRow, ...]) -> str:
    text = _numbers_in_words(metrics)
    if facts.record.state == "refused":
        return f"The gate refused the student. {text}"
    if facts.record.state == "passed":
        return text or "Every stage is done."
    where = f"{facts.record.failed}: " if facts.record.failed else ""
    return f"{where}{facts.record.message}" if facts.record.message else "The run is not finished."


def _numbers_in_words(metrics: tuple[MetricRow, ...]) -> str:
    """The numbers of the first two metrics of the headline that tell candidates apart."""
    rows = {metric.name: metric for metric in metrics}
    said = []
    for name in _HEADLINE:
        known = dict(rows[name].values) if name in rows else {}
        # What ships is the student once more, in as many forms as the recipe asks for.
        values = {who: one for who, one in known.items() if not who.startswith(EXPORTED)}
        if name == "kl_to_teacher":
            values.pop(TEACHER, None)
        if len({one.value for one in values.values()}) > 1:
            shown = ", ".join(f"{who} {one.value:.3g}" for who, one in values.items())
            said.append(f"{rows[name].title}: {shown}")
    return f"{'; '.join(said[:2])}." if said else ""


def _stage(facts: RunFacts, item: RunInstance) -> StageRow:
    manifest = facts.manifests[item.key]
    measured = facts.store.read_measured(item.artifact_id)
    state: StageState = "done" if manifest else "skipped"
    if not manifest and item.key == facts.record.failed and facts.record.state == "failed":
        state = "failed"
    peak = measured.get("peak_bytes")
    of_domains = [f"{name} {value:.1f}" for name, value in measured.items()
                  if name.startswith(SECONDS_OF)]  # fmt: skip
    said = [_in_words(manifest.summary), *of_domains] if manifest else []
    return StageRow(
        name=item.stage,
        instance=variant_of(item),
        artifact_id=item.artifact_id if manifest else "",
        state=state,
        seconds=measured.get("seconds"),
        peak_bytes=int(peak) if peak else None,
        summary=", ".join(filter(None, said)),
    )


def _in_words(summary: dict[str, Any]) -> str:
    plain = {
        name.replace("_", " "): f"{value:,}" if isinstance(value, int) else value
        for name, value in summary.items()
        if isinstance(value, int | str) and not isinstance(value, bool) and value != ""
    }
    return ", ".join(f"{name} {value}" for name, value in plain.items())


def decisive_gate(facts: RunFacts) -> GateView | None:
    """The verdict that decided: the first refusal, else the student's; None without a gate."""
    views = gate_views(facts)
    refused = [view for view in views if not view.passed]
    own = [view for view in views if view.candidate == STUDENT]
    return next(iter([*refused, *own, *views]), None)


def gate_views(facts: RunFacts) -> list[GateView]:
    """Every gate's verdict, in the order in which they were asked."""
    return [
        _gate_view(Verdict.model_validate(manifest.summary["verdict"]))
        for _, manifest in facts.of_stage("gate")
    ]


def _gate_view(verdict: Verdict) -> GateView:
    undecided = any(rule.decision == "not enough data" for rule in verdict.rules)
    failed = any(rule.decision == "fail" for rule in verdict.rules)
    return GateView(
        passed=None if undecided and not failed else verdict.passed,
        candidate=verdict.candidate,
        rules=tuple(
            RuleRow(
                text=rule.text,
                value=rule.value,
                low=rule.low,
                high=rule.high,
                limit=rule.limit,
                outcome=rule.decision,
                reason=rule.reason,
                n=rule.n,
                n_enough=rule.n_enough,
            )
            for rule in verdict.rules
        ),
        fallback=verdict.fallback,
        reference=TEACHERS_ANSWERS if verdict.reference == "teacher" else "",
    )


def _examples(facts: RunFacts) -> Iterator[ExampleRow]:
    if not facts.completions:
        return
    for example in facts.holdout[:NUM_EXAMPLES]:
        given = {
            who: said[example.example_id].text if example.example_id in said else ""
            for who, said in facts.completions.items()
        }
        yield ExampleRow(
            example_id=example.example_id,
            prompt="\n".join(message.content for message in example.prompt),
            reference=example.reference or example.answer or "",
            answers=given,
            agrees=given.get(TEACHER) == given.get(STUDENT),
        )


def _facts(facts: RunFacts) -> Iterator[tuple[str, str]]:
    yield "Recipe digest", digest_value(facts.record.recipe)[:12]
    if facts.holdout:
        yield "Holdout digest", facts.holdout_digest[:12]
    last = [manifest for manifest in facts.manifests.values() if manifest]
    heavy = [manifest for manifest in last if "device" in manifest.config]
    if heavy:
        config = heavy[-1].config
        yield "Device", f"{config['device']}, {config['dtype']}, {config['threads']} threads"
    recipe = facts.record.recipe
    seeds = {"split": recipe["prepare"]["split"]["seed"], "train": recipe["train"]["seed"]}
    if recipe["finetune"]:
        seeds["finetune"] = recipe["finetune"]["seed"]
    yield "Seeds", ", ".join(f"{name} {seed}" for name, seed in seeds.items())
    yield from sorted(last[-1].versions.items() if last else ())
    version = facts.summary_of("register").get("version_id")
    if version:
        yield "Version", version


def run_state(state: str) -> RunState:
    """How a run ended; whatever is not known is still running."""
    known: dict[str, RunState] = {
        "passed": "passed",
        "refused": "refused",
        "failed": "failed",
        "interrupted": "interrupted",
    }
    return known.get(state, "running")
