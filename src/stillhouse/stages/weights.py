"""The model that an instance's configuration means: random weights, a folder, or an artifact."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from stillhouse.core.errors import ModelError
from stillhouse.models.domains import load_domains
from stillhouse.models.load import load_model
from stillhouse.models.scratch import build_scratch
from stillhouse.recipes.models import Scratch
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


def starting_model(config: dict[str, Any], corpus: Corpus, folder: str | None) -> PreTrainedModel:
    """The model that training starts from, in float32 where its weights are trained.

    Args:
        config: an instance's configuration with `model`, `device` and `dtype`.
        corpus: its tokenizer sizes a scratch model.
        folder: where the weights of a trained model lie.

    Returns:
        The model on its device.
    """
    if config["model"]["scratch"]:
        scratch = section_of(Scratch, config["model"]["scratch"])
        model = build_scratch(scratch, corpus.tokenizer, seed=scratch.seed)
        return model.to(config["device"])
    if folder is None:
        raise ModelError("the plan names a model whose folder is not known here")
    loaded = load_model(Path(folder), device=config["device"], dtype="float32")
    return loaded  # type: ignore[return-value]


def finished_model(
    config: dict[str, Any], artifact: Path | None, folder: str | None
) -> PreTrainedModel | PeftModel:
    """A model to be asked: of a training's artifact, else of the folder the recipe names.

    Args:
        config: with `device` and `dtype`.
        artifact: a finetune or train artifact; adapters lie beside their base there.
        folder: the recipe's own folder.

    Returns:
        The model on its device, ready to be asked.
    """
    device, dtype = config["device"], config["dtype"]
    if artifact is None:
        if folder is None:
            raise ModelError("the plan names a model whose folder is not known here")
        return load_model(Path(folder), device=device, dtype=dtype)
    base = artifact / MODEL if (artifact / MODEL).is_dir() else Path(str(folder))
    if (artifact / ADAPTERS).is_dir():
        return load_domains(adapter_folders(artifact), base, device=device, dtype=dtype)
    if (artifact / ADAPTER).is_dir():
        return load_model(artifact / ADAPTER, device=device, dtype=dtype, base=base)
    return load_model(artifact / MODEL, device=device, dtype=dtype)


def adapter_folders(root: Path) -> dict[str, Path]:
    """The folder of each domain's adapter in an artifact or a bundle, by domain, sorted."""
    return {folder.name: folder for folder in sorted((root / ADAPTERS).iterdir())}
