"""AdamW whose moments live in a low rank of each matrix's gradient (GaLore).

Its state is tensors alone, so a checkpoint holds all of it: galore-torch keeps objects, which no
safe reader loads, and what stands in for it per layer keeps no state at all.

Legend: S the smaller side of a matrix, L the larger one, R rank.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer
from torch.optim.adamw import adamw


class GaloreAdamW(Optimizer):
    """Plain AdamW on groups of rank 0, and on the others AdamW of the projected gradient.

    A projected group has `rank` (above the smaller side of a matrix it is that side), `update_gap`
    (steps between two projections) and `scale` (of the update) beside AdamW's own settings.
    Weight decay acts on the whole matrix. Both moments are kept from one projection to the next.

    Args:
        groups: of parameters, with what differs from the defaults.
        lr: the learning rate.
        betas: of the two moments.
        eps: added to the square root of the second moment.

    Source: Zhao et al. 2024, arXiv:2403.03507, algorithm 2; the side that is projected is that of
        the authors' code.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float,
    ) -> None:
        # fused: whoever loads a state then puts the count of steps beside the moments.
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": 0.0, "fused": True}
        super().__init__(groups, defaults | {"rank": 0, "update_gap": 1, "scale": 1.0})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # noqa: ARG002
        """Move every parameter that has a gradient.

        Args:
            closure: not used.
        """
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self.move(parameter, group)

    @torch.no_grad()
    def move(self, parameter: Parameter, group: dict[str, Any]) -> None:
        """Take one step of one parameter along its gradient.

        Args:
            parameter: any shape, with a gradient; a matrix where the group has a rank.
            group: its own.
        """
        state = self.state[parameter]
        assert parameter.grad is not None
        if not group["rank"]:
            _adamw(parameter, parameter.grad, state, group, group["weight_decay"])
            return
        gradient_SL = _lying(parameter.grad)
        if not state or int(state["step"]) % group["update_gap"] == 0:
            state["basis"] = leading_directions(gradient_SL, group["rank"])
        basis_SR = state["basis"]
        update_RL = torch.zeros_like(basis_SR.T @ gradient_SL)
        _adamw(update_RL, basis_SR.T @ gradient_SL, state, group, 0.0)
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        _lying(parameter).addmm_(basis_SR, update_RL, alpha=group["scale"])


def leading_directions(matrix_SL: Tensor, rank: int) -> Tensor:
    """The left singular vectors of the largest singular values.

    They are eigenvectors of the small product of the matrix with itself, taken in float64: as
    exact as a singular value decomposition in float32, at a third of its time (measured:
    2048 x 6144 on a CPU core, 2.3 s against 8.7 s).

    Args:
        matrix_SL: (S, L), S <= L.
        rank: R; above S it is S.

    Returns:
        (S, min(R, S)), orthonormal columns, in the order of falling singular values.
    """
    # Apple's GPUs have no float64.
    exact_SL = matrix_SL.cpu() if matrix_SL.device.type == "mps" else matrix_SL
    exact_SL = exact_SL.double()
    vectors_SS = torch.linalg.eigh(exact_SL @ exact_SL.T).eigenvectors
    return vectors_SS[:, -rank:].flip(1).to(matrix_SL).contiguous()


def _lying(matrix: Tensor) -> Tensor:
    """The matrix, or a view of it turned over, so that it has at least as many columns as rows."""
    rows, columns = matrix.shape
    return matrix.T if rows >= columns else matrix


def _adamw(
    parameter: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any], decay: float
) -> None:
    """One step of torch's own AdamW, the same as `optimizer.name: adamw` takes."""
    if "step" not in state:
        state["step"] = torch.zeros((), device=parameter.device)
        state["exp_avg"] = torch.zeros_like(gradient)
        state["exp_avg_sq"] = torch.zeros_like(gradient)
    beta1, beta2 = group["betas"]
    adamw(
        [parameter],
        [gradient],
        [state["exp_avg"]],
        [state["exp_avg_sq"]],
        [],
        [state["step"]],
        fused=True,
        amsgrad=False,
        beta1=beta1,
        beta2=beta2,
        lr=group["lr"],
        weight_decay=decay,
        eps=group["eps"],
        maximize=False,
    )
