"""Gathering a run's report from its manifests; nothing here computes a new number."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stillhouse.core.errors import ArtifactError
from stillhouse.core.hashing import digest_value
from stillhouse.data.storage import read_completions, read_examples
from stillhouse.evals.gates import Verdict
from stillhouse.evals.metrics import in_reading_order
from stillhouse.report.content import (
    Curve,
    Estimate,
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
from stillhouse.stages.corpus import EXAMPLES
from stillhouse.stages.evaluate_files import COMPLETIONS
from stillhouse.store.account import ACCOUNT, JOURNAL
from stillhouse.store.artifacts import ArtifactStore, Manifest
from stillhouse.store.runs import RunFolder, RunInstance, RunRecord
from stillhouse.store.spending import spending_by_stage

NUM_EXAMPLES = 20
_HEADLINE = ("exact_match", "field_accuracy", "kl_to_teacher", "cross_entropy")


def write_run_report(folder: RunFolder, store: ArtifactStore) -> Path:
    """Write `report.html` of a run, finished or not; gives its path."""
    write_report(_Gatherer(folder, store).report(), folder.report)
    return folder.report


class _Gatherer:
    """What is known of a run, read once."""

    def __init__(self, folder: RunFolder, store: ArtifactStore) -> None:
        self.folder = folder
        self.store = store
        self.record: RunRecord = folder.read()
        self.manifests = {item.key: self._find(item) for item in self.record.instances}

    def _find(self, item: RunInstance) -> Manifest | None:
        try:
            return self.store.find(item.artifact_id)
        except ArtifactError:
            return None

    def of_stage(self, stage: str) -> Iterator[tuple[RunInstance, Manifest]]:
        for item in self.record.instances:
            manifest = self.manifests[item.key]
            if item.stage == stage and manifest:
                yield item, manifest

    def report(self) -> RunReport:
        recipe = self.record.recipe
        flow = [m.summary["flow"] for _, m in self.of_stage("prepare")]
        parts = [m.summary["parts"] for _, m in self.of_stage("prepare")]
        return RunReport(
            title=self.record.name,
            description=recipe["description"],
            run_state=_run_state(self.record.state),
            headline=self._headline(),
            stages=tuple(self._stage(item) for item in self.record.instances),
            curves=tuple(self._curves()),
            metrics=tuple(self._metrics()),
            row_flow=tuple(FlowStep.model_validate(step) for steps in flow for step in steps),
            parts=parts[0] if parts else {},
            gate=self._gate(),
            examples=tuple(self._examples()),
            facts=tuple(self._facts()),
            recipe_yaml=(self.folder.path / "recipe.yaml").read_text(encoding="utf-8"),
        )

    def _headline(self) -> str:
        numbers = self._numbers()
        said = []
        for name in _HEADLINE:
            shown = [
                f"{who} {metrics[name]['value']:.3g}"
                for who, metrics in numbers.items()
                if name in metrics and not (name == "kl_to_teacher" and who == "teacher")
            ]
            if shown:
                title = next(m[name]["title"] for m in numbers.values() if name in m)
                said.append(f"{title}: {', '.join(shown)}")
        text = "; ".join(said[:2])
        if self.record.state == "refused":
            return f"The gate refused the student. {text}"
        if self.record.state == "passed":
            return f"{text}." if text else "Every stage is done."
        return self.record.message or "The run is not finished."

    def _stage(self, item: RunInstance) -> StageRow:
        manifest = self.manifests[item.key]
        measured = self.store.read_measured(item.artifact_id)
        state: StageState = "done" if manifest else "skipped"
        if not manifest and item.key == self.record.failed and self.record.state == "failed":
            state = "failed"
        peak = measured.get("peak_bytes")
        return StageRow(
            name=item.stage,
            instance=item.key.partition("@")[2],
            artifact_id=item.artifact_id if manifest else "",
            state=state,
            seconds=measured.get("seconds"),
            peak_bytes=int(peak) if peak else None,
            summary=_in_words(manifest.summary) if manifest else "",
        )

    def _curves(self) -> Iterator[Curve]:
        for stage in ("finetune", "train"):
            for item, _ in self.of_stage(stage):
                name = item.key.partition("@")[2] or "teacher"
                path = self.store.path(item.artifact_id) / "curve.json"
                plain = json.loads(path.read_bytes())
                yield Curve(name=name, points=tuple(map(tuple, plain["train"])), kind="train")
                if plain["validation"]:
                    points = tuple(map(tuple, plain["validation"]))
                    yield Curve(name=name, points=points, kind="validation")

    def _numbers(self) -> dict[str, dict[str, Any]]:
        return {
            item.key.partition("@")[2]: manifest.summary["metrics"]
            for item, manifest in self.of_stage("evaluate")
        }

    def _metrics(self) -> Iterator[MetricRow]:
        numbers = self._numbers()
        names = (name for metrics in numbers.values() for name in metrics)
        for name in in_reading_order(names):
            having = {who: metrics[name] for who, metrics in numbers.items() if name in metrics}
            first = next(iter(having.values()))
            yield MetricRow(
                name=name,
                title=first["title"],
                better=first["better"],
                unit=first["unit"],
                note=first["note"],
                values={
                    who: Estimate(value=m["value"], low=m["low"], high=m["high"], n=m["n"])
                    for who, m in having.items()
                },
            )

    def _gate(self) -> GateView | None:
        verdicts = {
            item.key: Verdict.model_validate(manifest.summary["verdict"])
            for item, manifest in self.of_stage("gate")
        }
        refused = [key for key, verdict in verdicts.items() if not verdict.passed]
        for key in [*refused, "gate", *verdicts]:
            if key not in verdicts:
                continue
            verdict = verdicts[key]
            undecided = any(rule.decision == "not enough data" for rule in verdict.rules)
            failed = any(rule.decision == "fail" for rule in verdict.rules)
            return GateView(
                passed=None if undecided and not failed else verdict.passed,
                candidate=verdict.candidate,
                rules=tuple(
                    RuleRow(
                        text=rule.text,
                        value=rule.value,
                        limit=rule.limit,
                        outcome=rule.decision,
                        reason=rule.reason,
                    )
                    for rule in verdict.rules
                ),
                fallback=verdict.fallback,
            )
        return None

    def _examples(self) -> Iterator[ExampleRow]:
        answers = {
            item.key.partition("@")[2]: {
                c.example_id: c.text
                for c in read_completions(self.store.path(item.artifact_id) / COMPLETIONS)
            }
            for item, _ in self.of_stage("evaluate")
        }
        prepared = next(self.of_stage("prepare"), None)
        if not answers or prepared is None:
            return
        examples = read_examples(self.store.path(prepared[0].artifact_id) / EXAMPLES)
        holdout = [example for example in examples if example.part == "holdout"]
        for example in holdout[:NUM_EXAMPLES]:
            given = {who: texts.get(example.example_id, "") for who, texts in answers.items()}
            yield ExampleRow(
                example_id=example.example_id,
                prompt="\n".join(message.content for message in example.prompt),
                reference=example.reference or example.answer or "",
                answers=given,
                agrees=given.get("teacher") == given.get("student"),
            )

    def _facts(self) -> Iterator[tuple[str, str]]:
        yield "Recipe digest", digest_value(self.record.recipe)[:12]
        last = [manifest for manifest in self.manifests.values() if manifest]
        heavy = [manifest for manifest in last if "device" in manifest.config]
        if heavy:
            config = heavy[-1].config
            yield "Device", f"{config['device']}, {config['dtype']}, {config['threads']} threads"
        recipe = self.record.recipe
        seeds = {"split": recipe["prepare"]["split"]["seed"], "train": recipe["train"]["seed"]}
        if recipe["finetune"]:
            seeds["finetune"] = recipe["finetune"]["seed"]
        yield "Seeds", ", ".join(f"{name} {seed}" for name, seed in seeds.items())
        yield from sorted(last[-1].versions.items() if last else ())
        for _, manifest in self.of_stage("register"):
            yield "Version", manifest.summary["version_id"]
        account = self.folder.path.parent / ACCOUNT / JOURNAL
        for stage in spending_by_stage(account) if account.is_file() else ():
            if stage.run == self.record.name:
                spent = f"${stage.spent_usd:.4f} for {stage.accepted:,} answers"
                yield f"Spent in {stage.stage}", spent


def _run_state(state: str) -> RunState:
    known: dict[str, RunState] = {
        "passed": "passed",
        "refused": "refused",
        "failed": "failed",
        "interrupted": "interrupted",
    }
    return known.get(state, "running")


def _in_words(summary: dict[str, Any]) -> str:
    plain = {
        name.replace("_", " "): value
        for name, value in summary.items()
        if isinstance(value, int | str) and not isinstance(value, bool)
    }
    return ", ".join(f"{name} {value}" for name, value in plain.items())
