"""What is minimised: named loss terms with their weights and the softening that they share."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from stillhouse.core.errors import UsageError
from stillhouse.losses.divergences import Divergence, ForwardKL

CE = "cross_entropy"
"""The name of the one term that needs no teacher."""
CLASS_KL = "class_kl"
"""The name of the one term that is counted by examples, and not by tokens."""


@dataclass(frozen=True, slots=True)
class Objective:
    """A weighted sum of loss terms; a term of weight 0 is not computed.

    Attributes:
        divergences: (divergence, weight) pairs, weights >= 0, one pair a name.
        cross_entropy: weight of the cross-entropy with the observed token, >= 0.
        class_kl: weight of KL(teacher || student) over named answers, >= 0; it stands beside the
            cross-entropy alone.
        kd_temperature: softens teacher and student inside every divergence, > 0, no unit; the
            cross-entropy stays at 1.
        t2_scaling: multiply the divergences by kd_temperature**2, value and gradient.
    """

    divergences: tuple[tuple[Divergence, float], ...] = ((ForwardKL(), 1.0),)
    cross_entropy: float = 0.0
    kd_temperature: float = 1.0
    t2_scaling: bool = True
    class_kl: float = 0.0

    def __post_init__(self) -> None:
        names = [divergence.name for divergence, _ in self.divergences]
        if len(set(names)) < len(names):
            raise UsageError(f"a loss term stands twice in {', '.join(names)}; add its weights")
        numbers = (self.cross_entropy, self.class_kl, *(weight for _, weight in self.divergences))
        # written so that NaN is refused too
        is_sane = min(numbers) >= 0 and self.kd_temperature > 0
        if not is_sane or not all(map(math.isfinite, (*numbers, self.kd_temperature))):
            raise UsageError(
                f"loss weights must be >= 0 and kd_temperature > 0, all finite; got {self}"
            )
        if not any(numbers):
            raise UsageError("every loss weight is 0, so nothing would be learned")
        if self.class_kl and self.active:
            others = ", ".join(divergence.name for divergence, _ in self.active)
            raise UsageError(
                f"class_kl is learned from whole answers, {others} from tokens, and an example has "
                "targets of one kind",
                "leave one of them out",
            )

    @property
    def active(self) -> tuple[tuple[Divergence, float], ...]:
        """The divergences of a weight above 0."""
        return tuple(pair for pair in self.divergences if pair[1] > 0)

    @property
    def weights(self) -> dict[str, float]:
        """Name -> weight of every term above 0, divergences first."""
        named = {divergence.name: weight for divergence, weight in self.active}
        named |= {CLASS_KL: self.class_kl} if self.class_kl > 0 else {}
        return named | ({CE: self.cross_entropy} if self.cross_entropy > 0 else {})

    @property
    def needs_teacher(self) -> bool:
        """Whether a divergence is minimised, so that soft targets or a live teacher are needed."""
        return bool(self.active)

    @property
    def not_linear(self) -> tuple[str, ...]:
        """Names of the active terms that tokens drawn from the teacher cannot give unbiased."""
        return tuple(divergence.name for divergence, _ in self.active if not divergence.is_linear)

    @property
    def kd_factor(self) -> float:
        """What the divergences are multiplied by: kd_temperature**2, or 1."""
        return self.kd_temperature**2 if self.t2_scaling else 1.0


@dataclass(frozen=True, slots=True)
class UnitWeights:
    """Final weights of what is counted, each most often 1 / (their number in the global batch).

    Attributes:
        token: of each trained token; of answers that are classes, of each token of the hard one.
        example: of each example that `class_kl` is taken of.
    """

    token: float | Tensor
    example: float | Tensor = 0.0


CROSS_ENTROPY = Objective(divergences=(), cross_entropy=1.0)
"""Learn the observed tokens alone: fine-tuning a teacher, or sequence-level KD."""
