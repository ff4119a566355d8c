"""What became of one question: an answer, or a named reason why there is none.

Every reason is one word of this table. `retried` reasons are tried again a few times; `rested`
ones wait without using up a try; the others are final for this run. No answer is ever a crash:
what was deferred is asked again by the next run, and costs nothing until then.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

from stillhouse.store.ledger import Usage


class Then(Enum):
    """What follows a failed request."""

    RETRY = "a few times, with growing pauses"
    REST = "when the provider's pause is over; uses up no try"
    NEXT_KEY = "with another of the user's keys"
    STOP = "not in this run"


@dataclass(frozen=True, slots=True)
class Kind:
    """One way to fail.

    Attributes:
        then: what follows.
        may_be_billed: the provider may have done the work.
    """

    then: Then
    may_be_billed: bool


REASONS: dict[str, Kind] = {
    # the request never arrived
    "no_connection": Kind(Then.RETRY, False),
    # the provider said no
    "rate_limited": Kind(Then.REST, False),
    "overloaded": Kind(Then.REST, False),
    "server_error": Kind(Then.RETRY, False),
    "bad_gateway": Kind(Then.RETRY, True),
    "bad_request": Kind(Then.STOP, False),
    "key_refused": Kind(Then.NEXT_KEY, False),
    "quota_used_up": Kind(Then.NEXT_KEY, False),
    "redirected": Kind(Then.STOP, False),
    # something came back, or half of it
    "timeout": Kind(Then.RETRY, True),
    "reset": Kind(Then.RETRY, True),
    "empty_body": Kind(Then.RETRY, True),
    "html": Kind(Then.RETRY, True),
    "wrong_encoding": Kind(Then.RETRY, True),
    "truncated_json": Kind(Then.RETRY, True),
    "error_in_body": Kind(Then.RETRY, True),
    "wrong_shape": Kind(Then.RETRY, True),
    "too_large": Kind(Then.STOP, True),
    # the batch that the question was in ended without an answer to it
    "batch_refused": Kind(Then.STOP, False),
    "batch_expired": Kind(Then.STOP, False),
    "batch_cancelled": Kind(Then.STOP, False),
    "missing_line": Kind(Then.STOP, True),
}
"""How a request fails."""

FLAWS = (
    "refusal",
    "unexpected_thinking",
    "no_finish_reason",
    "empty_answer",
    "no_logprobs",
    "wrong_schema",
)
"""Why an answer that came whole is of no use; it was paid for, is kept, and is not asked again."""

ENDS = ("budget", "no_key", "waited_too_long")
"""Why a question was not asked, beside the reasons above."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A request without an answer.

    Attributes:
        reason: a key of `REASONS`.
        status: of HTTP; 0 without a reply.
        code: the provider's word for it, if it is one plain word; its message is never kept,
            because messages repeat keys and prompts.
        retry_after_s: as the provider asks; None when it does not say.
    """

    reason: str
    status: int = 0
    code: str = ""
    retry_after_s: float | None = None

    @property
    def kind(self) -> Kind:
        """What follows, and who pays."""
        return REASONS[self.reason]


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole JSON object, as it came.

    Attributes:
        body: the bytes; these are kept.
        value: what they say.
    """

    body: bytes
    value: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply that is paid for and kept.

    Attributes:
        value: the provider's JSON object.
        usage: as the provider counted; zeros when it did not tell.
        nano_usd: what it cost; what it once cost when it was kept already.
        call: its number in the ledger.
        was_kept: nothing was asked, it was in the cache.
    """

    value: dict[str, Any]
    usage: Usage
    nano_usd: int
    call: int
    was_kept: bool


@dataclass(frozen=True, slots=True)
class Deferred:
    """No answer in this run.

    Attributes:
        reason: a word of `REASONS` or `ENDS`.
        tries: requests made for it.
        detail: status and the provider's word, for people.
    """

    reason: str
    tries: int
    detail: str = ""


Verdict = Literal["accepted", "rejected"]
