"""Matrix products of a head with chunks of hidden states: logits forward, gradients back.

Legend: N tokens, n tokens of one chunk, H hidden size, V vocabulary, r rank of an adapter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from stillhouse.losses.divergences import LOWEST_LOGPROB
from stillhouse.losses.head import HeadTensors
from stillhouse.losses.onednn import Way, multiplied, onednn_offers

_BLOCK_ROWS = 8192
"""assumption: rows of a half-precision head that are widened at once, 8 MB at H 256."""


@dataclass(frozen=True, slots=True)
class Precision:
    """Types of one fused loss.

    Attributes:
        softmax: everything but products: float32, float64 for float64 input.
        product: of the tensors that are multiplied.
        way: how float32 tensors are multiplied.
    """

    softmax: torch.dtype
    product: torch.dtype
    way: Way = "default"

    @classmethod
    def of(cls, hidden: Tensor) -> Precision:
        """The precision that hidden states (..., H) and a surrounding autocast ask for."""
        device = hidden.device.type
        softmax = torch.float64 if hidden.dtype == torch.float64 else torch.float32
        wanted = hidden.dtype
        if torch.is_autocast_enabled(device):
            wanted = torch.get_autocast_dtype(device)
        if device == "cpu":
            return cls(softmax, softmax, _way_on_cpu(softmax, wanted))
        return cls(softmax, wanted)

    @property
    def is_narrow(self) -> bool:
        """Whether products are made of fewer bits than the softmax."""
        return self.way == "onednn bfloat16" or self.product != self.softmax


def _way_on_cpu(softmax: torch.dtype, wanted: torch.dtype) -> Way:
    offered = onednn_offers("cpu")
    if softmax != torch.float32 or (offered == "onednn bfloat16" and wanted != torch.bfloat16):
        return "default"
    return offered


@dataclass(slots=True)
class Gradients:
    """Gradients of the loss, grown chunk by chunk; None where none is wanted.

    Attributes:
        hidden_NH: (N, H).
        weight_VH: (V, H), zeros in padded rows.
        bias_V: (V,).
        shrunk_Nr: (N, r), at the inner factor of the head's adapter.
        up_Vr: (V, r), at the adapter's outer matrix.
    """

    hidden_NH: Tensor | None = None
    weight_VH: Tensor | None = None
    bias_V: Tensor | None = None
    shrunk_Nr: Tensor | None = None
    up_Vr: Tensor | None = None

    @classmethod
    def like(
        cls, tensors: tuple[Tensor | None, ...], wanted: list[bool], dtype: torch.dtype
    ) -> Gradients:
        """Room for the gradients of (hidden, weight, bias, shrunk, up) that are wanted."""
        return cls(
            *(
                torch.empty(tensor.shape, dtype=dtype, device=tensor.device)
                if is_wanted and tensor is not None
                else None
                for tensor, is_wanted in zip(tensors, wanted, strict=True)
            )
        )

    def all(self) -> tuple[Tensor | None, ...]:
        """In the order of `like`."""
        return self.hidden_NH, self.weight_VH, self.bias_V, self.shrunk_Nr, self.up_Vr


@dataclass(slots=True)
class HeadProducts:
    """One head with all hidden states that meet it.

    Attributes:
        head: weight, bias and scale; the soft cap is not applied here.
        hidden_NH: (N, H).
        shrunk_Nr: (N, r), inner factor of the head's adapter, or None.
        precision: types of the products.
        gradients: grown by `add`.
    """

    head: HeadTensors
    hidden_NH: Tensor
    shrunk_Nr: Tensor | None
    precision: Precision
    gradients: Gradients = field(default_factory=Gradients)

    def __post_init__(self) -> None:
        self.hidden_NH = self.hidden_NH.detach().to(self.precision.product)
        if self.shrunk_Nr is not None:
            self.shrunk_Nr = self.shrunk_Nr.detach().to(self.precision.product)

    def logits_(self, rows: slice, out_nV: Tensor) -> None:
        """Write the scaled logits of some rows, before any soft cap, into `out_nV` (n, V)."""
        head, low_rank, shrunk_Nr = self.head, self.head.low_rank, self.shrunk_Nr
        for place, weight_vH in self._blocks(head.weight_VH):
            part_nv = out_nV[:, place]
            self._add(part_nv, self.hidden_NH[rows], weight_vH.T, 0)
        if low_rank is not None and shrunk_Nr is not None:
            for place, up_vr in self._blocks(low_rank.up_Vr):
                self._add(out_nV[:, place], shrunk_Nr[rows], up_vr.T, 1)
        if head.bias_V is not None:
            # A bias of -inf forbids a token; finite, it cannot turn 0 * inf into NaN.
            bias_V = head.bias_V.detach()[: head.num_used].to(out_nV.dtype)
            bias_V = bias_V.clamp_min(LOWEST_LOGPROB)
            out_nV.add_(bias_V, alpha=head.logit_scale)

    def add(self, gradient_nV: Tensor, rows: slice) -> None:
        """Carry the gradient (n, V) at some rows' logits on; the first rows must come first."""
        head, out, scale = self.head, self.gradients, self.head.logit_scale
        keep = 1 if rows.start else 0
        narrow_nV = gradient_nV.to(self.precision.product)
        if out.hidden_NH is not None:
            self._back(narrow_nV, head.weight_VH, out.hidden_NH[rows])
        if out.weight_VH is not None:
            used_VH = out.weight_VH[: head.num_used]
            self._add(used_VH, narrow_nV.T, self.hidden_NH[rows], keep)
        if out.shrunk_Nr is not None and head.low_rank is not None:
            self._back(narrow_nV, head.low_rank.up_Vr, out.shrunk_Nr[rows])
        if out.up_Vr is not None and self.shrunk_Nr is not None:
            used_Vr = out.up_Vr[: head.num_used]
            self._add(used_Vr, narrow_nV.T, self.shrunk_Nr[rows], keep)
        if out.bias_V is not None:
            part_V = gradient_nV.sum(0).mul_(scale)
            used_V = out.bias_V[: head.num_used]
            used_V.add_(part_V) if keep else used_V.copy_(part_V)

    def close(self) -> None:
        """Fill what no row has written: padded rows, and everything where there were no rows."""
        num_used = self.head.num_used if len(self.hidden_NH) else 0
        out = self.gradients
        for gradient in (out.weight_VH, out.bias_V, out.up_Vr):
            if gradient is not None:
                gradient[num_used:] = 0

    def _back(self, gradient_nV: Tensor, weight: Tensor, out_n: Tensor) -> None:
        for place, block in self._blocks(weight):
            keep = 1 if place.start else 0
            self._add(out_n, gradient_nV[:, place], block, keep)

    def _add(self, out: Tensor, left: Tensor, right: Tensor, keep: int) -> None:
        """Make `out` keep * out + logit_scale * left @ right."""
        with multiplied(self.precision.way, left.shape[0] * left.shape[1] * right.shape[1]):
            _add_product(out, left, right, self.head.logit_scale, keep)

    def _blocks(self, weight: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """The rows in use, in the products' type; widened block by block, never all at once."""
        used = self.head.num_used
        weight = weight.detach()
        step = used if weight.dtype == self.precision.product else _BLOCK_ROWS
        for start in range(0, used, step):
            place = slice(start, min(start + step, used))
            yield place, weight[place].to(self.precision.product)


def _add_product(out: Tensor, left: Tensor, right: Tensor, scale: float, keep: int) -> None:
    """Make `out` keep * out + scale * left @ right; it may be wider than the factors."""
    if out.dtype != left.dtype:
        product = (left @ right).mul_(scale)
        out.copy_(product) if not keep else out.add_(product)
    elif keep == 0 and scale == 1:
        torch.mm(left, right, out=out)
    else:
        torch.addmm(out, left, right, beta=keep, alpha=scale, out=out)
