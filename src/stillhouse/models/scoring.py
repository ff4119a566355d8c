"""How text is scored; read also where torch is not installed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scoring:
    """How text is scored.

    Attributes:
        vocab_size: ids of the tokenizer; rows of the head behind them are padding and get no mass.
        top_k: kept entries a token; at most `vocab_size` are there. 0 keeps none.
        kd_temperatures: at which the log of the partition sum is kept.
        batch_size: examples side by side.
        num_draws: tokens drawn from what the kept entries leave, at the one kd_temperature.
        seed: of the draws.
    """

    vocab_size: int
    top_k: int = 64
    kd_temperatures: tuple[float, ...] = (1.0,)
    batch_size: int = 8
    num_draws: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.num_draws and len(self.kd_temperatures) != 1:
            raise ValueError(f"draws need one kd_temperature, not {self.kd_temperatures}")
