"""Which device of this machine a model is put on where nobody's recipe says."""

from __future__ import annotations

import torch

from stillhouse.core.errors import CapacityError

AUTO = "auto"


def find_device(wanted: str = AUTO) -> tuple[str, str]:
    """A device that is there, with the number type that weights have on it.

    Args:
        wanted: `cpu`, `cuda`, `mps`, or `auto` for the fastest of them.

    Returns:
        Device and dtype: bfloat16 on a GPU, float32 elsewhere.

    Raises:
        CapacityError: the device is not there.
    """
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    device = next(name for name, is_there in there.items() if is_there)
    if wanted != AUTO:
        device = wanted
    if not there.get(device):
        found = ", ".join(name for name, is_there in there.items() if is_there)
        raise CapacityError(
            f'there is no device "{wanted}" here: {found}',
            'say device="auto" for the fastest that is there',
        )
    return device, "bfloat16" if device == "cuda" else "float32"
