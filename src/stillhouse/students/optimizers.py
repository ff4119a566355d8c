"""From the recipe's `optimizer` to torch's, and what each of its parameters is to it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from peft import PeftModel
from torch import nn
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel

from stillhouse.core.errors import CapacityError, ModelError, UsageError
from stillhouse.models.adapters import resolve_modules
from stillhouse.models.inference import plain_model
from stillhouse.recipes.optimizer_state import (
    Trained,
    clipped,
    galore_bytes,
    galore_rank,
    state_bytes,
)
from stillhouse.recipes.training import Galore, Optimizer
from stillhouse.students.galore import GaloreAdamW
from stillhouse.students.layerwise import Layerwise

_IN_8_BITS = ("cpu", "cuda", "xpu")
"""Kinds of device for which bitsandbytes 0.50 has an 8-bit step."""


@dataclass(frozen=True, slots=True)
class OptimizerFacts:
    """What a training's optimizer holds, from its closed formula.

    Attributes:
        state_bytes: of the whole state.
        rank: of GaLore's projection; 0 without it.
        num_projected: matrices that it projects.
        num_clipped: of these, smaller than the rank, so that they keep their own.
    """

    state_bytes: int
    rank: int = 0
    num_projected: int = 0
    num_clipped: int = 0

    def in_words(self, optimizer: Optimizer, steps: int) -> dict[str, int]:
        """Values for a stage's summary.

        Args:
            optimizer: the recipe's section.
            steps: that were taken.

        Returns:
            Bytes; with GaLore also its rank, matrices, those that keep a smaller rank of their
            own, and how often a projection was computed (once: it was never renewed).
        """
        held = {"optimizer_bytes": self.state_bytes}
        if not self.rank:
            return held
        gap = (optimizer.galore or Galore()).update_gap
        return held | {
            "galore_rank": self.rank,
            "galore_matrices": self.num_projected,
            "galore_matrices_of_smaller_rank": self.num_clipped,
            "galore_projections": -(-steps // gap),
        }


@dataclass(frozen=True, slots=True)
class _Roles:
    """The trained parameters by name, and the names of those that are projected or embeddings."""

    trained: Mapping[str, nn.Parameter]
    projected: Collection[str]
    embeddings: Collection[str]

    @property
    def shapes(self) -> Trained:
        matrices = [tuple(self.trained[name].shape) for name in self.projected]
        others = self.trained.keys() - set(self.projected) - set(self.embeddings)
        return Trained(
            tuple((rows, columns) for rows, columns in matrices),
            tuple(self.trained[name].numel() for name in self.embeddings),
            tuple(self.trained[name].numel() for name in others),
        )


def optimizer_facts(model: PreTrainedModel | PeftModel, optimizer: Optimizer) -> OptimizerFacts:
    """What an optimizer holds when it moves the trainable parameters of a model.

    Args:
        model: a causal language model, its adapter in place.
        optimizer: the recipe's section.

    Returns:
        Bytes and rank.

    Raises:
        ModelError: galore.modules names what is no linear layer.
        CapacityError: GaLore's state does not fit galore.memory_gb at rank 1.
    """
    roles = _roles(model, optimizer)
    size = state_bytes(optimizer, roles.shapes)
    if optimizer.name != "galore_adamw":
        return OptimizerFacts(size)
    rank = _rank(optimizer, roles)
    matrices = roles.shapes.matrices
    return OptimizerFacts(size, rank, len(matrices), clipped(matrices, rank))


def build_optimizer(
    model: PreTrainedModel | PeftModel, optimizer: Optimizer, decayed: Collection[str]
) -> torch.optim.Optimizer:
    """The optimizer of the trainable parameters of a model.

    Args:
        model: a causal language model, its adapter in place.
        optimizer: the recipe's section.
        decayed: names of the parameters that weight decay acts on.

    Returns:
        With one group for each way in which parameters are treated, none of them empty.

    Raises:
        UsageError: adamw_8bit without bitsandbytes, or on a device that it has no step for.
        ModelError: galore.modules names what is no linear layer.
        CapacityError: GaLore's state does not fit galore.memory_gb at rank 1.
    """
    return _BUILDERS[optimizer.name](_roles(model, optimizer), optimizer, decayed)


def layerwise_of(
    built: torch.optim.Optimizer, optimizer: Optimizer, num_processes: int
) -> Layerwise | None:
    """The hooks that take steps during the backward pass, where the recipe asks for them.

    Args:
        built: what `build_optimizer` gave.
        optimizer: the recipe's section.
        num_processes: that train together; their gradients are summed after the backward pass.

    Returns:
        None where steps are taken as usual.

    Raises:
        UsageError: there is more than one process.
    """
    if not (isinstance(built, GaloreAdamW) and optimizer.galore and optimizer.galore.layerwise):
        return None
    if num_processes > 1:
        raise UsageError(
            f"optimizer.galore.layerwise moves weights before {num_processes} processes have "
            "summed their gradients",
            "remove layerwise, or train in one process",
        )
    return Layerwise(built, optimizer.max_grad_norm)


def require_8bit(device: str) -> None:
    """Make sure that 8-bit AdamW can be used; nothing is imported.

    Args:
        device: its kind, such as `cpu`.

    Raises:
        UsageError: names the extra, or the kinds of device.
    """
    if importlib.util.find_spec("bitsandbytes") is None:
        raise UsageError(
            "optimizer.name: adamw_8bit needs bitsandbytes, which is not installed",
            'pip install "stillhouse[qlora]", or use optimizer.name: adamw',
        )
    if device not in _IN_8_BITS:
        raise UsageError(
            f"optimizer.name: adamw_8bit has no step for {device}, only for "
            f"{', '.join(_IN_8_BITS)}",
            "use optimizer.name: galore_adamw or adamw",
        )


def _roles(model: PreTrainedModel | PeftModel, optimizer: Optimizer) -> _Roles:
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    held = {
        f"{name}.weight" for name, part in model.named_modules() if isinstance(part, nn.Embedding)
    }
    projected: list[str] = []
    if optimizer.name == "galore_adamw":
        modules = (optimizer.galore or Galore()).modules
        names = resolve_modules(plain_model(model), modules, key="optimizer.galore.modules")
        projected = [name for name in (f"{name}.weight" for name in names) if name in trained]
        if not projected:
            raise ModelError(
                "optimizer.galore.modules names frozen layers alone",
                "galore_adamw trains the weights themselves; leave lora out",
            )
    return _Roles(trained, projected, held & trained.keys())


def _rank(optimizer: Optimizer, roles: _Roles) -> int:
    galore = optimizer.galore or Galore()
    rank = galore_rank(galore, roles.shapes)
    if rank == 0:
        raise CapacityError(
            f"optimizer.galore.memory_gb is {galore.memory_gb}, and at rank 1 the optimizer "
            f"holds {galore_bytes(roles.shapes, 1) / 1e9:.3g}",
            "raise it; most is held for parameters that are not projected, such as the embedding",
        )
    return rank


def _grouped(
    roles: _Roles,
    optimizer: Optimizer,
    decayed: Collection[str],
    special: Collection[str] = (),
    own: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """Groups of equal treatment: with and without weight decay, and `special` with its `own`."""
    groups = []
    for is_special in (False, True):
        for is_decayed in (True, False):
            members = [
                parameter
                for name, parameter in roles.trained.items()
                if (name in special, name in decayed) == (is_special, is_decayed)
            ]
            decay = optimizer.weight_decay if is_decayed else 0.0
            if members:
                group = {"params": members, "weight_decay": decay}
                groups.append(group | dict(own or {}) if is_special else group)
    return groups


def _common(optimizer: Optimizer) -> dict[str, Any]:
    return {
        "lr": optimizer.learning_rate,
        "betas": (optimizer.beta1, optimizer.beta2),
        "eps": optimizer.eps,
    }


def _adamw(roles: _Roles, optimizer: Optimizer, decayed: Collection[str]) -> torch.optim.Optimizer:
    groups = _grouped(roles, optimizer, decayed)
    return torch.optim.AdamW(groups, **_common(optimizer), fused=True)


def _adamw_8bit(
    roles: _Roles, optimizer: Optimizer, decayed: Collection[str]
) -> torch.optim.Optimizer:
    require_8bit(next(iter(roles.trained.values())).device.type)
    from stillhouse.students.eight_bit import EightBitAdamW

    groups = _grouped(roles, optimizer, decayed, roles.embeddings, {"optim_bits": 32})
    return EightBitAdamW(groups, **_common(optimizer))


def _galore(roles: _Roles, optimizer: Optimizer, decayed: Collection[str]) -> torch.optim.Optimizer:
    if any(isinstance(parameter, DTensor) for parameter in roles.trained.values()):
        raise UsageError(
            "galore_adamw needs whole matrices, and the weights are cut over several processes",
            "use optimizer.name: adamw there",
        )
    galore = optimizer.galore or Galore()
    own = {
        "rank": _rank(optimizer, roles),
        "update_gap": galore.update_gap,
        "scale": galore.scale,
    }
    groups = _grouped(roles, optimizer, decayed, roles.projected, own)
    return GaloreAdamW(groups, **_common(optimizer))


_BUILDERS: dict[str, Callable[[_Roles, Optimizer, Collection[str]], torch.optim.Optimizer]] = {
    "adamw": _adamw,
    "adamw_8bit": _adamw_8bit,
    "galore_adamw": _galore,
}
