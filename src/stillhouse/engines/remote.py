"""An engine whose answers are asked for one by one: over HTTP, or in a test within the process.

It completes prompts, as text, as instances of a schema, or as several verified answers. Nothing
leaves this machine except through the gateway.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import ClassVar, Generic, TypeVar

from pydantic import BaseModel

from stillhouse.core.errors import UsageError
from stillhouse.core.protocols import Progress, no_progress
from stillhouse.core.rows import Completion, Example
from stillhouse.core.sampling import Sampling
from stillhouse.engines.batch_gate import BatchGate
from stillhouse.engines.batches import BatchWire
from stillhouse.engines.checked import Asker, Checked, Gate, Quota
from stillhouse.engines.gateway import Gateway, GatewaySettings, most_under_way
from stillhouse.engines.keys import Key, KeyRing
from stillhouse.engines.ordered import Crew, Pace, ask_in_order
from stillhouse.engines.prices import DryRun, Price, batch_share, dry_run, price_of
from stillhouse.engines.wire import Asking, ChatWire, Endpoint, Verify, question_of
from stillhouse.store.account import Account
from stillhouse.store.ledger import keep_accepted
from stillhouse.store.spending import NANO

_TELL_EVERY_S = 2.0  # assumption: nobody looks more often how far a batch is

R = TypeVar("R")
G = TypeVar("G", bound=Gate)


class AskingEngine(Generic[G]):
    """Completes prompts by asking; a `Generator`.

    Args:
        wire: how questions and answers are written.
        endpoint: which model, in what manner.
        pace: how many questions are in hand at a time.
        open_gate: opens what the questions go through.
        progress: told after each answer, with money spent and left.
    """

    def __init__(
        self,
        wire: ChatWire,
        endpoint: Endpoint,
        pace: Pace,
        open_gate: Callable[[], AbstractAsyncContextManager[G]],
        progress: Progress,
    ) -> None:
        self._wire = wire
        self._endpoint = endpoint
        self._pace = pace
        self._open = open_gate
        self._progress = progress
        self.capabilities = wire.capabilities

    def generate(self, examples: Sequence[Example], sampling: Sampling) -> Iterator[Completion]:
        """One completion per example, in the order of the examples.

        Args:
            examples: their prompts are completed.
            sampling: length, temperature and which of several answers; `batch_size` means nothing
                here.

        Yields:
            With finish `error` and a reason where there is no answer that can be used.
        """
        asking = replace(self._asking(sampling), schema=self._endpoint.demands.schema)
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
        asking = replace(self._asking(sampling), schema=schema.model_json_schema())
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

    def _asking(self, sampling: Sampling) -> Asking:
        return _asking(self._endpoint, sampling)

    def _each(
        self,
        examples: Sequence[Example],
        asking: Asking,
        ask: Callable[[Asker, Example], Awaitable[R]],
    ) -> Iterator[R]:
        gates: list[G] = []

        async def one(gate: G, example: Example) -> R:
            gates[:] = [gate]
            return await ask(Asker(gate, self._wire, asking, self._endpoint.demands), example)

        def tell() -> None:
            for gate in gates:
                self._tell_waiting(gate)

        pace = self._pace
        crew = Crew(self._open, one, pace.workers, pace.drain_s, tell, pace.tell_every_s)
        for number, found in enumerate(ask_in_order(crew, examples), 1):
            self._progress(number, len(examples), "answers", **self._money(gates[0]))
            yield found

    def _money(self, gate: G) -> dict[str, float]:  # noqa: ARG002
        return {}

    def _tell_waiting(self, gate: G) -> None:
        """Say how far the questions are that somebody waits for."""


def _asking(end: Endpoint, sampling: Sampling) -> Asking:
    return Asking(sampling, end.decoding, end.thinking, prompt=end.prompt)


def dry_run_of(
    endpoint: Endpoint, wire: ChatWire, examples: Sequence[Example], sampling: Sampling
) -> DryRun:
    """What completing prompts will cost; nothing is asked.

    Args:
        endpoint: which model, in what manner.
        wire: its provider's format.
        examples: the prompts.
        sampling: length and temperature.

    Returns:
        Bounds. Answers that are kept already cost nothing and are counted all the same.

    Raises:
        UsageError: the provider cannot be asked that.
    """
    asking = replace(_asking(endpoint, sampling), schema=endpoint.demands.schema)
    questions = (question_of(wire, one.example_id, one.prompt, asking) for one in examples)
    return dry_run((question.upper for question in questions), wire.price)


@dataclass(frozen=True, slots=True)
class Home:
    """What an endpoint that does not say otherwise means.

    Attributes:
        wire: builds the format of a complete endpoint.
        provider: name of limits and prices.
        base_url: of the provider; empty where each user has one of their own.
        dialect: the newest.
        price: of servers of one's own; None for those that send bills.
        batches: builds its batch endpoint; None where none is known.
    """

    wire: Callable[[Endpoint, Price], ChatWire]
    provider: str
    base_url: str
    dialect: str
    price: Price | None = None
    batches: Callable[[Endpoint, Price], BatchWire] | None = None


class RemoteEngine(AskingEngine[Gateway | BatchGate]):
    """Completes prompts over HTTP; each provider is a subclass with its format.

    Args:
        endpoint: which model.
        account: the budget and the limits, open.
        keys: of the user.
        settings: concurrency, limits, retries.
        progress: told after each answer, with money spent and left.

    Raises:
        UsageError: no address, no such dialect, no way to switch thinking, no batch endpoint, or
            no price under a budget.
    """

    home: ClassVar[Home]

    def __init__(
        self,
        endpoint: Endpoint,
        account: Account,
        keys: Sequence[Key],
        settings: GatewaySettings,
        progress: Progress = no_progress,
    ) -> None:
        has_cap = account.session.budget.cap_nano_usd is not None
        endpoint, wire = self.wire_of(endpoint, has_money_budget=has_cap)
        shared = account.session, account.slots, KeyRing(keys), settings

        def open_gate() -> Gateway | BatchGate:
            if endpoint.batch:
                return BatchGate(self._batches_of(endpoint, wire.price), *shared)
            return Gateway(wire, *shared)

        pace = Pace(most_under_way(settings))
        if endpoint.batch:
            # a batch goes on without us, so nothing is waited for when we stop
            pace = Pace(settings.batch.most_questions, 0.0, _TELL_EVERY_S)
        super().__init__(wire, endpoint, pace, open_gate, progress)
        self._account = account

    @classmethod
    def wire_of(cls, endpoint: Endpoint, *, has_money_budget: bool) -> tuple[Endpoint, ChatWire]:
        """The whole endpoint, with what the provider means where nothing is said, and its format.

        Args:
            endpoint: which model.
            has_money_budget: a cap in money stands, so a price must be known.

        Returns:
            Both; no key is needed and nothing is asked.

        Raises:
            UsageError: as for the engine.
        """
        whole = cls._complete(endpoint)
        price = price_of(whole.provider, whole.model, whole.price, has_money_budget)
        if not whole.batch:
            return whole, cls.home.wire(whole, price)
        is_home = whole.base_url == cls.home.base_url
        price = price.in_batch(batch_share(whole.provider) if is_home else Decimal(1))
        return whole, cls._batches_of(whole, price).chat

    @classmethod
    def _batches_of(cls, endpoint: Endpoint, price: Price) -> BatchWire:
        if cls.home.batches is None:
            raise UsageError(
                f"{endpoint.provider} is not asked in batches by this version",
                "leave teacher.api.batch out; it is for kind openai",
            )
        return cls.home.batches(endpoint, price)

    def account_for(self, used: Collection[tuple[str, int]]) -> None:
        """Tell the account which answers became part of the data, once that is decided.

        Args:
            used: their example ids and sample indices; all others count as not used.
        """
        session = self._account.session
        session.journal.write_now(lambda c: keep_accepted(c, session.id, used))

    def dry_run(self, examples: Sequence[Example], sampling: Sampling) -> DryRun:
        """What `generate` will cost; arguments and result as of `dry_run_of`."""
        return dry_run_of(self._endpoint, self._wire, examples, sampling)

    @classmethod
    def _complete(cls, endpoint: Endpoint) -> Endpoint:
        home = cls.home
        found = replace(
            endpoint,
            provider=endpoint.provider or home.provider,
            base_url=endpoint.base_url or home.base_url,
            dialect=endpoint.dialect or home.dialect,
            price=endpoint.price or home.price,
        )
        if not found.base_url:
            raise UsageError(
                f"no address of {found.provider} is given",
                "write base_url, which holds the region or the host of your account",
            )
        return found

    def _tell_waiting(self, gate: Gateway | BatchGate) -> None:
        if isinstance(gate, BatchGate):
            done, total = gate.finished
            self._progress(done, total, "answers in batches", **self._money(gate))

    def _money(self, gate: Gateway | BatchGate) -> dict[str, float]:
        balance, cap = gate.balance, self._account.session.budget.cap_nano_usd
        if balance is None:
            return {}
        spent = {"spent_usd": float(balance.spent_nano_usd / NANO)}
        if cap is None:
            return spent
        left = cap - balance.spent_nano_usd - balance.held_nano_usd
        return spent | {"left_usd": float(left / NANO)}
