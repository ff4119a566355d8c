"""Which parameters a training changes, in closed form from sizes and recipe; no torch.

A matrix of `inputs` by `outputs` gets `rank * (inputs + outputs)`; so does each expert's.
Source: Hu et al. 2021, arXiv:2106.09685, section 4.
"""

from __future__ import annotations

from collections.abc import Iterator

from stillhouse.recipes.module_names import is_named
from stillhouse.recipes.optimizer_state import Trained
from stillhouse.recipes.sizes import Linear, Sizes
from stillhouse.recipes.training import Galore, Lora, Training

_BLOCKS = {"gpt2": "transformer.h", "gpt_neox": "gpt_neox.layers"}


def trainable_parameters(sizes: Sizes, lora: Lora | None) -> int:
    """What training changes: an adapter with the biases that learn beside it, or every weight.

    Args:
        sizes: of the model.
        lora: the recipe's section.

    Returns:
        The exact number for the families of `recipes.families`.
    """
    if lora is None:
        return sizes.parameters
    adapted = [one for block in range(sizes.layers) for one in _named(sizes, lora.modules, block)]
    small = sum(lora.rank * (one.inputs + one.outputs) for one in adapted)
    biases = {
        "none": 0,
        "lora_only": sum(one.outputs for one in adapted if one.has_bias),
        "all": sizes.bias_parameters,
    }
    return small + _of_experts(sizes, lora) + biases[lora.bias]


def trained_shapes(sizes: Sizes, training: Training) -> Trained:
    """The same, as an optimizer sees them.

    Args:
        sizes: of the model.
        training: the recipe's section.

    Returns:
        Exact where matrices and embeddings are concerned; vectors are as many as they are and cut
        as wide as the model, so that the count of them is near.
    """
    if training.lora:
        whole = trainable_parameters(sizes, training.lora)
        lora = training.lora
        sides = [
            lora.rank * side
            for block in range(sizes.layers)
            for one in _named(sizes, lora.modules, block)
            for side in (one.inputs, one.outputs)
        ]
        return Trained(others=(*sides, *_vectors(whole - sum(sides), sizes)))
    galore, name = training.optimizer.galore or Galore(), training.optimizer.name
    matrices, others = [], []
    for block in range(sizes.layers):
        projected = list(_named(sizes, galore.modules, block)) if name == "galore_adamw" else []
        matrices += [(one.inputs, one.outputs) for one in projected]
        others += [one.weights for one in sizes.linears if one not in projected]
    tables = [sizes.head_parameters, *([sizes.positions * sizes.hidden] if sizes.positions else [])]
    others += [] if sizes.tied else [sizes.head_parameters]
    experts = sizes.experts * sizes.expert_parameters if sizes.experts > 1 else 0
    others += [experts] * sizes.layers if experts else []
    known = sum(rows * columns for rows, columns in matrices) + sum(others) + sum(tables)
    rest = _vectors(sizes.parameters - known, sizes)
    return Trained(tuple(matrices), tuple(tables), (*others, *rest))


def _vectors(numbers: int, sizes: Sizes) -> list[int]:
    """So many numbers, in pieces as wide as the model."""
    whole, left = divmod(max(0, numbers), sizes.hidden)
    return [sizes.hidden] * whole + ([left] if left else [])


def _named(sizes: Sizes, modules: str | tuple[str, ...], block: int) -> Iterator[Linear]:
    """The linear layers of a block that a recipe means."""
    place = f"{_BLOCKS.get(sizes.family.layout, 'model.layers')}.{block}."
    for one in sizes.linears:
        if modules == "all-linear" or any(is_named(place + one.name, it) for it in modules):
            yield one


def _of_experts(sizes: Sizes, lora: Lora) -> int:
    """Of matrices that hold every expert of a block: those of gate and up in one, and of down."""
    hidden, inner = sizes.hidden, sizes.inner
    each = {"gate_up_proj": hidden + 2 * inner, "down_proj": inner + hidden}
    meant = 0
    for block in range(sizes.layers):
        for name, width in each.items():
            full = f"model.layers.{block}.mlp.experts.{name}"
            meant += width * any(is_named(full, pattern) for pattern in lora.experts)
    return lora.rank * sizes.experts * meant
