"""A model behind OpenAI's chat completions as an engine: OpenAI, vLLM, llama-server, Ollama.

Beside completing prompts it tells the log-probabilities of given text where the server is vLLM.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from stillhouse.core.errors import UsageError
from stillhouse.core.rows import Example
from stillhouse.core.sampling import Sampling
from stillhouse.engines.checked import Gate
from stillhouse.engines.gateway import Question
from stillhouse.engines.openai_batch import OpenAIBatches
from stillhouse.engines.openai_wire import OpenAIWire
from stillhouse.engines.ordered import Crew, ask_in_order
from stillhouse.engines.outcomes import Deferred
from stillhouse.engines.remote import Home, RemoteEngine
from stillhouse.engines.wire import Decoding, question_of


@dataclass(frozen=True, slots=True)
class PromptToken:
    """How likely a server found one token of given text.

    Attributes:
        token_id: in the server's vocabulary.
        text: as the server decodes it alone; not exact for parts of characters.
        logprob: nats.
        top: the most likely tokens there, as (id, log-probability), most likely first.
    """

    token_id: int
    text: str
    logprob: float
    top: tuple[tuple[int, float], ...]


class OpenAIEngine(RemoteEngine):
    """Any server that speaks OpenAI's chat completions."""

    home = Home(
        OpenAIWire,
        "openai",
        "https://api.openai.com/v1",
        "openai",
        batches=lambda endpoint, price: OpenAIBatches(OpenAIWire(endpoint, price)),
    )

    def score_given(self, examples: Sequence[Example], top: int) -> Iterator[list[PromptToken]]:
        """How likely the server finds each token of whole conversations; vLLM only.

        Args:
            examples: each with its answer.
            top: entries a token beside the token itself.

        Yields:
            The tokens of one conversation, the template's included, without the first, for which
            no server has a number; empty where the question was deferred.

        Raises:
            UsageError: the server gives no log-probabilities of prompts.
        """
        if not self.capabilities.prompt_logprobs:
            raise UsageError(
                f"a server of kind {self._endpoint.dialect!r} does not score given text",
                "serve the model with vLLM, or score it on this machine",
            )
        asking = replace(
            self._asking(Sampling(max_new_tokens=1)),
            prompt_logprobs=top,
            decoding=Decoding(),
        )
        questions = [
            question_of(self._wire, one.example_id, one.messages(), asking) for one in examples
        ]
        yield from ask_in_order(Crew(self._open, _score, self._pace.workers), questions)


async def _score(gateway: Gate, question: Question) -> list[PromptToken]:
    outcome = await gateway.ask(question)
    if isinstance(outcome, Deferred):
        return []
    told = outcome.value.get("prompt_logprobs") or ()
    ids = outcome.value.get("prompt_token_ids") or [None] * len(told)
    return [
        _prompt_token(entry, token_id) for entry, token_id in zip(told, ids, strict=False) if entry
    ]


def _prompt_token(entry: Mapping[str, Any], token_id: int | None) -> PromptToken:
    # older servers do not tell the ids, but write the token itself first
    token_id = int(next(iter(entry))) if token_id is None else token_id
    # the entry holds the token itself and the most likely ones, by id
    own = entry[str(token_id)]
    pairs = ((int(name), float(one["logprob"])) for name, one in entry.items())
    top = tuple(sorted(pairs, key=lambda pair: (-pair[1], pair[0])))
    return PromptToken(token_id, str(own.get("decoded_token") or ""), float(own["logprob"]), top)
