"""What a folder may ask of a sibling: engines and progress, passed in by a stage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from stillhouse.core.rows import Completion, Example
from stillhouse.core.sampling import Sampling
from stillhouse.core.targets import TokenTargets


class Progress(Protocol):
    """Where a stage says how far it is; a run shows it, a test may ignore it."""

    def __call__(self, done: int, total: int, unit: str, **values: float) -> None:
        """Say that `done` of `total` units are finished, with current values such as a loss."""


class Generator(Protocol):
    """Whoever completes prompts, local or remote."""

    def generate(self, examples: Sequence[Example], sampling: Sampling) -> Iterator[Completion]:
        """One completion per example, in the order of the examples."""


class Scorer(Protocol):
    """Whoever says how likely *given* text is."""

    def score(self, examples: Iterable[Example]) -> Iterator[TokenTargets]:
        """Targets for every example's trained tokens, in the order of the examples."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One metric of a model as it is now.

    Attributes:
        value: NaN where it is not defined on what was asked.
        is_higher_better: its direction.
    """

    value: float
    is_higher_better: bool


class Examiner(Protocol):
    """Whoever asks a model while it trains."""

    def __call__(self) -> Mapping[str, Reading]:
        """Every metric by its name, of the model as it is now, which stays as it is."""


def no_progress(done: int, total: int, unit: str, **values: float) -> None:
    """Say nothing."""
