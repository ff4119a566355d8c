"""Low-rank adapters (LoRA): which weights get one, and that each of them exists."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from stillhouse.core.errors import ModelError
from stillhouse.models.inference import plain_model
from stillhouse.recipes.module_names import ROUTERS, is_named, last_name
from stillhouse.recipes.training import Lora

Sizes = tuple[int, int]


def add_lora(model: PreTrainedModel, lora: Lora, seed: int) -> PeftModel:
    """The model with a fresh adapter; everything else in it is frozen.

    Args:
        model: a causal language model without an adapter, its linear layers quantised or not; it
            is changed in place.
        lora: rank, alpha, dropout and what is adapted. `all-linear` means each linear layer but
            the head and the routers of a mixture of experts; experts that one parameter holds
            are no linear layers and are named under `experts`.
        seed: draws the adapter's first matrix.

    Returns:
        The adapter around the model; it gives the same logits until it is trained.

    Raises:
        ModelError: a name matches nothing, or names the head or a router; or the rank is above a
            matrix's size.

    Source: Hu et al. 2021, arXiv:2106.09685.
    """
    linear, fused = _linear_layers(model), _fused_experts(model)
    names = resolve_modules(model, lora.modules)
    experts = _resolve(lora.experts, fused, "lora.experts", "no parameter that holds experts")
    sizes = {name: _sizes(linear[name]) for name in names} | {name: fused[name] for name in experts}
    _refuse_rank(lora.rank, sizes)
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]
        lora_dropout=lora.dropout,
        target_modules=names,
        target_parameters=experts or None,
        bias=lora.bias,
        use_rslora=lora.rank_stabilized,
        fan_in_fan_out=any(isinstance(linear[name], Conv1D) for name in names),
    )
    with torch.random.fork_rng(), quiet_peft():
        torch.manual_seed(seed)
        adapted = get_peft_model(model, config)
    _freeze_routers(adapted)
    return adapted


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


def resolve_modules(
    model: PreTrainedModel, modules: str | tuple[str, ...], key: str = "lora.modules"
) -> list[str]:
    """Full names of the linear layers that `modules` means, in the model's own order.

    Args:
        model: a causal language model.
        modules: `all-linear`, or names: a full name, or its end after a dot (`q_proj`).
        key: of the recipe that says so, for the error.

    Returns:
        Never the head, and never a router.

    Raises:
        ModelError: a name matches nothing (with the nearest names), only the head or a router.
    """
    linear = _linear_layers(model)
    if modules == "all-linear":
        return list(linear)
    wanted = (modules,) if isinstance(modules, str) else modules
    return _resolve(wanted, linear, key, "no linear layer below the head")


def trainable_count(model: nn.Module) -> int:
    """How many parameters training would change."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Without PEFT's warnings of what is right here."""
    with warnings.catch_warnings():
        # PEFT reads a property that transformers has renamed.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        # It sets the layout of each layer by its kind, which is what a mixture of kinds needs.
        warnings.filterwarnings("ignore", "fan_in_fan_out is set to")
        yield


def _resolve(
    wanted: Sequence[str], known: Mapping[str, object], key: str, nothing: str
) -> list[str]:
    for pattern in wanted:
        if last_name(pattern) in ROUTERS:
            raise ModelError(
                f"{key}: {pattern!r} is a router, which chooses experts and is never adapted",
                "leave it out",
            )
        if not any(is_named(name, pattern) for name in known):
            ends = sorted({last_name(name) for name in known})
            near = difflib.get_close_matches(pattern, [*ends, *known], n=3, cutoff=0.4) or ends
            mend = f"did you mean {', '.join(near)}?" if near else "this model has none; leave it"
            every = " Or use all-linear" if key.endswith(".modules") else ""
            raise ModelError(f"{key}: {pattern!r} matches {nothing}", mend + every)
    return [name for name in known if any(is_named(name, pattern) for pattern in wanted)]


def _refuse_rank(rank: int, sizes: Mapping[str, Sizes]) -> None:
    smallest = min(sizes, key=lambda name: min(sizes[name]))
    least = min(sizes[smallest])
    if rank > least:
        raise ModelError(
            f"lora.rank is {rank}, but {smallest} is {sizes[smallest]}; an adapter of rank "
            f"{least} or more is as large as the matrix itself",
            "lower lora.rank, or name larger modules in lora.modules",
        )


def _freeze_routers(model: PeftModel) -> None:
    """`bias: all` would train the bias that chooses experts."""
    for name, parameter in model.named_parameters():
        if last_name(name.rpartition(".")[0]) in ROUTERS:
            parameter.requires_grad_(False)


def _linear_layers(model: PreTrainedModel) -> dict[str, nn.Linear | Conv1D]:
    head = plain_model(model).get_output_embeddings()
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D)
        and module is not head
        and last_name(name) not in ROUTERS
    }


def _fused_experts(model: PreTrainedModel) -> dict[str, Sizes]:
    """Rows and columns of one expert, for each parameter that holds the matrices of several."""
    return {
        name: (int(parameter.shape[1]), int(parameter.shape[2]))
        for name, parameter in model.named_parameters()
        if parameter.dim() == 3 and parameter.is_floating_point()
    }


def _sizes(module: nn.Linear | Conv1D) -> Sizes:
    if isinstance(module, nn.Linear):  # a quantised weight has another shape
        return module.out_features, module.in_features
    rows, columns = module.weight.shape
    return int(rows), int(columns)
