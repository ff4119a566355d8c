"""The curves of a run's trainings: the loss, what was examined while they ran, and memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from stillhouse.core.kd_metrics import KD_METRICS, KdMetrics
from stillhouse.evals.metrics import in_reading_order
from stillhouse.report.content import Curve
from stillhouse.runner.run_facts import TEACHER, RunFacts, variant_of
from stillhouse.store.runs import RunInstance

_MEMORY = "Peak memory"
_MOST_CHARTS = 6
"""assumption: more are not looked at; the file holds all."""


def training_curves(facts: RunFacts) -> Iterator[Curve]:
    """Loss and validation loss of every training, then each metric of its answers, then memory."""
    written = [
        (item, path)
        for stage in ("finetune", "train")
        for item, manifest in facts.of_stage(stage)
        for path in (PurePosixPath(file.path) for file in manifest.files)
        # An older Stillhouse wrote another file.
        if path.name == KD_METRICS
    ]
    records = {
        _name_of(*one): KdMetrics.model_validate(facts.read_json(one[0], str(one[1])))
        for one in written
    }
    for name, record in records.items():
        losses = tuple((one.step, one.loss) for one in record.steps)
        yield Curve(name=name, points=losses, kind="train")
        measured = tuple((one.step, one.loss) for one in record.validation)
        yield Curve(name=name, points=measured, kind="validation")
    for metric in _examined(records.values()):
        for name, record in records.items():
            found = [(one.step, one.metrics.get(metric)) for one in record.validation]
            points = tuple((step, value) for step, value in found if value is not None)
            yield Curve(name=name, points=points, kind="validation", unit="", of=metric)
    for one in written:
        yield _memory(facts, *one)


def _memory(facts: RunFacts, item: RunInstance, path: PurePosixPath) -> Curve:
    """The highest memory so far of the process that trained."""
    series = facts.store.read_series(item.artifact_id, path.parent.name)
    peaks = [value / 1e9 for value in series.get("peak_rss_bytes", ())]
    # A step after which the model was measured stands there twice.
    highest = dict(zip(map(int, series.get("step", ())), peaks, strict=True))
    points = tuple(highest.items())
    return Curve(name=_name_of(item, path), points=points, kind="train", unit="GB", of=_MEMORY)


def _name_of(item: RunInstance, path: PurePosixPath) -> str:
    """Of a training; a domain's record lies in a folder of its own."""
    return " ".join(filter(None, (variant_of(item) or TEACHER, path.parent.name)))


def _examined(records: Iterable[KdMetrics]) -> list[str]:
    """The metrics that have a chart; the perplexity says what the loss says."""
    found = (name for record in records for one in record.validation for name in one.metrics)
    whole = [name for name in found if "@" not in name and name != "perplexity"]
    return in_reading_order(whole)[:_MOST_CHARTS]
