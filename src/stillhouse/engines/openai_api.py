"""A model behind OpenAI's chat completions as an engine: OpenAI, vLLM, llama-server, Ollama.

It completes prompts, as text, as instances of a schema, or as several verified answers; it tells
the log-probabilities of its own text where the server gives them, and those of given text where
the server is vLLM. Nothing leaves this machine except through the gateway.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from pydantic import BaseModel

from stillhouse.core.errors import UsageError
from stillhouse.core.protocols import Progress, no_progress
from stillhouse.core.rows import Completion, Example
from stillhouse.core.sampling import Sampling
from stillhouse.engines.capabilities import Capabilities
from stillhouse.engines.checked import Asker, Checked, Quota, Verify, schema_format
from stillhouse.engines.dialects import DIALECTS, Thinking, thinking_fields
from stillhouse.engines.gateway import Gateway, GatewaySettings, Question, most_under_way
from stillhouse.engines.keys import Key, KeyRing
from stillhouse.engines.openai_wire import Asking, Decoding, OpenAIWire
from stillhouse.engines.ordered import Crew, ask_in_order
from stillhouse.engines.outcomes import Deferred
from stillhouse.engines.prices import DryRun, Price, dry_run, price_of
from stillhouse.store.account import Account
from stillhouse.store.spending import NANO

R = TypeVar("R")

OPENAI_URL = "https://api.openai.com/v1"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Which model, where, and in what manner.

    Attributes:
        model: the server's name of it.
        base_url: of the server.
        provider: whose limits and prices hold; addresses of one provider share both.
        dialect: a name of `DIALECTS`.
        price: per million tokens; None takes the list's.
        thinking: a model that can think is told to, or not to; never by accident.
        decoding: sampling fields beside temperature and length.
        prompt: name, version and digest of the prompt template.
    """

    model: str
    base_url: str = OPENAI_URL
    provider: str = "openai"
    dialect: str = "openai"
    price: Price | None = None
    thinking: Thinking = "never"
    decoding: Decoding = field(default_factory=Decoding)
    prompt: str = ""


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


class OpenAIEngine:
    """Completes prompts over HTTP; a `Generator`.

    Args:
        endpoint: which model.
        account: the budget and the limits, open.
        keys: of the user.
        settings: concurrency, limits, retries.
        progress: told after each answer, with money spent and left.

    Raises:
        UsageError: no such dialect, no way to switch thinking, or no price under a budget.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        account: Account,
        keys: Sequence[Key],
        settings: GatewaySettings,
        progress: Progress = no_progress,
    ) -> None:
        dialect = DIALECTS.get(endpoint.dialect)
        if dialect is None:
            raise UsageError(
                f"no server of kind {endpoint.dialect!r} is known", f"use {', '.join(DIALECTS)}"
            )
        thinking_fields(dialect, endpoint.thinking)
        budget = account.session.budget
        price = price_of(
            endpoint.provider, endpoint.model, endpoint.price, budget.cap_nano_usd is not None
        )
        self._wire = OpenAIWire(
            endpoint.provider, endpoint.model, endpoint.base_url, dialect, price
        )
        self._endpoint = endpoint
        self._account = account
        self._keys = KeyRing(keys)
        self._settings = settings
        self._progress = progress
        self.capabilities = Capabilities(
            text=True,
            own_logprobs=dialect.top_logprobs > 0,
            scoring=False,
            full_logits=False,
            top_logprobs=dialect.top_logprobs,
            prompt_logprobs=dialect.has_prompt_logprobs,
        )

    def generate(self, examples: Sequence[Example], sampling: Sampling) -> Iterator[Completion]:
        """One completion per example, in the order of the examples.

        Args:
            examples: their prompts are completed.
            sampling: length and temperature; `batch_size` means nothing here.

        Yields:
            With finish `error` and a reason where there is no answer that can be used.
        """
        asking = self._asking(sampling)
        yield from self._each(examples, asking, lambda asker, example: asker.one(example))

    def generate_checked(
        self, examples: Sequence[Example], sampling: Sampling, schema: type[BaseModel]
    ) -> Iterator[Checked]:
        """One instance of `schema` per example, in order; mended once where need be.

        Args:
            examples: their prompts are completed.
            sampling: length and temperature.
            schema: what each answer must be.

        Yields:
            The value, or a completion with the reason why there is none.
        """
        asking = replace(self._asking(sampling), response_format=schema_format(schema))
        yield from self._each(
            examples, asking, lambda asker, example: asker.checked(example, schema)
        )

    def generate_accepted(
        self, examples: Sequence[Example], sampling: Sampling, quota: Quota, verify: Verify
    ) -> Iterator[list[Completion]]:
        """Several verified answers per example, in order.

        Args:
            examples: their prompts are completed.
            sampling: length and temperature.
            quota: how many.
            verify: true for an answer that may be used.

        Yields:
            The accepted answers of one example.
        """
        asking = self._asking(sampling)
        yield from self._each(
            examples, asking, lambda asker, example: asker.accepted(example, quota, verify)
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
            self._wire.question(one.example_id, one.messages(), asking) for one in examples
        ]
        crew = Crew(self._open, _score, most_under_way(self._settings))
        yield from ask_in_order(crew, questions)

    def dry_run(self, examples: Sequence[Example], sampling: Sampling) -> DryRun:
        """What `generate` will cost; nothing is asked.

        Args:
            examples: the prompts.
            sampling: length and temperature.

        Returns:
            Bounds. Answers that are kept already cost nothing and are counted all the same.
        """
        asking = self._asking(sampling)
        questions = (self._wire.question(one.example_id, one.prompt, asking) for one in examples)
        return dry_run((question.upper for question in questions), self._wire.price)

    def _asking(self, sampling: Sampling) -> Asking:
        end = self._endpoint
        return Asking(sampling, end.decoding, end.thinking, prompt=end.prompt)

    def _open(self) -> Gateway:
        return Gateway(
            self._wire, self._account.session, self._account.slots, self._keys, self._settings
        )

    def _each(
        self,
        examples: Sequence[Example],
        asking: Asking,
        ask: Callable[[Asker, Example], Awaitable[R]],
    ) -> Iterator[R]:
        gateways: list[Gateway] = []

        async def one(gateway: Gateway, example: Example) -> R:
            gateways[:] = [gateway]
            return await ask(Asker(gateway, self._wire, asking), example)

        crew = Crew(self._open, one, most_under_way(self._settings))
        for number, found in enumerate(ask_in_order(crew, examples), 1):
            self._progress(number, len(examples), "answers", **self._money(gateways[0]))
            yield found

    def _money(self, gateway: Gateway) -> dict[str, float]:
        balance, cap = gateway.balance, self._account.session.budget.cap_nano_usd
        if balance is None:
            return {}
        spent = {"spent_usd": float(balance.spent_nano_usd / NANO)}
        if cap is None:
            return spent
        left = cap - balance.spent_nano_usd - balance.held_nano_usd
        return spent | {"left_usd": float(left / NANO)}


async def _score(gateway: Gateway, question: Question) -> list[PromptToken]:
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
