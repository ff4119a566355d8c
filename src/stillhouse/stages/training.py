"""What `finetune` and `train` share: one model trained through the one trainer, then saved."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peft import PeftModel

from stillhouse.core.files import write_json
from stillhouse.core.protocols import Progress
from stillhouse.export.merge import write_adapter
from stillhouse.losses.terms import Objective
from stillhouse.models.adapters import add_lora, trainable_count
from stillhouse.models.scratch import save_model
from stillhouse.recipes.compute import ResolvedCompute
from stillhouse.recipes.training import Training
from stillhouse.stages.contract import StageRequest
from stillhouse.stages.corpus import Corpus
from stillhouse.stages.weights import ADAPTER, MODEL, starting_model, use_compute
from stillhouse.students.assignment import TrainingData
from stillhouse.students.checkpoints import delete_checkpoints
from stillhouse.students.train import Setting, TrainResult, train_model

CURVE = "curve.json"


@dataclass(frozen=True, slots=True)
class Learning:
    """What one model learns.

    Attributes:
        data: encoded examples.
        objective: what is minimised.
        training: the recipe's section.
        folder: of the starting weights on this machine; None for a scratch model.
    """

    data: TrainingData
    objective: Objective
    training: Training
    folder: str | None


def train_and_save(
    request: StageRequest, corpus: Corpus, learning: Learning, progress: Progress
) -> dict[str, Any]:
    """Train, then write the model (or adapter) and `curve.json`; gives the summary.

    Args:
        request: where, and the digest that a resume must match.
        corpus: tokenizer of the model.
        learning: what is learned.
        progress: hears of every step.

    Returns:
        JSON values, equal in every run of the same artifact.
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
    )
    result = train_model(model, learning.data, learning.objective, training, setting)
    if isinstance(model, PeftModel):
        write_adapter(model, request.out / ADAPTER, f"../{MODEL}")
        start = model.unload()
    if not training.lora or config["model"]["scratch"]:
        # Nobody else has the base of a scratch model.
        save_model(start, corpus.tokenizer_folder, request.out / MODEL)
    _write_curve(request.out / CURVE, result)
    delete_checkpoints(request.scratch)
    return {
        "examples": len(learning.data.train),
        "steps": result.steps,
        "best_step": result.best_step,
        "stopped_early": result.stopped_early,
        "tokens_trained": result.tokens_trained,
        "rows": "packed" if result.is_packed else "padded",
        "trainable_parameters": trainable,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }


def _write_curve(path: Path, result: TrainResult) -> None:
    train = [[point.step, point.loss] for point in result.curve if point.loss is not None]
    validation = [
        [point.step, point.validation_loss]
        for point in result.curve
        if point.validation_loss is not None
    ]
    write_json(path, {"train": train, "validation": validation})
