"""The shapes of what an optimizer moves, from sizes and recipe; no torch."""

from __future__ import annotations

from collections.abc import Iterator

from stillhouse.recipes.module_names import is_named
from stillhouse.recipes.optimizer_state import Trained, state_bytes
from stillhouse.recipes.sizes import Linear, Sizes
from stillhouse.recipes.trainable import adapted, block_place, trainable_parameters
from stillhouse.recipes.training import Galore, Training


def optimizer_bytes(sizes: Sizes, training: Training) -> int:
    """Bytes of the optimizer's state in the training of a model.

    Args:
        sizes: of the model.
        training: the recipe's section.

    Returns:
        By the closed formula of `optimizer_state.state_bytes`.
    """
    return state_bytes(training.optimizer, trained_shapes(sizes, training))


def trained_shapes(sizes: Sizes, training: Training) -> Trained:
    """What the optimizer of a training moves.

    Args:
        sizes: of the model.
        training: the recipe's section.

    Returns:
        Matrices that GaLore projects, embeddings, and all others.
    """
    if training.lora:
        return Trained(others=tuple(_of_adapter(sizes, training)))
    tables = [sizes.head_parameters]
    tables += [sizes.positions * sizes.hidden] if sizes.positions else []
    projected = tuple(_projected(sizes, training))
    rest = list(_rest(sizes, training))
    left = sizes.parameters - sum(tables) - sum(r * c for r, c in projected) - sum(rest)
    return Trained(projected, tuple(tables), (*rest, left))


def _of_adapter(sizes: Sizes, training: Training) -> Iterator[int]:
    lora = training.lora
    assert lora is not None
    known = 0
    for block in range(sizes.layers):
        for one in adapted(sizes, lora, block):
            for width in (one.inputs, one.outputs):
                known += lora.rank * width
                yield lora.rank * width
    left = trainable_parameters(sizes, lora) - known
    if left:
        yield left


def _projected(sizes: Sizes, training: Training) -> Iterator[tuple[int, int]]:
    if training.optimizer.name != "galore_adamw":
        return
    modules = (training.optimizer.galore or Galore()).modules
    for block in range(sizes.layers):
        place = block_place(sizes, block)
        for one in sizes.linears:
            if modules == "all-linear" or any(is_named(place + one.name, m) for m in modules):
                yield _shape(sizes, one)


def _rest(sizes: Sizes, training: Training) -> Iterator[int]:
    """Matrices and fused experts that are not projected, one by one: 8 bits are for large ones."""
    if training.optimizer.name == "galore_adamw":
        return
    for _ in range(sizes.layers):
        yield from (one.weights for one in sizes.linears)
        if sizes.experts > 1:
            yield 2 * sizes.experts * sizes.hidden * sizes.inner
            yield sizes.experts * sizes.hidden * sizes.inner
    if not sizes.tied:
        yield sizes.head_parameters


def _shape(sizes: Sizes, one: Linear) -> tuple[int, int]:
    """Rows and columns as they are stored; GPT-2 stores its layers turned over."""
    is_turned = sizes.family.layout == "gpt2"
    return (one.inputs, one.outputs) if is_turned else (one.outputs, one.inputs)
