"""What `finetune` and `train` share: one model trained through the one trainer, then saved."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from peft import PeftModel
from transformers import PreTrainedModel

from stillhouse.core.files import write_json
from stillhouse.core.kd_metrics import KD_METRICS, Trend
from stillhouse.core.protocols import Progress
from stillhouse.export.merge import write_adapter
from stillhouse.losses.terms import Objective
from stillhouse.models.adapters import add_lora, trainable_count
from stillhouse.models.quantised import parameter_count
from stillhouse.models.scratch import save_model
from stillhouse.recipes.compute import ResolvedCompute
from stillhouse.recipes.training import Training
from stillhouse.stages.contract import StageRequest, StageResult
from stillhouse.stages.corpus import Corpus
from stillhouse.stages.examining import Questions
from stillhouse.stages.weights import (
    ADAPTER,
    MODEL,
    is_own_base,
    new_base,
    starting_model,
    use_compute,
)
from stillhouse.students.assignment import TrainingData
from stillhouse.students.checkpoints import delete_checkpoints
from stillhouse.students.trackers import NO_TRACKERS, Trackers
from stillhouse.students.train import Setting, TrainResult, train_model


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
    model, base = _learner(request, corpus, learning)
    setting = Setting(
        ResolvedCompute(config["device"], config["dtype"], config["threads"]),
        request.scratch,
        request.artifact_id,
        progress,
        config.get("deepspeed"),
        trackers=trackers_of(request),
    )
    result = learn(model, learning, setting)
    if isinstance(model, PeftModel):
        write_adapter(model, request.out / ADAPTER, f"../{MODEL}", base)
    else:
        save_model(model, corpus.tokenizer_folder, request.out / MODEL)
    write_record(request.out / KD_METRICS, result)
    delete_checkpoints(request.scratch)
    return StageResult(told_of(learning, model, result), series=result.series)


def told_of(
    learning: Learning, model: PreTrainedModel | PeftModel, result: TrainResult
) -> dict[str, Any]:
    """What a training's summary tells.

    Args:
        learning: what was learned.
        model: that learned it.
        result: of the training.

    Returns:
        JSON values, equal in every run of the same artifact.
    """
    training, num_examples = learning.training, len(learning.data.train)
    return {
        "examples": num_examples,
        "steps": result.steps,
        "epochs": round(result.steps / training.length.steps_per_pass(num_examples), 3),
        "best_step": result.best_step,
        "stopped_early": result.stopped_early,
        "tokens_trained": result.tokens_trained,
        "rows": "packed" if result.is_packed else "padded",
        "trainable_parameters": trainable_count(model),
        "parameters": parameter_count(model),
        "loss": in_words(result.record.trend),
        **result.optimizer.in_words(training.optimizer, result.steps),
    }


def _learner(
    request: StageRequest, corpus: Corpus, learning: Learning
) -> tuple[PreTrainedModel | PeftModel, Path | None]:
    """The model before its first step, and where the frozen weights under its adapter lie."""
    lora, config = learning.training.lora, request.config
    if lora is None:
        if is_own_base(config):
            return new_base(request, corpus).to(config["device"]), None
        folder = Path(learning.folder) if learning.folder else None
        return starting_model(config, folder, "float32"), None
    frozen, base = frozen_base(request, corpus, learning)
    return add_lora(frozen, lora, learning.training.seed), base


def frozen_base(
    request: StageRequest, corpus: Corpus, learning: Learning
) -> tuple[PreTrainedModel, Path | None]:
    """The model that adapters are put on, and where it lies: in `out` where nobody else has it.

    Args:
        request: of a training.
        corpus: tokenizer of the model.
        learning: with `training.lora`.

    Returns:
        The model on its device, without an adapter.
    """
    lora, config = learning.training.lora, request.config
    base = Path(learning.folder) if learning.folder else None
    if is_own_base(config):
        # It is quantised while it is loaded.
        base = request.out / MODEL
        save_model(new_base(request, corpus), corpus.tokenizer_folder, base)
    # A bias that is trained is one of the base's own weights.
    frozen = config["dtype"] if lora is None or lora.bias == "none" else "float32"
    return starting_model(config, base, frozen), base


def learn(model: PreTrainedModel | PeftModel, learning: Learning, setting: Setting) -> TrainResult:
    """Train a model in place, and ask it on the way; see `students.train.train_model`."""
    data = learning.data
    if learning.asked:
        data = replace(data, examiner=learning.asked.of(model))
    return train_model(model, data, learning.objective, learning.training, setting)


def write_record(path: Path, result: TrainResult) -> None:
    """Write what was measured at each step."""
    write_json(path, result.record.model_dump(mode="json"))


def trackers_of(request: StageRequest, part: str = "") -> Trackers:
    """Who hears of a training.

    Args:
        request: of the training.
        part: of it, where it trains several models.

    Returns:
        With a name by which its training is told apart.
    """
    told = request.trackers
    if not told:
        return NO_TRACKERS
    name = "-".join(filter(None, (request.stage, request.variant, part)))
    return Trackers(
        tuple(told["names"]), Path(told["folder"]), told["project"], name, told["environment"]
    )


def in_words(trend: Trend | None) -> str:
    """The trend of a training's loss."""
    if trend is None:
        return ""
    verb = "falls" if trend.falls else "does not fall steadily"
    level = f", level since step {trend.level_since}" if trend.level_since is not None else ""
    return f"{verb} from {trend.first_loss:.4g} to {trend.last_loss:.4g}{level}"
