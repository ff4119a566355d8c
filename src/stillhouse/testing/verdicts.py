"""A law, what it found about one loss, and the report over all laws."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

LossT = TypeVar("LossT")
_WIDTH = 120


class Outcome(StrEnum):
    """What a law says of a loss."""

    HOLDS = "holds"
    FAILS = "fails"
    NOT_APPLICABLE = "does not apply"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a law measured: it holds where `worst` is a number and at most `bound`.

    Attributes:
        worst: the largest deviation that was seen.
        bound: the largest that is allowed.
        detail: what was compared, and where the worst was seen.
    """

    worst: float
    bound: float
    detail: str

    @classmethod
    def at_temperatures(cls, found: dict[float, float], bound: float, what: str) -> Finding:
        """The worst of deviations by kd_temperature; NaN is worse than any number."""
        worst = max(found, key=lambda t: (math.isnan(found[t]), found[t]))
        return cls(found[worst], bound, f"{what}, worst at T = {worst:g}")


@dataclass(frozen=True, slots=True)
class Verdict:
    """One law's answer about one loss.

    Attributes:
        law: the law's name.
        outcome: holds, fails or does not apply.
        worst: the largest deviation that was seen; NaN where nothing could be measured.
        bound: the largest that is allowed.
        detail: what was compared; why it failed to run; or why the law does not apply.
        error: what the loss raised, if it did.
    """

    law: str
    outcome: Outcome
    worst: float
    bound: float
    detail: str
    error: Exception | None = None

    def require(self) -> None:
        """Pass where the law holds or does not apply.

        Raises:
            AssertionError: the law fails; the text says by how much.
        """
        if self.outcome is Outcome.FAILS:
            raise AssertionError(str(self)) from self.error

    def __str__(self) -> str:
        if self.outcome is Outcome.NOT_APPLICABLE:
            return f"{self.law} does not apply: {self.detail}"
        numbers = f"worst {self.worst:.3g}, bound {self.bound:.3g}"
        return f"{self.law} {self.outcome}: {numbers}; {self.detail}"


@dataclass(frozen=True, slots=True)
class Law(Generic[LossT]):
    """One statement that is true of every loss that keeps its claims.

    Attributes:
        name: short, snake case; what a report and a test id show.
        statement: the law in one sentence.
        measure: compares; gets the loss and may raise what the loss raises.
        absent: why the law does not apply to the claims; empty where it does.
    """

    name: str
    statement: str
    measure: Callable[[LossT], Finding]
    absent: str = ""

    def check(self, loss: LossT) -> Verdict:
        """Put `loss` on trial; an exception that it raises is a failure, not a crash.

        Args:
            loss: in the form that the claims belong to.

        Returns:
            The verdict, with the worst that was seen.
        """
        nothing = float("nan")
        if self.absent:
            return Verdict(self.name, Outcome.NOT_APPLICABLE, nothing, nothing, self.absent)
        try:
            found = self.measure(loss)
        except Exception as error:
            text = f"raised {type(error).__name__}: {error}"
            return Verdict(self.name, Outcome.FAILS, nothing, nothing, text, error)
        outcome = Outcome.HOLDS if found.worst <= found.bound else Outcome.FAILS
        return Verdict(self.name, outcome, found.worst, found.bound, found.detail)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Report:
    """Every law's verdict on one loss.

    Attributes:
        verdicts: in the order of the laws.
    """

    verdicts: tuple[Verdict, ...]

    @property
    def failures(self) -> tuple[Verdict, ...]:
        """The verdicts of the laws that the loss breaks."""
        return tuple(one for one in self.verdicts if one.outcome is Outcome.FAILS)

    def require(self) -> None:
        """Pass where no law fails.

        Raises:
            AssertionError: at least one does; the text is the table.
        """
        if self.failures:
            raise AssertionError(f"{len(self.failures)} laws fail\n{self}")

    def __str__(self) -> str:
        width = max((len(verdict.law) for verdict in self.verdicts), default=0)
        return "\n".join(_line(verdict, width) for verdict in self.verdicts)


def _line(verdict: Verdict, width: int) -> str:
    if verdict.outcome is Outcome.NOT_APPLICABLE:
        text = verdict.detail
    elif verdict.outcome is Outcome.HOLDS:
        text = f"{verdict.worst:.1e} of at most {verdict.bound:.0e}"
    else:
        text = f"{verdict.worst:.1e}, at most {verdict.bound:.0e} is allowed; {verdict.detail}"
    start = f"{verdict.law:<{width}} {verdict.outcome:<15} "
    return textwrap.fill(
        f"{start}{text}", _WIDTH, subsequent_indent=" " * len(start), break_long_words=False
    )
