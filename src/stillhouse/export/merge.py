"""A trained student as plain folders: the merged weights, and the adapter by itself.

Equal weights give equal bytes on every machine: no paths, no dates, sorted keys.
"""

from __future__ import annotations

import copy
from enum import Enum
from pathlib import Path
from typing import Any

from peft import PeftModel
from safetensors.torch import save_file
from transformers import PreTrainedModel

from stillhouse.core.errors import UsageError
from stillhouse.core.files import disk_full_is_clear, write_json
from stillhouse.models.fingerprint import write_base_mark
from stillhouse.models.load import ADAPTER_CONFIG, ADAPTER_WEIGHTS, adapter_tensors
from stillhouse.models.quantised import is_quantised
from stillhouse.models.scratch import save_model

ADAPTER = "default"


def merge_student(model: PreTrainedModel | PeftModel) -> PreTrainedModel:
    """The student as one ordinary model: its adapter added into a copy of the weights.

    Args:
        model: left as it is; an adapter's base in 16 or 32 bits.

    Returns:
        A new model in eval mode; `model` itself when it has no adapter.

    Raises:
        UsageError: the base is quantised; with an adapter in it, it would be quantised anew.
    """
    if not isinstance(model, PeftModel):
        return model
    if is_quantised(model):
        raise UsageError(
            "an adapter over quantised weights is not merged into them: they would be rounded a "
            "second time",
            "load the adapter over its base with quantization: none, and merge that",
        )
    merged: PreTrainedModel = copy.deepcopy(model).merge_and_unload()
    return merged.eval()


def write_merged(merged: PreTrainedModel, tokenizer_folder: Path, folder: Path) -> None:
    """Write a merged student as an ordinary Hugging Face folder.

    Args:
        merged: of `merge_student`.
        tokenizer_folder: where the tokenizer files are copied from.
        folder: made when missing.
    """
    save_model(merged, tokenizer_folder, folder)


def write_adapter(
    model: PreTrainedModel | PeftModel, folder: Path, base: str, base_folder: Path | None = None
) -> None:
    """Write the adapter alone: its safetensors, `adapter_config.json` and a mark of its base.

    Args:
        model: a student with an adapter.
        folder: made when missing.
        base: what the config names as base model: a hub id, or a path relative to `folder`.
        base_folder: where the base's weights lie here; None writes no mark of them.

    Raises:
        UsageError: the student has no adapter, or `base` is an absolute path.
    """
    if not isinstance(model, PeftModel):
        raise UsageError(
            "this student has no adapter: all of its weights were trained",
            'take "adapter" out of export.formats, or train with train.lora',
        )
    if Path(base).is_absolute():
        raise UsageError(
            f"{base} would be written into the adapter, and exists on this machine alone",
            "give the hub id of the base model, or a path relative to the bundle",
        )
    tensors = {
        name: tensor.detach().cpu().contiguous() for name, tensor in adapter_tensors(model).items()
    }
    with disk_full_is_clear(folder):
        folder.mkdir(parents=True, exist_ok=True)
        save_file(tensors, str(folder / ADAPTER_WEIGHTS), metadata={"format": "pt"})
        write_json(folder / ADAPTER_CONFIG, _adapter_config(model, base))
        if base_folder:
            write_base_mark(folder, base_folder)


def _adapter_config(model: PeftModel, base: str) -> dict[str, Any]:
    stated = _plain(model.peft_config[ADAPTER].to_dict())
    own = {"base_model_name_or_path": base, "inference_mode": True, "revision": None}
    return {**stated, **own}


def _plain(value: Any) -> Any:
    """As JSON; a set becomes sorted, because its own order changes from process to process."""
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value
