"""How many parameters a training changes, in closed form from sizes and recipe; no torch.

A matrix of `inputs` by `outputs` gets `rank * (inputs + outputs)`; so does each expert's.
Source: Hu et al. 2021, arXiv:2106.09685, section 4.
"""

from __future__ import annotations

from collections.abc import Iterator

from stillhouse.recipes.module_names import is_named
from stillhouse.recipes.sizes import Linear, Sizes
from stillhouse.recipes.training import Lora

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
    meant = [one for block in range(sizes.layers) for one in adapted(sizes, lora, block)]
    small = sum(lora.rank * (one.inputs + one.outputs) for one in meant)
    biases = {
        "none": 0,
        "lora_only": sum(one.outputs for one in meant if one.has_bias),
        "all": sizes.bias_parameters,
    }
    return small + _of_experts(sizes, lora) + biases[lora.bias]


def block_place(sizes: Sizes, block: int) -> str:
    """The name of a block inside its model, with the dot that ends it."""
    return f"{_BLOCKS.get(sizes.family.layout, 'model.layers')}.{block}."


def adapted(sizes: Sizes, lora: Lora, block: int) -> Iterator[Linear]:
    """The linear layers of a block that get an adapter.

    Args:
        sizes: of the model.
        lora: the recipe's section.
        block: its number.

    Yields:
        In the block's own order.
    """
    place = block_place(sizes, block)
    for one in sizes.linears:
        if lora.modules == "all-linear" or any(
            is_named(place + one.name, pattern) for pattern in lora.modules
        ):
            yield one


def expert_widths(sizes: Sizes) -> dict[str, tuple[int, int]]:
    """Parameters that hold the matrices of every expert, with what goes into and out of one."""
    if sizes.experts == 1:
        return {}
    hidden, inner = sizes.hidden, sizes.inner
    return {"gate_up_proj": (hidden, 2 * inner), "down_proj": (inner, hidden)}


def _of_experts(sizes: Sizes, lora: Lora) -> int:
    meant = 0
    for block in range(sizes.layers):
        for name, widths in expert_widths(sizes).items():
            full = f"{block_place(sizes, block)}mlp.experts.{name}"
            meant += sum(widths) * any(is_named(full, pattern) for pattern in lora.experts)
    return lora.rank * sizes.experts * meant
