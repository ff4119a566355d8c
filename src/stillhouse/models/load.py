"""A model folder as weights in memory, safetensors only and complete or not at all."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    PreTrainedModel,
)
from transformers.utils import logging

from stillhouse.core.errors import CapacityError, ModelError
from stillhouse.models.fingerprint import check_base
from stillhouse.models.quantised import Quantization, keep_unpacked, quantization_config
from stillhouse.models.source import read_header, weight_files

if TYPE_CHECKING:
    from peft import PeftModel

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How a model is held and computes, where a recipe says so.

    Attributes:
        quantization: of its linear layers, the head left out.
        attention: which implementation of attention; `auto` takes the model's own choice.
        trust_remote_code: run Python code that the folder brings; only where the recipe says so.
    """

    quantization: Quantization = "none"
    attention: str = "auto"
    trust_remote_code: bool = False


PLAIN = LoadOptions()


def load_model(
    folder: Path,
    *,
    device: str = "cpu",
    dtype: str = "float32",
    base: Path | None = None,
    options: LoadOptions = PLAIN,
) -> PreTrainedModel | PeftModel:
    """The language model of a folder, causal or an encoder-decoder, in eval mode.

    Args:
        folder: a model folder, or an adapter folder (`adapter_config.json`).
        device: `cpu`, `cuda`, `mps`.
        dtype: a key of `DTYPES`; where linear layers are quantised, of the rest.
        base: the model under an adapter; None takes the path in the adapter's config, relative to
            the adapter's folder.
        options: quantization, attention, code of its own.

    Returns:
        The model, or the adapter around its base model.

    Raises:
        ModelError: the folder cannot be used, its weights are not those of its architecture, or
            an adapter was trained on another base.
        CapacityError: it does not fit the device.
    """
    if not (folder / ADAPTER_CONFIG).is_file():
        return _load_full(folder, device, dtype, options)
    under = base or _base_of(folder)
    check_base(folder, under)
    return put_adapter(_load_full(under, device, dtype, options), folder, device)


def use_attention(model: PreTrainedModel, attention: str) -> None:
    """Let a model that was built here compute attention as a recipe says.

    Args:
        model: changed in place.
        attention: as `LoadOptions.attention`.

    Raises:
        ModelError: it is not there for this model, or not installed.
    """
    if attention == "auto":
        return
    try:
        model.set_attn_implementation(attention)
    except (ValueError, ImportError) as error:
        raise _attention_error(type(model).__name__, error) from error


def adapter_tensors(model: PeftModel, name: str = "default") -> dict[str, torch.Tensor]:
    """An adapter's tensors by the names that they have in its file, sorted."""
    from peft import get_peft_model_state_dict

    # left to itself, peft asks the hub whether the base model's embedding was resized
    found = get_peft_model_state_dict(model, adapter_name=name, save_embedding_layers=False)
    return dict(sorted(found.items()))


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No progress bars and no reports from transformers; ours are the errors."""
    verbosity, has_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if has_bars:
            logging.enable_progress_bar()


def _load_full(folder: Path, device: str, dtype: str, options: LoadOptions) -> PreTrainedModel:
    weight_files(folder)  # refuses pickles and torn indexes before anything is built
    try:
        local: dict[str, Any] = {
            "local_files_only": True,
            "trust_remote_code": options.trust_remote_code,
        }
        with quiet_transformers():
            is_pair = AutoConfig.from_pretrained(folder, **local).is_encoder_decoder
            kind = AutoModelForSeq2SeqLM if is_pair else AutoModelForCausalLM
            loaded: Any = kind.from_pretrained(
                folder,
                dtype=DTYPES[dtype],
                use_safetensors=True,
                output_loading_info=True,
                **_as_arguments(options, device, dtype),
                **local,
            )
        model, info = loaded  # the type stub knows nothing of output_loading_info
        _require_complete(folder, info["missing_keys"], info["unexpected_keys"])
        keep_unpacked(model)
        full: PreTrainedModel = model.to(device).eval()
        return full
    except torch.OutOfMemoryError as error:
        raise CapacityError(
            f"{folder} does not fit the memory of {device}",
            "take a smaller model, bfloat16, or another device under `compute:`",
        ) from error
    except (
        ValueError, KeyError, OSError, RuntimeError, ImportError, SafetensorError
    ) as error:  # fmt: skip
        raise _load_error(folder, error) from error


def _as_arguments(options: LoadOptions, device: str, dtype: str) -> dict[str, Any]:
    """Of `from_pretrained`; what is left to transformers is not named."""
    arguments: dict[str, Any] = {}
    if options.attention != "auto":
        arguments["attn_implementation"] = options.attention
    if options.quantization != "none":
        arguments["quantization_config"] = quantization_config(options.quantization, DTYPES[dtype])
        arguments["device_map"] = {"": device}
    return arguments


def _load_error(folder: Path, error: Exception) -> ModelError:
    if "trust_remote_code" in str(error):
        return ModelError(
            f"{folder} needs Python code of its own to be loaded, which is not run",
            "take a model whose architecture transformers has; or read that code, and say "
            "trust_remote_code: true beside the model",
        )
    if "torchao" in str(error):
        return ModelError(f"{folder}: {error}", 'pip install "stillhouse[int8]"')
    if "bitsandbytes" in str(error):
        return ModelError(f"{folder}: {error}", 'pip install "stillhouse[qlora]"')
    if any(
        word in str(error) for word in ("attn_implementation", "attention impl", "FlashAttention")
    ):
        return _attention_error(str(folder), error)
    if "size mismatch" in str(error) or "ignore_mismatched_sizes" in str(error):
        return ModelError(
            f"{folder}: tensors have other shapes than its config.json says",
            "weights and config.json are of two models: take both from one place",
        )
    return ModelError(f"{folder} cannot be loaded: {error}", "is it a language model?")


def _attention_error(model: str, error: Exception) -> ModelError:
    return ModelError(
        f"{model}: compute.attention is not there for it: {error}",
        "take another of auto, eager, sdpa, flash_attention_2, flex_attention",
    )


def _require_complete(folder: Path, missing: set[str], unexpected: set[str]) -> None:
    """A tensor that is not found would silently start at random."""
    if not missing and not unexpected:
        return
    parts = [
        f"{len(names)} tensors are {what}, first {min(names)}"
        for what, names in (("missing", missing), ("unknown to the architecture", unexpected))
        if names
    ]
    raise ModelError(
        f"{folder}: the weights are not those of its architecture: {'; '.join(parts)}",
        "weights and config.json are of two models, or the folder holds a part of one",
    )


def _base_of(folder: Path) -> Path:
    stated = json.loads((folder / ADAPTER_CONFIG).read_text()).get("base_model_name_or_path") or ""
    base = folder / stated  # an absolute path stays itself
    if stated and base.is_dir():
        return base
    raise ModelError(
        f"{folder} is an adapter over {stated or 'an unnamed model'}, which is no folder here",
        "give the folder of its base model",
    )


def put_adapter(
    model: PreTrainedModel | PeftModel, folder: Path, device: str, *, name: str = "default"
) -> PeftModel:
    """A model with one adapter more.

    Args:
        model: a base model, with adapters of other names or none; it is changed in place.
        folder: of the adapter.
        device: of the model.
        name: of the adapter in the model.

    Returns:
        The adapter around the model, in eval mode.

    Raises:
        ModelError: the adapter does not fit, or is not whole.
    """
    from peft import PeftModel  # costs seconds, so only for adapters

    from stillhouse.models.adapters import quiet_peft

    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise ModelError(
            f"{folder} has no {ADAPTER_WEIGHTS}; a pickled adapter is never loaded",
            "save the adapter again with safe_serialization",
        )
    stored = read_header(folder / ADAPTER_WEIGHTS).keys()
    options: dict[str, Any] = {"torch_device": device}
    try:
        with quiet_peft():
            warnings.filterwarnings("ignore", "Found missing adapter keys")  # an error below
            if isinstance(model, PeftModel):
                model.load_adapter(str(folder), adapter_name=name, **options)
                adapted = model
            else:
                adapted = PeftModel.from_pretrained(
                    model, str(folder), adapter_name=name, is_trainable=False, **options
                )
    except (ValueError, KeyError, OSError, RuntimeError) as error:
        raise ModelError(
            f"the adapter {folder} does not fit its base model: {error}",
            "give the base model that it was trained on",
        ) from error
    expected = adapter_tensors(adapted, name).keys()
    _require_complete(folder, set(expected - stored), set(stored - expected))
    return adapted.eval()
