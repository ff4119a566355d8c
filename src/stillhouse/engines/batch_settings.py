"""How many questions a batch takes, how often it is looked at, and for how long."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """How batches are sent and waited for.

    Attributes:
        most_questions: in one batch, and at the provider at a time.
        most_bytes: in one batch, half of what OpenAI says.
        first_poll_s: from its creation to the first look.
        longest_poll_s: the pause between looks grows to this.
        patience_s: of one run with one batch; the batch itself stays for the next run.
        quiet_s: when nobody has asked for so long, what was asked is sent. assumption: whoever
            has a question at hand asks it in less.
    """

    most_questions: int = 50_000
    most_bytes: int = 100_000_000
    first_poll_s: float = 1.0
    longest_poll_s: float = 60.0
    patience_s: float = 93_600.0
    quiet_s: float = 0.1
