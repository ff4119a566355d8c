"""Training a student of several domains: adapters one after the other on one frozen base.

The base is loaded once. An adapter that is done lies in the scratch folder with a seal, so that a
crash costs at most the steps since the last checkpoint of the domain in work. Each draws from a
seed of its own name: whichever others are trained, and in which order, changes none of its bits.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from peft import PeftModel
from transformers import PreTrainedModel

from stillhouse.core.errors import InputError
from stillhouse.core.files import sync_tree, write_json
from stillhouse.core.hashing import digest_value
from stillhouse.core.protocols import Progress
from stillhouse.export.merge import write_adapter
from stillhouse.models.adapters import add_lora, trainable_count
from stillhouse.models.domains import put_domains
from stillhouse.models.scratch import save_model
from stillhouse.recipes.compute import ResolvedCompute
from stillhouse.recipes.training import Train
from stillhouse.stages.contract import StageRequest, StageResult
from stillhouse.stages.corpus import Corpus
from stillhouse.stages.domain_files import KD_CONFIG, KD_METRICS, KD_SUMMARY
from stillhouse.stages.domain_summary import measure, summarise
from stillhouse.stages.training import Learning, curve_of
from stillhouse.stages.weights import (
    ADAPTERS,
    MODEL,
    adapter_folders,
    starting_model,
    use_compute,
)
from stillhouse.students.checkpoints import delete_checkpoints
from stillhouse.students.examples import EncodedExample
from stillhouse.students.train import Setting, TrainResult, train_model

_SEED_DIGITS = 8

LearningOf = Callable[[StageRequest, Corpus], Learning]


@dataclass(frozen=True, slots=True)
class _Done:
    """What the seal of a finished adapter tells.

    Attributes:
        artifact_id: what it was trained for.
        seconds: of its training, since the last start.
        told: of the training: JSON values, equal in every run of the same artifact.
    """

    artifact_id: str
    seconds: float
    told: dict[str, Any]


def train_domains(
    request: StageRequest, corpus: Corpus, learning_of: LearningOf, progress: Progress
) -> StageResult:
    """Write `adapters_kd/DOMAIN` for each domain, and `kd_summary.json`.

    Args:
        request: where, and the digest that a resume must match.
        corpus: of all domains.
        learning_of: what is learned from one domain's corpus.
        progress: hears of every step.

    Returns:
        What holds of all domains together; as measured, the seconds of each.

    Raises:
        InputError: a domain has nothing to learn from; names it.
    """
    config = request.config
    use_compute(config)
    base = starting_model(config, corpus, request.locations.get("student"))
    done: dict[str, _Done] = {}
    validation: dict[str, list[EncodedExample]] = {}
    for name in config["domains"]:
        learning = _learning(learning_of, request, corpus, name)
        validation[name] = list(learning.data.validation)
        known = _find_done(request, name)
        if known is None:
            base, known = _train(request, name, base, learning, progress)
        done[name] = known
    # Copied, not moved: after a crash from here on they must be found again.
    shutil.copytree(
        request.scratch / ADAPTERS, request.out / ADAPTERS, copy_function=shutil.copyfile
    )
    if config["model"]["scratch"]:
        # Nobody else has the base of a scratch model.
        save_model(base, corpus.tokenizer_folder, request.out / MODEL)
    adapted = put_domains(base, adapter_folders(request.out), config["device"])
    distances = {
        name: measure(adapted, name, own, corpus.tokenizer.vocab_size)
        for name, own in validation.items()
    }
    summary = summarise({name: one.told for name, one in done.items()}, distances)
    write_json(request.out / KD_SUMMARY, summary)
    seconds = {f"seconds of {name}": one.seconds for name, one in done.items()}
    return StageResult(summary["overall"], seconds)


def seed_of(seed: int, domain: str) -> int:
    """The seed of one domain's training, whatever its place among the others."""
    return int(digest_value([seed, domain])[:_SEED_DIGITS], 16)


def _learning(
    learning_of: LearningOf, request: StageRequest, corpus: Corpus, name: str
) -> Learning:
    try:
        return learning_of(request, corpus.of_domain(name))
    except InputError as error:
        raise InputError(f"the domain {name!r}: {error.message}", error.hint) from error


def _train(
    request: StageRequest,
    name: str,
    base: PreTrainedModel,
    learning: Learning,
    progress: Progress,
) -> tuple[PreTrainedModel, _Done]:
    """The base without an adapter again, and what was learned; the adapter's folder is sealed."""
    started, config = time.monotonic(), request.config
    training = learning.training.model_copy(
        update={"seed": seed_of(learning.training.seed, name)}
    )
    assert isinstance(training, Train)
    assert training.lora is not None
    folder, workdir = request.scratch / ADAPTERS / name, request.scratch / "training" / name
    model = add_lora(base, training.lora, training.seed)

    def snapshot(step: int) -> None:
        if training.length.checkpoint_every:
            write_adapter(model, folder / f"checkpoint_{step}", f"../../../{MODEL}")

    def tell(step: int, steps: int, unit: str, **values: float) -> None:
        progress(step, steps, f"{unit} of {name}", **values)

    setting = Setting(
        ResolvedCompute(config["device"], config["dtype"], config["threads"]),
        workdir,
        f"{request.artifact_id} {name}",
        tell,
        snapshot,
    )
    result = train_model(model, learning.data, learning.objective, training, setting)
    told = _told(learning, training, model, result)
    write_adapter(model, folder, f"../../{MODEL}")
    write_json(folder / KD_CONFIG, _kd_config(name, training))
    write_json(folder / KD_METRICS, curve_of(result))
    done = _Done(request.artifact_id, time.monotonic() - started, told)
    _seal(request, name, done)
    delete_checkpoints(workdir)
    return model.unload(), done


def _told(
    learning: Learning, training: Train, model: PeftModel, result: TrainResult
) -> dict[str, Any]:
    return {
        "examples": len(learning.data.train),
        "steps": result.steps,
        "best_step": result.best_step,
        "stopped_early": result.stopped_early,
        "tokens_trained": result.tokens_trained,
        "seed": training.seed,
        "trainable_parameters": trainable_count(model),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }


def _kd_config(name: str, training: Train) -> dict[str, Any]:
    """The training as it was, with the numbers that other tools call alpha and scale."""
    assert training.lora is not None
    weights = dict(training.weights)
    taught = sum(weights.values()) - weights["cross_entropy"]
    return {
        "domain": name,
        "kd_alpha": taught / sum(weights.values()),
        "lora_scale": training.lora.alpha / training.lora.rank,
        "training": training.model_dump(mode="json", by_alias=True),
    }


def _seal_path(request: StageRequest, name: str) -> Path:
    return request.scratch / "done" / f"{name}.json"


def _seal(request: StageRequest, name: str, done: _Done) -> None:
    path = _seal_path(request, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    sync_tree(request.scratch / ADAPTERS / name)
    write_json(path, asdict(done))


def _find_done(request: StageRequest, name: str) -> _Done | None:
    path = _seal_path(request, name)
    if not path.is_file():
        return None
    done = _Done(**json.loads(path.read_bytes()))
    return done if done.artifact_id == request.artifact_id else None
