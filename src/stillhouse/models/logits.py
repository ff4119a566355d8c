"""The logits of many positions, a chunk of rows at a time in one buffer, and their sums.

Rows are laid out in blocks of ids, so that what is kept of a row can be found from the largest of
each block, and what is drawn from it from each block's sum.

Legend: P positions, N rows of a chunk, V vocabulary, W V rounded up to whole blocks, B ids of a
block, M blocks of a row, H hidden size, K ids of a row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from stillhouse.losses.head import HeadTensors
from stillhouse.losses.products import HeadProducts, Precision

BLOCK = 128
"""measured: with 32 ids a block its maxima cost twice as much, with 256 the entries inside."""

NOTHING = torch.finfo(torch.float32).min
"""The logit of an id that is not there; its exponential is 0."""

_CHUNK_LOGITS = 1 << 25
"""measured: 134 MB in float32; a product of 128 rows of 152k ids takes 1.2 times as long a row as
one of 512, and a fresh buffer for each chunk costs as much as a third of the product."""

_GROUP_LOGITS = 1 << 17
"""measured: 512 KB stay in the cache between the sums; whole chunks take three times as long."""

_LARGEST_EXPONENT = 60.0
"""exp(60) times a vocabulary is far below the largest float32, and exp(-60) far above the
smallest, so that between them no peak has to be subtracted."""


@dataclass(frozen=True, slots=True)
class LogitRows:
    """Logits of some rows; they live in a buffer that the next chunk overwrites.

    Attributes:
        logits_NW: float32, `NOTHING` from V on.
        vocab_size: V.
    """

    logits_NW: Tensor
    vocab_size: int

    def at(self, ids_NK: Tensor) -> Tensor:
        """The logits (N, K) of some ids."""
        return self.logits_NW.gather(1, ids_NK)

    def remove_(self, ids_NK: Tensor) -> None:
        """Take ids out: they get no mass any more."""
        self.logits_NW.scatter_(1, ids_NK, NOTHING)

    def blocks(self, chosen_NK: Tensor) -> Tensor:
        """The logits (N, K, B) of some blocks of each row."""
        return take_blocks(self.logits_NW, chosen_NK, BLOCK)


def take_blocks(values_NW: Tensor, chosen_NK: Tensor, width: int) -> Tensor:
    """Some blocks of each row.

    Args:
        values_NW: (N, W), contiguous; W is a multiple of `width`.
        chosen_NK: (N, K), numbers of blocks, int64.
        width: of a block.

    Returns:
        (N, K, width).
    """
    num_rows, num_values = values_NW.shape
    per_row = num_values // width
    first_N1 = torch.arange(num_rows, device=values_NW.device)[:, None] * per_row
    flat = (chosen_NK + first_N1).flatten()
    taken = values_NW.view(-1, width).index_select(0, flat)
    return taken.view(num_rows, chosen_NK.shape[1], width)


class LogitReader:
    """A head that hidden states meet a chunk at a time.

    Args:
        head: its weights are widened once where products of this device want float32.
        dtype: of the hidden states.
    """

    def __init__(self, head: HeadTensors, dtype: torch.dtype) -> None:
        device = head.weight_VH.device
        self._precision = Precision.of(torch.empty(0, dtype=dtype, device=device))
        self._head = replace(head, weight_VH=head.weight_VH.to(self._precision.product))
        self._width = -(-head.num_used // BLOCK) * BLOCK
        self._buffer = torch.empty(0, device=device)

    def read(self, hidden_PH: Tensor) -> Iterator[tuple[slice, LogitRows]]:
        """The logits of all rows, a chunk at a time.

        Args:
            hidden_PH: (P, H), on the head's device.

        Yields:
            Which rows, and their logits, soft cap included.
        """
        low_rank = self._head.low_rank
        shrunk = None if low_rank is None else low_rank.shrink(hidden_PH)
        products = HeadProducts(self._head, hidden_PH, shrunk, self._precision)
        step = max(1, _CHUNK_LOGITS // self._width)
        for start in range(0, len(hidden_PH), step):
            rows = slice(start, min(start + step, len(hidden_PH)))
            logits_NW = self._room(rows.stop - rows.start)
            used = logits_NW[:, : self._head.num_used]
            products.logits_(rows, used)
            cap = self._head.logit_softcap
            if cap is not None:
                used.div_(cap).tanh_().mul_(cap)
            logits_NW[:, self._head.num_used :] = NOTHING
            yield rows, LogitRows(logits_NW, self._head.num_used)

    def _room(self, num_rows: int) -> Tensor:
        size = num_rows * self._width
        if self._buffer.numel() < size:
            self._buffer = self._buffer.new_empty(size)
        return self._buffer[:size].view(num_rows, self._width)


@dataclass(frozen=True, slots=True)
class Partition:
    """Sums of exponentials of rows at one temperature T.

    Attributes:
        temperature: T.
        shift_N: what was taken from logits / T before their exponentials; most often 0.
        sums_NM: of each block, or (N, 1) of whole rows.
        weighted_N: sum of exponential * logit / T, or None.
    """

    temperature: float
    shift_N: Tensor
    sums_NM: Tensor
    weighted_N: Tensor | None = None

    @property
    def log_z_N(self) -> Tensor:
        """The log of the sum of exp(logit / T), nats, float64 on the CPU."""
        return self.shift_N.cpu().double() + self.sums_NM.cpu().double().sum(1).log()

    @property
    def entropy_N(self) -> Tensor:
        """Of the softmax at T, nats, float64 on the CPU; needs `weighted_N`."""
        assert self.weighted_N is not None
        totals_N = self.sums_NM.cpu().double().sum(1)
        # Apple's GPUs have no float64, so the last steps are made beside the model.
        mean_N = self.weighted_N.cpu().double() / totals_N
        return (self.log_z_N - mean_N).clamp_min(0)


@dataclass(frozen=True, slots=True)
class RowSums:
    """What one look at each row gives.

    Attributes:
        maxima_NM: the largest logit of each block.
        partitions: one for each temperature that was asked for.
    """

    maxima_NM: Tensor
    partitions: tuple[Partition, ...]


def sum_rows(
    rows: LogitRows, temperatures: tuple[float, ...], *, in_blocks: float | None = None
) -> RowSums:
    """Maxima and partition sums of rows, a few rows at a time while they are in the cache.

    Args:
        rows: the logits.
        temperatures: of the partitions, > 0.
        in_blocks: the temperature whose sums are kept block by block, with what its entropy needs.

    Returns:
        Sums in float32.
    """
    logits_NW = rows.logits_NW
    on_cpu = logits_NW.device.type == "cpu"
    step = max(1, _GROUP_LOGITS // logits_NW.shape[1]) if on_cpu else len(logits_NW)
    scratch = torch.empty_like(logits_NW[:step])
    maxima, found = [], []
    for group_nW in logits_NW.split(step):
        maxima_nM = group_nW.unflatten(1, (-1, BLOCK)).amax(2)
        maxima.append(maxima_nM)
        peak_n = maxima_nM.amax(1)
        found.append(
            [
                _partition(group_nW, peak_n, scratch[: len(group_nW)], each, each == in_blocks)
                for each in temperatures
            ]
        )
    return RowSums(torch.cat(maxima), tuple(map(_join, zip(*found, strict=True))))


def _partition(
    logits_nW: Tensor, peak_n: Tensor, scratch_nW: Tensor, temperature: float, in_blocks: bool
) -> Partition:
    shift_n = peak_n / temperature
    shift_n = torch.where(shift_n.abs() > _LARGEST_EXPONENT, shift_n, 0.0)
    exponentials(logits_nW, shift_n, temperature, scratch_nW)
    if not in_blocks:
        return Partition(temperature, shift_n, scratch_nW.sum(1, keepdim=True))
    sums_nM = scratch_nW.unflatten(1, (-1, BLOCK)).sum(2)
    weighted_n = scratch_nW.mul_(logits_nW).sum(1).div_(temperature)
    return Partition(temperature, shift_n, sums_nM, weighted_n)


def exponentials(logits: Tensor, shift_n: Tensor, temperature: float, out: Tensor) -> None:
    """Write exp(logits / temperature - shift) into `out`.

    Args:
        logits: (n, ...) float32.
        shift_n: (n,), of each row.
        temperature: > 0.
        out: of the logits' shape; may be the logits.
    """
    source = logits if temperature == 1.0 else torch.div(logits, temperature, out=out)
    if bool(shift_n.any()):
        source = torch.sub(source, shift_n.view(-1, *[1] * (logits.ndim - 1)), out=out)
    torch.exp(source, out=out)


def _join(parts: tuple[Partition, ...]) -> Partition:
    weighted = [part.weighted_N for part in parts if part.weighted_N is not None]
    return Partition(
        parts[0].temperature,
        torch.cat([part.shift_N for part in parts]),
        torch.cat([part.sums_NM for part in parts]),
        torch.cat(weighted) if weighted else None,
    )
