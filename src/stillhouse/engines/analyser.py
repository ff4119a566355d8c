"""A user's own service as a candidate: one POST of plain JSON an example, one JSON object back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stillhouse.core.rows import Completion, Example
from stillhouse.core.sampling import Sampling
from stillhouse.engines.http import Http
from stillhouse.engines.outcomes import REASONS, Failure, Reply, Then

_HEADERS = {"Content-Type": "application/json", "Accept": "application/json"}
_PAUSE_S = 0.5
"""assumption: a service that was restarted answers again after some of these, doubled each time."""


@dataclass(frozen=True, slots=True)
class HttpAnalyser:
    """Completes prompts by asking a service; a `Generator`.

    Attributes:
        url: where it listens.
        timeout_s: for one request.
        concurrency: requests at a time.
        tries: of a request that fails on the way.
    """

    url: str
    timeout_s: float
    concurrency: int
    tries: int

    def generate(self, examples: Sequence[Example], sampling: Sampling) -> Iterator[Completion]:
        """One completion per example, in the order of the examples.

        Args:
            examples: their prompts are sent; answers are not.
            sampling: the service decides how it answers; only the index is kept.

        Yields:
            The answer, or one that ended as `error` with the reason.
        """
        replies = asyncio.run(self._ask(examples))
        for example, reply in zip(examples, replies, strict=True):
            if isinstance(reply, Failure):
                yield Completion(example.example_id, "", "error", 0, reply.reason)
                continue
            text = _text_of(reply)
            words = len(text.split())
            yield Completion(
                example.example_id, text, "stop", words, sample_index=sampling.sample_index
            )

    async def _ask(self, examples: Sequence[Example]) -> list[Reply | Failure]:
        free = asyncio.Semaphore(self.concurrency)
        async with Http(self.concurrency, self.timeout_s) as http:
            return await asyncio.gather(*(self._ask_one(http, free, one) for one in examples))

    async def _ask_one(
        self, http: Http, free: asyncio.Semaphore, example: Example
    ) -> Reply | Failure:
        turns = [{"role": turn.role, "content": turn.content} for turn in example.prompt]
        body = json.dumps({"text": example.prompt[-1].content, "messages": turns}).encode()
        async with free:
            for attempt in range(self.tries):
                reply = await http.post(self.url, _HEADERS, body)
                if not isinstance(reply, Failure) or attempt + 1 == self.tries:
                    return reply
                if REASONS[reply.reason].then is Then.STOP:
                    return reply
                await asyncio.sleep(_PAUSE_S * 2**attempt)
        raise AssertionError("a request is tried at least once")


def _text_of(reply: Reply) -> str:
    value = reply.value
    if value.keys() == {"answer"} and isinstance(value["answer"], str):
        return value["answer"]
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
