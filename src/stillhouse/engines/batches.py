"""What a provider's batch endpoint is to us, in no provider's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from stillhouse.engines.gateway import Question
from stillhouse.engines.http import Coming, Http
from stillhouse.engines.keys import Key
from stillhouse.engines.outcomes import Failure, Reply
from stillhouse.engines.wire import ChatWire


@dataclass(frozen=True, slots=True)
class BatchStatus:
    """What a provider says of a batch.

    Attributes:
        remote: its name of the batch.
        file: its name of the questions.
        token: ours.
        is_over: nothing more will happen to it.
        answered: questions with an answer.
        finished: questions with an answer or an error.
        files: names of what came of it, answers first.
        rest: of a batch that is over, what became of lines that no file tells of.
        refused: failures of single lines, from 1, for which the whole batch was turned down.
    """

    remote: str
    file: str
    token: str
    is_over: bool
    answered: int
    finished: int
    files: tuple[str, ...]
    rest: Failure
    refused: Mapping[int, Failure] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BatchPage:
    """A part of a provider's list of batches.

    Attributes:
        batches: newest first.
        after: where the next part begins; empty after the last.
    """

    batches: Sequence[BatchStatus]
    after: str


@dataclass(frozen=True, slots=True)
class Output:
    """What a file of outcomes says.

    Attributes:
        outcomes: by the key of the question.
        is_whole: every line could be read.
    """

    outcomes: Mapping[str, Reply | Failure]
    is_whole: bool


class BatchWire(Protocol):
    """A provider's batch endpoint; each request is one, without retries.

    Attributes:
        chat: the format of its lines and answers, with the price of a batch.
    """

    chat: ChatWire

    def line(self, question: Question) -> bytes:
        """A question as a line of the file."""

    def upload(self, http: Http, key: Key, lines: Sequence[bytes]) -> Coming[str]:
        """The provider's name of a file of questions."""

    def create(self, http: Http, key: Key, file: str, token: str) -> Coming[BatchStatus]:
        """A batch of an uploaded file; the token is found again in the list."""

    def look(self, http: Http, key: Key, remote: str) -> Coming[BatchStatus]:
        """How far a batch is."""

    def page(self, http: Http, key: Key, after: str) -> Coming[BatchPage]:
        """A part of the list of batches."""

    def fetch(self, http: Http, key: Key, file: str) -> Coming[Output]:
        """What a file says."""
