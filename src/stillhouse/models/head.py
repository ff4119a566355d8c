"""The output head of an ordinary Hugging Face causal language model, as plain tensors."""

from __future__ import annotations

import torch
from peft import PeftModel
from peft.tuners.lora import Linear as LoraLinear
from torch import nn
from transformers import PreTrainedModel

from stillhouse.core.errors import ModelError
from stillhouse.losses.head import HeadTensors, LowRank
from stillhouse.models.inference import evaluating, is_encoder_decoder, plain_model

__all__ = ["HeadTensors", "check_head", "find_head", "last_hidden"]

_FACTORS = ("logit_scale", "lm_head_multiplier")
_DIVISORS = ("logits_scaling",)
_TOLERANCE = 0.03
"""Largest difference of two logits, relative to the largest logit.

assumption: bfloat16 keeps 8 bits, and a forgotten scale or cap is off by far more.
"""


def find_head(model: PreTrainedModel | PeftModel) -> HeadTensors:
    """Weight, bias, scale, soft cap and number of real rows of a model's output head.

    Args:
        model: a causal language model, with or without an adapter around it.

    Returns:
        The head's own tensors, not copies; what is tied stays tied.

    Raises:
        ModelError: there is no head, or it is neither linear nor linear with a plain LoRA adapter;
            or the model is an encoder-decoder.
    """
    inner = plain_model(model)
    if is_encoder_decoder(inner):
        raise ModelError(
            f"{type(inner).__name__} is an encoder-decoder, which can write text and is neither "
            "scored nor trained",
            "take a causal language model, or learn the text alone: label.targets: none",
        )
    head = inner.get_output_embeddings()
    if head is None:
        raise ModelError(f"{type(inner).__name__} has no output head; a causal LM is needed")
    low_rank = None
    if isinstance(head, LoraLinear):
        low_rank, head = _low_rank(head), head.base_layer
    if not isinstance(head, nn.Linear):
        raise ModelError(
            f"the output head of {type(inner).__name__} is a {type(head).__name__}, not a plain "
            "linear layer",
            "take the head (lm_head) out of lora.modules; adapters belong on the layers below it",
        )
    config = inner.config.get_text_config()
    scale = 1.0
    for name in _FACTORS:
        scale *= float(getattr(config, name, None) or 1.0)
    for name in _DIVISORS:
        scale /= float(getattr(config, name, None) or 1.0)
    return HeadTensors(
        weight_VH=head.weight,
        bias_V=head.bias,
        logit_scale=scale,
        logit_softcap=getattr(config, "final_logit_softcapping", None),
        vocab_size=min(config.vocab_size, head.weight.shape[0]),
        low_rank=low_rank,
    )


def _low_rank(head: LoraLinear) -> LowRank | None:
    """The one plain LoRA adapter that is at work on the head; None where none is."""
    active = [name for name in head.active_adapters if name in head.lora_A]
    if head.disable_adapters or head.merged or not active:
        return None
    name = active[0]
    down, up, drop = head.lora_A[name], head.lora_B[name], head.lora_dropout[name]
    is_odd = len(active) > 1 or name in head.lora_variant or getattr(up, "bias", None) is not None
    if is_odd or not isinstance(down, nn.Linear) or not isinstance(up, nn.Linear):
        raise ModelError(
            f"the output head carries {', '.join(active)}, and not one plain LoRA adapter",
            "plain LoRA is known there: one adapter, no DoRA, no bias; or take the head (lm_head) "
            "out of lora.modules",
        )
    return LowRank(
        down_rH=down.weight,
        up_Vr=up.weight,
        scaling=float(head.scaling[name]),
        dropout=float(drop.p) if isinstance(drop, nn.Dropout) and drop.training else 0.0,
    )


def last_hidden(
    model: PreTrainedModel | PeftModel,
    input_ids: torch.Tensor,
    mask: torch.Tensor | dict[str, torch.Tensor] | None = None,
    position_ids: torch.Tensor | None = None,
) -> torch.Tensor:
    """The hidden states (B, T, H) that the head sees.

    Args:
        model: a causal language model, with or without an adapter around it.
        input_ids: (B, T) int64, padded on the right.
        mask: (B, T), 1 where a token stands; or one for each kind of layer, as transformers
            makes them; None where nothing is masked but what comes later.
        position_ids: (B, T) int64, where they do not count from 0 to T - 1.

    Returns:
        After the last norm, differentiable.

    Raises:
        ModelError: the model does not show its hidden states.
    """
    inner = plain_model(model)
    decoder = inner.base_model
    places = {} if position_ids is None else {"position_ids": position_ids}
    output = decoder(input_ids=input_ids, attention_mask=mask, use_cache=False, **places)
    hidden = getattr(output, "last_hidden_state", None)
    if hidden is None:
        raise ModelError(
            f"{type(inner).__name__} (model_type {inner.config.model_type!r}) has no layers apart "
            "from its head, so its hidden states cannot be read",
            "take another architecture, or name this model in an issue",
        )
    return hidden


def check_head(model: PreTrainedModel | PeftModel) -> None:
    """Make sure that `last_hidden` and `find_head` give this model's own logits, on two tokens.

    Args:
        model: a causal language model, with or without an adapter around it.

    Raises:
        ModelError: they do not; the model does something else between its layers and its logits.
    """
    inner = plain_model(model)
    with evaluating(inner):
        head = find_head(inner)
        input_ids = torch.tensor([[0, min(1, head.num_used - 1)]], device=head.weight_VH.device)
        mask = torch.ones_like(input_ids)
        own = inner(input_ids=input_ids, attention_mask=mask, use_cache=False).logits.float()
        hidden = last_hidden(inner, input_ids, mask).to(head.weight_VH.dtype)
        ours = head.logits(hidden).float()
    worst = (own[..., : head.num_used] - ours).abs().max().item()
    if not worst <= _TOLERANCE * own.abs().max().item():
        raise ModelError(
            f"{type(inner).__name__} (model_type {inner.config.model_type!r}) does something "
            f"between its last hidden state and its logits that is not known here: they differ "
            f"by {worst:.3g}",
            "scale, soft cap, bias and padded rows are known; name this model in an issue",
        )
