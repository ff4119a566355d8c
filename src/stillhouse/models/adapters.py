"""Low-rank adapters (LoRA): which modules get one, and that each of them exists."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from stillhouse.core.errors import ModelError
from stillhouse.models.inference import plain_model
from stillhouse.recipes.training import Lora

_ROUTERS = ("router", "gate")
"""Last names of the linear layers that choose experts; `all-linear` leaves them alone."""


def add_lora(model: PreTrainedModel, lora: Lora, seed: int) -> PeftModel:
    """The model with a fresh adapter; everything else in it is frozen.

    Args:
        model: a causal language model without an adapter; it is changed in place.
        lora: rank, alpha, dropout and modules. `all-linear` means each linear layer but the head
            and the routers of a mixture of experts; fused expert weights are no linear layers
            and stay as they are.
        seed: draws the adapter's first matrix.

    Returns:
        The adapter around the model; it gives the same logits until it is trained.

    Raises:
        ModelError: a name matches no module, names the head, or the rank is above a matrix's size.

    Source: Hu et al. 2021, arXiv:2106.09685.
    """
    names = resolve_modules(model, lora.modules)
    modules = _linear_layers(model)
    smallest = min(names, key=lambda name: min(_sizes(modules[name])))
    if lora.rank > min(_sizes(modules[smallest])):
        raise ModelError(
            f"lora.rank is {lora.rank}, but {smallest} is {_sizes(modules[smallest])}; an adapter "
            f"of rank {min(_sizes(modules[smallest]))} or more is as large as the matrix itself",
            "lower lora.rank, or name larger modules in lora.modules",
        )
    transposed = {isinstance(modules[name], Conv1D) for name in names}
    if len(transposed) > 1:
        raise ModelError("lora.modules mixes linear and Conv1D layers; name one kind")
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]
        lora_dropout=lora.dropout,
        target_modules=names,
        fan_in_fan_out=transposed.pop(),
    )
    with torch.random.fork_rng(), warnings.catch_warnings():
        # PEFT reads a property that transformers has renamed
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        torch.manual_seed(seed)
        return get_peft_model(model, config)


@contextmanager
def without_adapter(model: PeftModel) -> Iterator[None]:
    """The model's base inside, in eval mode; everything as it was afterwards, also after an error.

    PEFT's own switch makes each active adapter trainable when it is switched on again, whatever it
    was before, and leaves dropout as it is.
    """
    modes = [(module, module.training) for module in model.modules()]
    trained = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        with model.disable_adapter():
            model.eval()
            yield
    finally:
        for module, mode in modes:
            module.training = mode
        for parameter, requires_grad in trained:
            parameter.requires_grad = requires_grad


def resolve_modules(model: PreTrainedModel, modules: str | tuple[str, ...]) -> list[str]:
    """Full names of the linear layers that `modules` means, in the model's own order.

    Args:
        model: a causal language model.
        modules: `all-linear`, or names: a full name, or its end after a dot (`q_proj`).

    Returns:
        Never the head.

    Raises:
        ModelError: a name matches nothing (with the nearest names), or only the head.
    """
    linear = _linear_layers(model)
    if modules == "all-linear":
        return [name for name in linear if name.rpartition(".")[2] not in _ROUTERS]
    wanted = (modules,) if isinstance(modules, str) else modules
    for pattern in wanted:
        if not any(_matches(name, pattern) for name in linear):
            raise ModelError(*_no_such_module(pattern, linear))
    return [name for name in linear if any(_matches(name, pattern) for pattern in wanted)]


def trainable_count(model: nn.Module) -> int:
    """How many parameters training would change."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def _linear_layers(model: PreTrainedModel) -> dict[str, nn.Linear | Conv1D]:
    head = plain_model(model).get_output_embeddings()
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and module is not head
    }


def _matches(name: str, pattern: str) -> bool:
    return name == pattern or name.endswith(f".{pattern}")


def _sizes(module: nn.Linear | Conv1D) -> tuple[int, int]:
    rows, columns = module.weight.shape
    return int(rows), int(columns)


def _no_such_module(pattern: str, linear: dict[str, nn.Linear | Conv1D]) -> tuple[str, str]:
    ends = sorted({name.rpartition(".")[2] for name in linear})
    near = difflib.get_close_matches(pattern, [*ends, *linear], n=3, cutoff=0.4) or ends
    message = f"lora.modules: {pattern!r} matches no linear layer below the head"
    return message, f"did you mean {', '.join(near)}? Or use all-linear"
