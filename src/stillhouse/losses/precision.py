"""In which float type losses are computed."""

from __future__ import annotations

import torch
from torch import Tensor


def widen(values: Tensor) -> Tensor:
    """`values` (any shape) in float32; float64 stays float64."""
    return values if values.dtype == torch.float64 else values.float()
