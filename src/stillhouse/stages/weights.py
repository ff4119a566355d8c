"""The model that an instance's configuration means: random weights, a folder, or an artifact."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from stillhouse.core.errors import ModelError
from stillhouse.export.merge import merge_student
from stillhouse.models.domains import load_domains
from stillhouse.models.layers import take_layers
from stillhouse.models.load import LoadOptions, load_model, use_attention
from stillhouse.models.scratch import build_scratch
from stillhouse.recipes.models import Scratch
from stillhouse.stages.contract import StageRequest
from stillhouse.stages.corpus import Corpus
from stillhouse.stages.sections import section_of

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

MODEL = "model"
ADAPTER = "adapter"
ADAPTERS = "adapters_kd"
"""In a student with domains: one adapter's folder for each."""


def use_compute(config: dict[str, Any]) -> None:
    """Set this process to the threads of the plan."""
    torch.set_num_threads(config["threads"])


def load_options(config: dict[str, Any]) -> LoadOptions:
    """How a model is held and computes, as an instance's configuration says."""
    model = config.get("model", {})
    return LoadOptions(
        model.get("quantization", "none"),
        config.get("attention", "auto"),
        model.get("trust_remote_code", False),
    )


def is_own_base(config: dict[str, Any]) -> bool:
    """Whether training starts from weights that nobody else has, so that they ship with it."""
    return bool(config["model"]["scratch"] or config["model"].get("layers"))


def new_base(request: StageRequest, corpus: Corpus) -> PreTrainedModel:
    """The float32 weights that `is_own_base` speaks of, on the CPU.

    Args:
        request: of a training whose model has random weights, or layers of the teacher.
        corpus: its tokenizer sizes a scratch model.

    Returns:
        The model in eval mode, its attention as the recipe says.
    """
    model, attention = request.config["model"], load_options(request.config).attention
    if model["scratch"]:
        scratch = section_of(Scratch, model["scratch"])
        new = build_scratch(scratch, corpus.tokenizer, seed=scratch.seed)
    else:
        whole = {"device": "cpu", "dtype": "float32", "model": model["of"]}
        artifact, folder = request.inputs.get("teacher"), request.locations.get("teacher")
        new = take_layers(merge_student(finished_model(whole, artifact, folder)), model["layers"])
    use_attention(new, attention)
    return new


def starting_model(config: dict[str, Any], folder: Path | None, dtype: str) -> PreTrainedModel:
    """The weights of a folder, ready to be trained, or to stay frozen under an adapter.

    Args:
        config: an instance's configuration with `model` and `device`.
        folder: where they lie.
        dtype: float32 where they are trained themselves.

    Returns:
        The model on its device.
    """
    if folder is None:
        raise ModelError("the plan names a model whose folder is not known here")
    loaded = load_model(folder, device=config["device"], dtype=dtype, options=load_options(config))
    return loaded  # type: ignore[return-value]


def finished_model(
    config: dict[str, Any], artifact: Path | None, folder: str | None
) -> PreTrainedModel | PeftModel:
    """A model to be asked: of a training's artifact, else of the folder the recipe names.

    Args:
        config: with `device` and `dtype`, and `model` where that is held or computes in a way of
            its own.
        artifact: a finetune or train artifact; adapters lie beside their base there.
        folder: the recipe's own folder.

    Returns:
        The model on its device, ready to be asked.
    """
    how: dict[str, Any] = {
        "device": config["device"],
        "dtype": config["dtype"],
        "options": load_options(config),
    }
    if artifact is None:
        if folder is None:
            raise ModelError("the plan names a model whose folder is not known here")
        return load_model(Path(folder), **how)
    base = artifact / MODEL if (artifact / MODEL).is_dir() else Path(str(folder))
    if (artifact / ADAPTERS).is_dir():
        return load_domains(adapter_folders(artifact), base, **how)
    if (artifact / ADAPTER).is_dir():
        return load_model(artifact / ADAPTER, base=base, **how)
    return load_model(artifact / MODEL, **how)


def adapter_folders(root: Path) -> dict[str, Path]:
    """The folder of each domain's adapter in an artifact or a bundle, by domain, sorted."""
    return {folder.name: folder for folder in sorted((root / ADAPTERS).iterdir())}
