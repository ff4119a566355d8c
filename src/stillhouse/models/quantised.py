"""Linear layers in 8 or 4 bits while they are frozen, through bitsandbytes.

A student that ships in 8 bits is torchao's, and is counted here too.

bitsandbytes re-packs a 4-bit weight at the first forward pass in eval mode on a CPU that has
avx512_bf16; from then on its layer passes no gradient, and computes in bfloat16. Nothing is
re-packed here, so that what is measured is what is trained, before and between its steps.

Bytes of a quantised layer: `recipes.quantised_bytes`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import nn
from transformers import BitsAndBytesConfig, PreTrainedModel
from transformers.utils.quantization_config import QuantizationMethod

from stillhouse.core.errors import ModelError
from stillhouse.models.inference import plain_model

if TYPE_CHECKING:
    from peft import PeftModel

Quantization = Literal["none", "int8", "nf4"]


def quantization_config(quantization: Quantization, dtype: torch.dtype) -> BitsAndBytesConfig:
    """How transformers is told to quantise a model's linear layers, the head left out.

    Args:
        quantization: `int8`, or `nf4` with doubly quantised scales.
        dtype: that 4-bit weights are multiplied in.

    Returns:
        An argument of `from_pretrained`.

    Source: Dettmers et al. 2022, arXiv:2208.07339; Dettmers et al. 2023, arXiv:2305.14314.
    """
    if quantization == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def keep_unpacked(model: nn.Module) -> None:
    """Let no forward pass re-pack a 4-bit weight.

    Args:
        model: freshly loaded; what was packed before stays packed.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False  # type: ignore[assignment]


def refuse_repacked(model: nn.Module) -> None:
    """Stop before a training that would be wrong without a word.

    Gradients go around a re-packed layer, through residual connections and adapters, and are
    neither None nor 0.

    Args:
        model: as it is to be trained.

    Raises:
        ModelError: one of its 4-bit weights was re-packed.
    """
    for name, parameter in model.named_parameters():
        state = getattr(parameter, "quant_state", None)
        if getattr(state, "packing_format_for_cpu", False):
            raise ModelError(
                f"the 4-bit weight {name} was re-packed by a forward pass in eval mode, and passes "
                "no gradient any more",
                "load the model anew with stillhouse.models.load, which keeps it from that",
            )


def is_quantised(model: PreTrainedModel | PeftModel) -> bool:
    """Whether its linear layers are in 8 or 4 bits."""
    method = getattr(plain_model(model), "quantization_method", None)
    return method in (QuantizationMethod.BITS_AND_BYTES, QuantizationMethod.TORCHAO)


def held_bytes(model: nn.Module) -> int:
    """What the weights of a model take in memory, scales and tables of quantised ones included."""
    return sum(
        tensor.numel() * tensor.element_size()
        for parameter in model.parameters()
        for tensor in _held(parameter)
    )


def _held(parameter: nn.Parameter) -> list[torch.Tensor]:
    """The plain tensors that a weight consists of."""
    flatten = getattr(parameter.data, "__tensor_flatten__", None)
    if flatten is not None:
        # Its own size is that of the weight which it stands for.
        names, _ = flatten()
        return [getattr(parameter.data, name) for name in names]
    return [parameter, *_scales(parameter)]


def _scales(parameter: nn.Parameter) -> list[torch.Tensor]:
    """What is held beside the numbers of a quantised weight."""
    state, rows = getattr(parameter, "quant_state", None), getattr(parameter, "SCB", None)
    if state is not None:
        return [state.absmax, state.code, state.offset, state.state2.absmax, state.state2.code]
    return [] if rows is None else [rows]


def parameter_count(model: nn.Module) -> int:
    """Every weight, a 4-bit one counted as the one that it is."""
    return sum(_numel(parameter) for parameter in model.parameters())


def _numel(parameter: nn.Parameter) -> int:
    state = getattr(parameter, "quant_state", None)
    return parameter.numel() if state is None else int(torch.Size(state.shape).numel())
