"""What flows between the data stages: rows, examples, completions, outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

Role = Literal["system", "user", "assistant", "tool"]
FinishReason = Literal["stop", "length", "error"]

PARTS = ("teacher", "labelled", "unlabelled", "validation", "holdout")
"""What an example is for: train the teacher, train the student with its answer, train the
student without it, stop early, or measure (never trained on)."""

MEASURED = ("validation", "holdout")
"""The parts that nothing is trained on."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function that a model asks to be called; `arguments` is the JSON text it wrote."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation.

    Attributes:
        role: one of `Role`.
        content: its text.
        tool_calls: what an assistant turn asks to be called, in order; the tool turns that
            follow answer them in this order.
    """

    role: str
    content: str
    tool_calls: tuple[ToolCall, ...] = ()

    def as_list(self) -> list[Any]:
        """Role and content, and the name and arguments of each call where there are any."""
        calls = [[call.name, call.arguments] for call in self.tool_calls]
        return [self.role, self.content, calls] if calls else [self.role, self.content]

    @classmethod
    def from_list(cls, parts: Sequence[Any]) -> Self:
        """The message that `as_list` took apart."""
        role, content, *calls = parts
        return cls(role, content, tuple(ToolCall(*call) for each in calls for call in each))


@dataclass(frozen=True, slots=True)
class Row:
    """One raw record with where it came from.

    Attributes:
        row_id: stable name, a digest of the fields; repeats of equal rows are numbered.
        fields: the columns, JSON values.
        provenance: `file:line` or `dataset@revision:index`; read by people.
        root_id: the row this one was derived from at the very start; itself for a raw row.
        parent_ids: the rows it was made of.
    """

    row_id: str
    fields: dict[str, Any]
    provenance: str
    root_id: str = ""
    parent_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Example:
    """One prompt with its messages, its answer if one is known, and what it is for.

    Attributes:
        example_id: the row's id.
        part: one of `PARTS`.
        prompt: the messages before the last answer; ends with a user (or tool) turn.
        answer: the text to be learned for the last turn; None when only the teacher may say.
        reference: the text that accuracy is measured against; often the answer itself.
        group: examples with one group never stand in two parts.
        domain: whose adapter learns it or answers it; empty in a recipe without domains.
    """

    example_id: str
    part: str
    prompt: tuple[Message, ...]
    answer: str | None
    reference: str | None = None
    group: str = ""
    domain: str = ""

    def messages(self, answer: str | None = None) -> tuple[Message, ...]:
        """The whole conversation, closed by `answer`, else by the example's own answer."""
        text = self.answer if answer is None else answer
        return self.prompt if text is None else (*self.prompt, Message("assistant", text))


@dataclass(frozen=True, slots=True)
class OwnLogprob:
    """How likely a model found one token that it wrote itself.

    Attributes:
        token: the token's bytes; a token may be part of a character.
        logprob: nats at temperature 1 as the engine tells it, <= 0.
        top: the most likely tokens at that place with theirs, most likely first.
    """

    token: bytes
    logprob: float
    top: tuple[tuple[bytes, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Completion:
    """One answer by a model, with how it ended.

    Attributes:
        example_id: whose prompt it completes.
        text: the answer alone.
        finish: `stop` means that it can be used.
        num_tokens: of everything it wrote, as the engine counts.
        reason: with finish `error`, the one word that says why; else empty.
        logprobs: of its tokens; empty when they were not asked for.
        reasoning: what it thought before it answered, never part of `text`.
        tool_calls: in order.
        sample_index: which of several completions of its prompt.
        prompt_label: of the teacher's own prompt; empty where it saw the example's.
    """

    example_id: str
    text: str
    finish: FinishReason
    num_tokens: int
    reason: str = ""
    logprobs: tuple[OwnLogprob, ...] = ()
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    sample_index: int = 0
    prompt_label: str = ""


@dataclass(frozen=True, slots=True)
class Keep:
    """The row goes on, perhaps changed.

    Attributes:
        row: as it goes on.
        notes: what was done to it, in short fixed words that are counted.
    """

    row: Row
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Drop:
    """The row ends here, with the reason (a short fixed word) and what was seen."""

    row: Row
    reason: str
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class Emit:
    """The row goes on as several, each with the row as its parent."""

    row: Row
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Merge:
    """The row ends here because another, which goes on, says the same."""

    row: Row
    into: str
    evidence: str = ""

    @property
    def reason(self) -> str:
        """The fixed word that stands in counts."""
        return "merged"


@dataclass(frozen=True, slots=True)
class Defer:
    """The row waits: whoever was to be asked about it gave no answer; a later run asks again."""

    row: Row
    reason: str
    evidence: str = ""


Ended = Drop | Merge | Defer
"""What takes a row out of the rows that go on."""

Outcome = Keep | Emit | Ended


@dataclass(frozen=True, slots=True)
class StepCount:
    """What one data step did to its rows.

    `rows_in + emitted == rows_out + dropped + merged + deferred`, or the run fails.

    Attributes:
        step: its name.
        rows_in: rows that went in.
        rows_out: rows that go on.
        dropped: reason to rows that ended.
        changed: of the rows that go on, those in which a field says something else than before, or
            is gone; a field that came, such as a score, changes none.
        emitted: rows made beyond the one that each was made of.
        merged: rows that another stands for.
        deferred: reason to rows that wait.
        notes: what was done to rows that go on, and to how many.
    """

    step: str
    rows_in: int
    rows_out: int
    dropped: dict[str, int] = field(default_factory=dict)
    changed: int = 0
    emitted: int = 0
    merged: int = 0
    deferred: dict[str, int] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)

    @property
    def balances(self) -> bool:
        """Whether every row that went in, or was made, has come out or ended."""
        ended = sum(self.dropped.values()) + self.merged + sum(self.deferred.values())
        return self.rows_in + self.emitted == self.rows_out + ended
