"""The model that an evaluation is of, as it will be used, and how large it is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from stillhouse.core.errors import ArtifactError
from stillhouse.evals.summary import SizeSummary
from stillhouse.export.bundle import BASE
from stillhouse.export.bundle_files import BUNDLE
from stillhouse.models.domains import load_domains
from stillhouse.models.load import load_model
from stillhouse.models.quantised import held_bytes, is_quantised, parameter_count
from stillhouse.recipes.plan import START
from stillhouse.stages.contract import StageRequest
from stillhouse.stages.corpus import TOKENIZER, Corpus
from stillhouse.stages.weights import (
    ADAPTER,
    ADAPTERS,
    MODEL,
    adapter_folders,
    finished_model,
    is_own_base,
    load_options,
    new_base,
)
from stillhouse.tokens.tokenizer import load_tokenizer

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

MERGED = "merged"
_BYTES = {"float32": 4, "bfloat16": 2, "int8": 1}
_AS_HELD = "quantised"


def model_of(request: StageRequest, corpus: Corpus) -> PreTrainedModel | PeftModel:
    """The model on its device: of a training, of a bundle, untaught, or of the recipe's folder."""
    artifact, folder = request.inputs.get("model"), request.locations.get(request.config["of"])
    if artifact and (artifact / BUNDLE).is_dir():
        return _exported_model(request.config, artifact / BUNDLE, folder, corpus)
    if request.config.get("untaught") and is_own_base(request.config):
        start = {"teacher": request.inputs[START]} if START in request.inputs else {}
        new = new_base(replace(request, inputs=start), corpus)
        dtype = getattr(torch, request.config["dtype"])
        new.to(device=request.config["device"], dtype=dtype)  # type: ignore[call-arg]
        return new
    return finished_model(request.config, artifact, folder)


def _exported_model(
    config: dict[str, Any], bundle: Path, folder: str | None, corpus: Corpus
) -> PreTrainedModel | PeftModel:
    """The model that ships, loaded from its bundle as any user loads it.

    Args:
        config: with `device` and `dtype`, and `form` of one that is not the student's own.
        bundle: what `export` wrote.
        folder: of the base model, where the bundle holds an adapter without its base.
        corpus: whose tokenizer the bundle's must be.

    Returns:
        The whole model where there is one, else the adapter or adapters on their base.

    Raises:
        ArtifactError: the bundle's tokenizer is another.
    """
    device, dtype = config["device"], config["dtype"]
    base = bundle / BASE if (bundle / BASE).is_dir() else Path(str(folder))
    is_whole, has_domains = (bundle / _whole(config)).is_dir(), (bundle / ADAPTERS).is_dir()
    shipped = bundle / (_whole(config) if is_whole else TOKENIZER if has_domains else ADAPTER)
    if load_tokenizer(shipped).digest != corpus.tokenizer.digest:
        raise ArtifactError(
            f"{shipped}: its tokenizer is not the one that the student learned with",
            "delete the export; the next run makes it again",
        )
    # What ships is not quantised by its loader, whatever the student was trained over.
    options = replace(load_options(config), quantization="none")
    if is_whole:
        return load_model(shipped, device=device, dtype=dtype, options=options)
    if has_domains:
        folders = adapter_folders(bundle)
        return load_domains(folders, base, device=device, dtype=dtype, options=options)
    return load_model(shipped, device=device, dtype=dtype, base=base, options=options)


def weight_folders(request: StageRequest) -> list[Path]:
    """The folders that its weights are loaded from: an adapter's base among them."""
    artifact, folder = request.inputs.get("model"), request.locations.get(request.config["of"])
    own = [Path(folder)] if folder else []
    if artifact is None:
        return own
    root = artifact / BUNDLE if (artifact / BUNDLE).is_dir() else artifact
    whole = root / _whole(request.config)
    if whole.is_dir():
        return [whole]
    bases = [root / name for name in (BASE, MODEL) if (root / name).is_dir()] or own
    if (root / ADAPTERS).is_dir():
        return [*adapter_folders(root).values(), *bases]
    return [root / ADAPTER, *bases] if (root / ADAPTER).is_dir() else [root / MODEL]


def _whole(config: dict[str, Any]) -> str:
    """The folder of a bundle with the whole model that an instance is of."""
    return str(config.get("form", MERGED))


def size_of(model: PreTrainedModel | PeftModel, folders: Iterable[Path], dtype: str) -> SizeSummary:
    """How large a model is.

    Args:
        model: whose parameters are counted, shared ones once.
        folders: whose weights are its files.
        dtype: in which it is asked.

    Returns:
        Parameters, bytes of the weights in each dtype and of quantised ones as they are held, and
        of its files as they are.
    """
    parameters = parameter_count(model)
    held = {_AS_HELD: held_bytes(model)} if is_quantised(model) else {}
    files = [path for folder in folders for path in folder.glob("*.safetensors")]
    return SizeSummary(
        parameters=parameters,
        bytes_by_dtype={name: parameters * size for name, size in _BYTES.items()} | held,
        disk_bytes=sum(path.stat().st_size for path in files),
        dtype=dtype,
    )
