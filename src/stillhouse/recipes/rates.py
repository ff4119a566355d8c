"""What a machine does in a second, as measured by a probe or guessed from one look; no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

PROBED_ROWS = (1, 8, 64, 512)
PROBED_WIDTHS = (64, 256, 1024, 2048)
"""Rows and widths of the square products that the probe times; others lie between them."""

_EFFICIENCY = 0.55
"""measured: share of the machine's matrix rate that small models reach in training."""

_GUESSED_OP_S = 5e-5
"""measured: a training step's fixed cost a block of 6 ms, copies included, over its operations;
small models on one CPU core."""


@dataclass(frozen=True, slots=True)
class Rates:
    """What one machine does in a second with one dtype and number of threads.

    Attributes:
        products: operations a second of (rows, width) @ (width, width), row by row as in
            `PROBED_ROWS`, along `PROBED_WIDTHS`; a multiplication and an addition are two.
        head_products: likewise of 256 rows @ (width, 16,384), as the loss multiplies them.
        copy_bytes: of a large tensor, copied.
        touch_bytes: of new memory, written for the first time.
        op_s: seconds of a small operation, its call from Python included.
        is_probed: measured; else guessed from one product.
    """

    products: tuple[tuple[float, ...], ...]
    head_products: tuple[float, ...]
    copy_bytes: float
    touch_bytes: float
    op_s: float
    is_probed: bool = True

    @classmethod
    def guessed(cls, flops: float) -> Self:
        """From the rate of one large product alone.

        Args:
            flops: operations a second.

        Returns:
            Rates that depend on no size.
        """
        rate = flops * _EFFICIENCY
        widths = len(PROBED_WIDTHS)
        rows = ((rate,) * widths,) * len(PROBED_ROWS)
        return cls(rows, (rate,) * widths, math.inf, math.inf, _GUESSED_OP_S, is_probed=False)

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Self:
        """What `as_json` gave."""
        return cls(
            tuple(tuple(row) for row in told["products"]),
            tuple(told["head_products"]),
            told["copy_bytes"],
            told["touch_bytes"],
            told["op_s"],
        )

    def product_s(self, rows: float, inputs: float, outputs: float) -> float:
        """Seconds of (rows, inputs) @ (inputs, outputs)."""
        return 2.0 * rows * inputs * outputs / self._flops(rows, math.sqrt(inputs * outputs))

    def head_s(self, rows: float, width: float, vocab: float) -> float:
        """Seconds of (rows, width) @ (width, vocab), as the loss multiplies it."""
        flops = _between(PROBED_WIDTHS, self.head_products, width)
        return 2.0 * rows * width * vocab / flops

    def _flops(self, rows: float, width: float) -> float:
        along = [_between(PROBED_WIDTHS, row, width) for row in self.products]
        return _between(PROBED_ROWS, along, rows)


def _between(places: tuple[int, ...], values: tuple[float, ...] | list[float], at: float) -> float:
    """Interpolated between logarithms; the first and last value beyond the ends."""
    if at <= places[0]:
        return values[0]
    for low, high, first, second in zip(places, places[1:], values, values[1:], strict=False):
        if at <= high:
            share = math.log(at / low) / math.log(high / low)
            return math.exp(math.log(first) * (1 - share) + math.log(second) * share)
    return values[-1]
