"""The model that an instance's configuration means: random weights, a folder, or an artifact."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from stillhouse.core.errors import ArtifactError, ModelError
from stillhouse.export.bundle import BASE
from stillhouse.models.load import load_model
from stillhouse.models.scratch import build_scratch
from stillhouse.recipes.models import Scratch
from stillhouse.stages.corpus import Corpus
from stillhouse.stages.sections import section_of
from stillhouse.tokens.tokenizer import load_tokenizer

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

MODEL = "model"
ADAPTER = "adapter"


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
        artifact: a finetune or train artifact; an adapter lies beside its base there.
        folder: the recipe's own folder.

    Returns:
        The model on its device, ready to be asked.
    """
    device, dtype = config["device"], config["dtype"]
    if artifact is None:
        if folder is None:
            raise ModelError("the plan names a model whose folder is not known here")
        return load_model(Path(folder), device=device, dtype=dtype)
    if (artifact / ADAPTER).is_dir():
        base = artifact / MODEL if (artifact / MODEL).is_dir() else Path(str(folder))
        return load_model(artifact / ADAPTER, device=device, dtype=dtype, base=base)
    return load_model(artifact / MODEL, device=device, dtype=dtype)


def exported_model(
    config: dict[str, Any], bundle: Path, folder: str | None, corpus: Corpus
) -> PreTrainedModel | PeftModel:
    """The model that ships, loaded from its bundle as any user loads it.

    Args:
        config: with `device` and `dtype`.
        bundle: what `export` wrote.
        folder: of the base model, where the bundle holds an adapter without its base.
        corpus: whose tokenizer the bundle's must be.

    Returns:
        The merged model where there is one, else the adapter on its base.

    Raises:
        ArtifactError: the bundle's tokenizer is another.
    """
    device, dtype = config["device"], config["dtype"]
    is_merged = (bundle / "merged").is_dir()
    shipped = bundle / ("merged" if is_merged else ADAPTER)
    if load_tokenizer(shipped).digest != corpus.tokenizer.digest:
        raise ArtifactError(
            f"{shipped}: its tokenizer is not the one that the student learned with",
            "delete the export; the next run makes it again",
        )
    if is_merged:
        return load_model(shipped, device=device, dtype=dtype)
    base = bundle / BASE if (bundle / BASE).is_dir() else Path(str(folder))
    return load_model(shipped, device=device, dtype=dtype, base=base)
