"""Whether what `lora` names is there, and large enough for its rank, by a config alone.

Of architectures that are not known here it says nothing: the model itself answers when it is
loaded (`models.adapters`).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence

from stillhouse.recipes.families import PLAIN
from stillhouse.recipes.module_names import is_named, last_name
from stillhouse.recipes.problem import Problem
from stillhouse.recipes.sizes import Sizes
from stillhouse.recipes.trainable import block_place, expert_widths
from stillhouse.recipes.training import Lora


def adapter_problems(sizes: Sizes, lora: Lora) -> Iterator[Problem]:
    """What no model of these sizes can take.

    Args:
        sizes: of the model.
        lora: the recipe's section.

    Yields:
        A problem of `modules`, `experts` or `rank`.
    """
    if sizes.family is PLAIN:
        return
    places = [block_place(sizes, block) for block in range(sizes.layers)]
    linear = {
        place + one.name: (one.inputs, one.outputs) for place in places for one in sizes.linears
    }
    fused = {
        f"{place}mlp.experts.{name}": size
        for place in places
        for name, size in expert_widths(sizes).items()
    }
    modules = () if lora.modules == "all-linear" else lora.modules
    unknown = [
        *_unknown("modules", modules, linear, "linear layer below the head"),
        *_unknown("experts", lora.experts, fused, "parameter that holds experts"),
    ]
    yield from unknown
    meant = _meant(linear, modules or (list(linear) if lora.modules else ()))
    meant |= _meant(fused, lora.experts)
    if meant and not unknown:
        smallest = min(meant, key=lambda name: min(meant[name]))
        if lora.rank > min(meant[smallest]):
            yield Problem(
                "rank",
                f"{lora.rank}, but {smallest} is {meant[smallest]}: an adapter of rank "
                f"{min(meant[smallest])} or more is as large as the matrix itself",
            )


def _unknown(
    key: str, patterns: Sequence[str], known: Mapping[str, object], what: str
) -> Iterator[Problem]:
    for pattern in patterns:
        if not any(is_named(name, pattern) for name in known):
            ends = sorted({last_name(name) for name in known})
            near = difflib.get_close_matches(pattern, ends, n=3, cutoff=0.4) or ends
            mend = f"there are {', '.join(near)}" if near else "this model has none"
            yield Problem(key, f"{pattern!r} matches no {what}: {mend}")


def _meant(
    known: Mapping[str, tuple[int, int]], patterns: Sequence[str]
) -> dict[str, tuple[int, int]]:
    return {
        name: size
        for name, size in known.items()
        if any(is_named(name, pattern) for pattern in patterns)
    }
