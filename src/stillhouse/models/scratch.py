"""Models with random weights, the same on every machine for one seed; saving any model."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from stillhouse.core.errors import ModelError
from stillhouse.core.files import disk_full_is_clear
from stillhouse.models.load import quiet_transformers
from stillhouse.recipes.models import Scratch
from stillhouse.tokens.files import copy_tokenizer
from stillhouse.tokens.tokenizer import TextTokenizer

_OLD_KEYS = ("rope_theta", "rope_scaling")  # still read by transformers, in no config's fields


def build_scratch(scratch: Scratch, tokenizer: TextTokenizer, *, seed: int) -> PreTrainedModel:
    """A causal language model with random float32 weights, in eval mode.

    The global random state is left as it was.

    Args:
        scratch: model type and config; `vocab_size` there may pad the vocabulary.
        tokenizer: gives the vocabulary's size and the special ids.
        seed: of the weights.

    Returns:
        The model on the CPU.

    Raises:
        ModelError: unknown model type or config key (names the nearest), a value of the wrong
            type, or sizes that do not fit together.
    """
    config = _build_config(scratch, tokenizer)
    try:
        with torch.random.fork_rng(devices=[]), quiet_transformers():
            torch.manual_seed(seed)
            return AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    except (ValueError, TypeError, RuntimeError, ZeroDivisionError) as error:
        raise ModelError(
            f"no {scratch.model_type} model can be built from scratch.config: {error}",
            "its sizes must fit together: hidden size, heads, head_dim, layers",
        ) from error


def save_model(model: PreTrainedModel, tokenizer_folder: Path, folder: Path) -> None:
    """Write an ordinary Hugging Face folder: safetensors, config, tokenizer files.

    Args:
        model: weights of any kind; an adapter is merged or written elsewhere.
        tokenizer_folder: where the tokenizer files are copied from.
        folder: made when missing.

    Raises:
        ModelError: the tokenizer folder has no tokenizer.json.
    """
    with disk_full_is_clear(folder), quiet_transformers():
        folder.mkdir(parents=True, exist_ok=True)
        model.save_pretrained(folder)
        copy_tokenizer(tokenizer_folder, folder)


def _build_config(scratch: Scratch, tokenizer: TextTokenizer) -> PreTrainedConfig:
    _require_known("scratch.model_type", scratch.model_type, MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    known = _config_keys(scratch.model_type)
    for key in scratch.config:
        _require_known("scratch.config", key, known)
    values: dict[str, Any] = {
        "vocab_size": tokenizer.vocab_size,
        **_special_ids(tokenizer),
        **scratch.config,
    }
    if values["vocab_size"] < tokenizer.vocab_size:
        raise ModelError(
            f"scratch.config.vocab_size is {values['vocab_size']}, but the tokenizer has "
            f"{tokenizer.vocab_size} ids",
            "leave vocab_size out, or make it larger to pad the vocabulary",
        )
    try:
        with quiet_transformers():
            return AutoConfig.for_model(scratch.model_type, **values)
    except (StrictDataclassError, ValueError, TypeError, KeyError) as error:
        raise ModelError(f"scratch.config does not suit {scratch.model_type}: {error}") from error


def _special_ids(tokenizer: TextTokenizer) -> dict[str, int | None]:
    bos = tokenizer.bos_token
    return {
        "bos_token_id": int(tokenizer.encode(bos)[0][0]) if bos else None,
        "eos_token_id": tokenizer.eos_id,
        "pad_token_id": tokenizer.pad_id,
    }


def _config_keys(model_type: str) -> set[str]:
    kind = CONFIG_MAPPING[model_type]
    with quiet_transformers():
        return {*kind().to_dict(), *kind.attribute_map, *_OLD_KEYS}


def _require_known(where: str, name: str, known: Iterable[str]) -> None:
    names = sorted(known)
    if name in names:
        return
    near = difflib.get_close_matches(name, names, n=3)
    raise ModelError(
        f"{where}: {name!r} is unknown",
        f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(names[:12])}, ...",
    )
