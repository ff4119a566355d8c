"""A ten-second probe: how fast this machine multiplies, copies and calls, in one dtype.

Run as a module it writes the rates into a file, so that who asks needs no torch.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stillhouse.core.files import write_json
from stillhouse.losses.onednn import multiplied
from stillhouse.losses.products import Precision
from stillhouse.recipes.rates import PROBED_ROWS, PROBED_WIDTHS

_BUDGET_S = 10.0
_HEAD_ROWS, _HEAD_VOCAB = 256, 16_384
_LARGE = 16 << 20
"""Numbers of the tensor that is copied: far above any cache."""
_SMALL = (8, 64)


def measure_rates(device: str, dtype: str, budget_s: float = _BUDGET_S) -> dict[str, Any]:
    """The rates of a device, as `recipes.rates.Rates` reads them.

    Args:
        device: as torch names it.
        dtype: of products: float32, or bfloat16 under autocast.
        budget_s: seconds in all.

    Returns:
        Plain values.
    """
    kind = torch.bfloat16 if dtype == "bfloat16" else torch.float32
    each = budget_s / (len(PROBED_ROWS) * len(PROBED_WIDTHS) + len(PROBED_WIDTHS) + 3)
    clock = _Clock(device, each)

    def product(rows: int, width: int) -> float:
        left = torch.ones(rows, width, dtype=kind, device=device)
        right = torch.ones(width, width, dtype=kind, device=device).T
        return 2.0 * rows * width**2 / clock.seconds(lambda: left @ right)

    large = torch.ones(_LARGE, device=device)
    target = torch.empty_like(large)
    small = torch.ones(_SMALL, device=device)
    size = 4.0 * _LARGE
    return {
        "products": [[product(rows, width) for width in PROBED_WIDTHS] for rows in PROBED_ROWS],
        "head_products": [_head(width, kind, device, clock) for width in PROBED_WIDTHS],
        "copy_bytes": size / clock.seconds(lambda: target.copy_(large)),
        "touch_bytes": size / clock.seconds(lambda: torch.empty(_LARGE, device=device).fill_(1.0)),
        "op_s": clock.seconds(lambda: small + small),
    }


def _head(width: int, kind: torch.dtype, device: str, clock: _Clock) -> float:
    """Of a product with an output head, as the fused loss makes it."""
    hidden = torch.ones(_HEAD_ROWS, width, device=device)
    weight = torch.ones(_HEAD_VOCAB, width, device=device)
    with torch.autocast(device, kind, enabled=kind == torch.bfloat16):
        precision = Precision.of(hidden)
    left, right = hidden.to(precision.product), weight.to(precision.product).T
    operations = 2.0 * _HEAD_ROWS * width * _HEAD_VOCAB
    with multiplied(precision.way, _HEAD_ROWS * width * _HEAD_VOCAB):
        return operations / clock.seconds(lambda: left @ right)


class _Clock:
    """The median time of an action over a share of the budget.

    Args:
        device: waited for, where it works on by itself.
        budget_s: seconds of one measurement.
    """

    def __init__(self, device: str, budget_s: float) -> None:
        self._wait = {"cuda": torch.cuda.synchronize, "mps": torch.mps.synchronize}.get(
            device.partition(":")[0], lambda: None
        )
        self._budget_s = budget_s

    def seconds(self, action: Callable[[], Tensor]) -> float:
        """Of one call, at the median of nine rounds."""
        action()
        count = 1
        while (taken := self._round(action, count)) < self._budget_s / 20:
            count *= 2 if taken > self._budget_s / 80 else 4
        rounds = sorted(self._round(action, count) / count for _ in range(9))
        return rounds[4]

    def _round(self, action: Callable[[], Tensor], count: int) -> float:
        self._wait()
        began = time.perf_counter()
        for _ in range(count):
            action()
        self._wait()
        return time.perf_counter() - began


def main() -> None:
    """Probe as told by one argument, JSON: `device`, `dtype`, `threads` and the file `to`."""
    told = json.loads(sys.argv[1])
    torch.set_num_threads(told["threads"])
    with torch.no_grad():
        found = measure_rates(told["device"], told["dtype"], told.get("budget_s", _BUDGET_S))
    write_json(Path(told["to"]), found)


if __name__ == "__main__":
    main()
