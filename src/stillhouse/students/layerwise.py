"""Steps taken during the backward pass, so that no two gradients stand side by side."""

from __future__ import annotations

import math

import torch
from torch.nn import Parameter

from stillhouse.students.galore import GaloreAdamW


class Layerwise:
    """Hooks that move each parameter as soon as its gradient is whole, and free the gradient.

    A parameter's gradient is whole only when everything that reads the parameter has been walked
    through, so no gradient sees a weight that was already moved. The norm over all parameters is
    known only when every gradient is gone: each is shortened to `max_grad_norm` on its own.

    Args:
        optimizer: whose `step` then finds nothing left to do; its state and its learning rates
            stay where checkpoints and schedules look for them.
        max_grad_norm: of one parameter's gradient.
    """

    def __init__(self, optimizer: GaloreAdamW, max_grad_norm: float) -> None:
        self._optimizer = optimizer
        self._max_grad_norm = max_grad_norm
        self._squares = 0.0
        # A state that is loaded brings new groups in the same order.
        self._group_of = {
            parameter: number
            for number, group in enumerate(optimizer.param_groups)
            for parameter in group["params"]
        }
        self._handles = [
            parameter.register_post_accumulate_grad_hook(self._consume)
            for parameter in self._group_of
        ]

    def take_norm(self) -> float:
        """The norm of all gradients of this step before they were shortened; the next starts at 0.

        Returns:
            Not finite where a gradient was not; that one moved nothing.
        """
        norm, self._squares = math.sqrt(self._squares), 0.0
        return norm

    def remove(self) -> None:
        """Take the hooks off the model."""
        for handle in self._handles:
            handle.remove()

    def _consume(self, parameter: Parameter) -> None:
        assert parameter.grad is not None
        norm = float(torch.linalg.vector_norm(parameter.grad))
        self._squares += norm * norm
        if norm > self._max_grad_norm:
            parameter.grad.mul_(self._max_grad_norm / norm)
        if math.isfinite(norm):
            group = self._optimizer.param_groups[self._group_of[parameter]]
            self._optimizer.move(parameter, group)
        parameter.grad = None
