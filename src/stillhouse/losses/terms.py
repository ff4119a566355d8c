"""What is minimised: named loss terms with their weights and the softening that they share."""

from __future__ import annotations

from dataclasses import dataclass

from stillhouse.core.errors import UsageError


@dataclass(frozen=True, slots=True)
class Objective:
    """A weighted sum of loss terms; a term of weight 0 is not computed.

    Attributes:
        forward_kl: weight of KL(teacher || student) against the soft targets, >= 0.
        cross_entropy: weight of the cross-entropy with the observed token, >= 0.
        kd_temperature: softens teacher and student inside the forward KL, > 0, no unit.
        t2_scaling: multiply the forward KL by kd_temperature**2, value and gradient.
    """

    forward_kl: float = 1.0
    cross_entropy: float = 0.0
    kd_temperature: float = 1.0
    t2_scaling: bool = True

    def __post_init__(self) -> None:
        if min(self.forward_kl, self.cross_entropy) < 0 or self.kd_temperature <= 0:
            raise UsageError(f"loss weights must be >= 0 and kd_temperature > 0; got {self}")
        if self.forward_kl == 0 and self.cross_entropy == 0:
            raise UsageError("every loss weight is 0, so nothing would be learned")

    @property
    def kl_factor(self) -> float:
        """What the forward KL is multiplied by: kd_temperature**2, or 1."""
        return self.kd_temperature**2 if self.t2_scaling else 1.0


CROSS_ENTROPY = Objective(forward_kl=0.0, cross_entropy=1.0)
"""Learn the observed tokens alone: fine-tuning a teacher, or sequence-level KD."""
