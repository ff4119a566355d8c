"""What `finetune` and `train` share: one model trained through the one trainer, then saved."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from peft import PeftModel

from stillhouse.core.files import write_json
from stillhouse.core.kd_metrics import KD_METRICS, Trend
from stillhouse.core.protocols import Progress
from stillhouse.export.merge import write_adapter
from stillhouse.losses.terms import Objective
from stillhouse.models.adapters import add_lora, trainable_count
from stillhouse.models.scratch import save_model
from stillhouse.recipes.compute import ResolvedCompute
from stillhouse.recipes.training import Training
from stillhouse.stages.contract import StageRequest, StageResult
from stillhouse.stages.corpus import Corpus
from stillhouse.stages.examining import Questions
from stillhouse.stages.weights import ADAPTER, MODEL, starting_model, use_compute
from stillhouse.students.assignment import TrainingData
from stillhouse.students.checkpoints import delete_checkpoints
from stillhouse.students.trackers import NO_TRACKERS, Trackers
from stillhouse.students.train import Setting, train_model


@dataclass(frozen=True, slots=True)
class Learning:
    """What one model learns.

    Attributes:
        data: encoded examples.
        objective: what is minimised.
        training: the recipe's section.
        folder: of the starting weights on this machine; None for a scratch model.
        asked: of the model while it trains; None asks nothing.
    """

    data: TrainingData
    objective: Objective
    training: Training
    folder: str | None
    asked: Questions | None = None


def train_and_save(
    request: StageRequest, corpus: Corpus, learning: Learning, progress: Progress
) -> StageResult:
    """Train, then write the model (or adapter) and `kd_metrics.json`.

    Args:
        request: where, and the digest that a resume must match.
        corpus: tokenizer of the model.
        learning: what is learned.
        progress: hears of every step.

    Returns:
        The summary, and what differs from run to run.
    """
    config = request.config
    use_compute(config)
    training = learning.training
    start = starting_model(config, corpus, learning.folder)
    model = add_lora(start, training.lora, training.seed) if training.lora else start
    trainable = trainable_count(model)
    setting = Setting(
        ResolvedCompute(config["device"], config["dtype"], config["threads"]),
        request.scratch,
        request.artifact_id,
        progress,
        _trackers(request),
    )
    data = learning.data
    if learning.asked:
        data = replace(data, examiner=learning.asked.of(model))
    result = train_model(model, data, learning.objective, training, setting)
    if isinstance(model, PeftModel):
        write_adapter(model, request.out / ADAPTER, f"../{MODEL}")
        start = model.unload()
    if not training.lora or config["model"]["scratch"]:
        # Nobody else has the base of a scratch model.
        save_model(start, corpus.tokenizer_folder, request.out / MODEL)
    write_json(request.out / KD_METRICS, result.record.model_dump(mode="json"))
    delete_checkpoints(request.scratch)
    summary = {
        "examples": len(learning.data.train),
        "steps": result.steps,
        "epochs": round(result.steps / training.length.steps_per_pass(len(learning.data.train)), 3),
        "best_step": result.best_step,
        "stopped_early": result.stopped_early,
        "tokens_trained": result.tokens_trained,
        "rows": "packed" if result.is_packed else "padded",
        "trainable_parameters": trainable,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "loss": _told(result.record.trend),
    }
    return StageResult(summary, series=result.series)


def _trackers(request: StageRequest) -> Trackers:
    told = request.trackers
    if not told:
        return NO_TRACKERS
    name = f"{request.stage}-{request.variant}" if request.variant else request.stage
    return Trackers(
        tuple(told["names"]), Path(told["folder"]), told["project"], name, told["environment"]
    )


def _told(trend: Trend | None) -> str:
    """The trend of the training loss, in words."""
    if trend is None:
        return ""
    verb = "falls" if trend.falls else "does not fall steadily"
    level = f", level since step {trend.level_since}" if trend.level_since is not None else ""
    return f"{verb} from {trend.first_loss:.4g} to {trend.last_loss:.4g}{level}"
