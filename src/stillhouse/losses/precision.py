"""In which float type losses are computed."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from stillhouse.core.errors import UsageError


def require_temperature(kd_temperature: float) -> None:
    """Say nothing when it can divide logits.

    Args:
        kd_temperature: > 0, no unit.

    Raises:
        UsageError: it is 0, negative, infinite or NaN.
    """
    if not 0 < kd_temperature < math.inf:
        raise UsageError(f"kd_temperature is {kd_temperature}; it must be above 0 and finite")


def widen(values: Tensor) -> Tensor:
    """`values` (any shape) in float32; float64 stays float64."""
    return values if values.dtype == torch.float64 else values.float()
