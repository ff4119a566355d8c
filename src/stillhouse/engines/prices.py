"""What a model's tokens cost, and what a batch of calls costs at most before the first is made.

Prices are text in the list, decimals here, and whole nano-dollars in the ledger; rounding is
always up, so a sum of parts is never less than the bill.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from functools import cache
from importlib import resources
from typing import Any

from ruamel.yaml import YAML

from stillhouse.core.errors import UsageError
from stillhouse.store.ledger import Usage
from stillhouse.store.spending import NANO

_MILLION = 10**6


@dataclass(frozen=True, slots=True)
class Price:
    """Nano-dollars per million tokens, so that every list price is a whole number.

    Attributes:
        input: prompt tokens.
        output: completion tokens, reasoning included.
        cached_input: prompt tokens that the provider had seen before.
        source: where the price is from.
        batch: the share of it that is paid in a batch; None where only the provider's is known.
    """

    input: int
    output: int
    cached_input: int
    source: str = ""
    batch: Decimal | None = None

    @classmethod
    def in_usd(
        cls,
        input: str,
        output: str,
        cached_input: str | None = None,
        source: str = "",
        batch: str | None = None,
    ) -> Price:
        """A price from dollars per million tokens, written as decimals.

        Args:
            input: such as `"0.15"`; never a float, which cannot hold it.
            output: the same.
            cached_input: None when cached tokens cost as much as others.
            source: where the price is from.
            batch: the share that is paid in a batch, above 0 and at most 1; None for untold.

        Returns:
            The price.

        Raises:
            UsageError: not a number, negative, finer than a nano-dollar, or no such share.
        """
        share = None if batch is None else _share(batch)
        return cls(_nano(input), _nano(output), _nano(cached_input or input), source, share)

    def in_batch(self, otherwise: Decimal) -> Price:
        """The price in a batch, rounded up.

        Args:
            otherwise: the share that is paid where this price tells none.

        Returns:
            A price of its own.
        """
        share = otherwise if self.batch is None else self.batch

        def scaled(price: int) -> int:
            return int((price * share).to_integral_value(ROUND_CEILING))

        source = f"{self.source}, times {share} in a batch"
        return Price(
            scaled(self.input), scaled(self.output), scaled(self.cached_input), source, Decimal(1)
        )

    def cost(self, usage: Usage) -> int:
        """Nano-dollars of a usage, rounded up."""
        fresh = usage.prompt_tokens - usage.cached_tokens
        total = (
            fresh * self.input
            + usage.cached_tokens * self.cached_input
            + usage.completion_tokens * self.output
        )
        return -(-total // _MILLION)


FREE = Price(0, 0, 0, "a server of one's own")
"""For a local server: tokens are counted, money is not."""


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a batch of calls costs before one is made.

    Attributes:
        calls: questions in all.
        most_usd: with every prompt at its upper count of tokens and every answer at its longest.
        likely_usd: with prompts at a quarter of their bytes and half-long answers. assumption:
            four bytes a token hold for English prose; it is a guide, not a promise.
        most_tokens: prompt and completion.
    """

    calls: int
    most_usd: Decimal
    likely_usd: Decimal
    most_tokens: int


def price_of(provider: str, model: str, own: Price | None, has_money_budget: bool) -> Price:
    """The price to reserve and settle with.

    Args:
        provider: as in the list, such as `openai`.
        model: the provider's exact name.
        own: the recipe's, which goes before the list.
        has_money_budget: a cap in money stands.

    Returns:
        The price; `FREE` where none is known and no money is capped.

    Raises:
        UsageError: a cap in money, and no price to hold it with.
    """
    if own is not None:
        return own
    listed = price_list().get((provider, model))
    if listed is not None:
        return listed
    if has_money_budget:
        raise UsageError(
            f"the price of {model!r} at {provider} is not in the list, so a budget in money cannot "
            "be kept",
            "write its price per million tokens into the recipe, as the provider's page says it",
        )
    return FREE


def dry_run(uppers: Iterable[Usage], price: Price) -> DryRun:
    """The price of questions that were not asked yet.

    Args:
        uppers: the most that each can use.
        price: of the model.

    Returns:
        Bounds in dollars.
    """
    calls = most = likely = tokens = 0
    for upper in uppers:
        calls += 1
        most += price.cost(upper)
        likely += price.cost(Usage(upper.prompt_tokens // 4, upper.completion_tokens // 2))
        tokens += upper.tokens
    return DryRun(calls, most / NANO, likely / NANO, tokens)


@cache
def price_list() -> dict[tuple[str, str], Price]:
    """Every listed price, by provider and model."""
    return {
        (one["provider"], one["model"]): Price.in_usd(
            one["input"],
            one["output"],
            one["cached_input"],
            f"{one['source']}, {one['read']}",
        )
        for one in _table()["prices"]
    }


def batch_share(provider: str) -> Decimal:
    """The share of its list prices that a provider asks for in a batch; 1 where none is listed."""
    listed = {one["provider"]: _share(one["share"]) for one in _table()["batches"]}
    return listed.get(provider, Decimal(1))


@cache
def _table() -> dict[str, Any]:
    text = (resources.files("stillhouse.engines") / "prices.yaml").read_text(encoding="utf-8")
    table: dict[str, Any] = YAML(typ="safe", pure=True).load(text)
    return table


def nano_usd(usd: float | str | Decimal) -> int:
    """Whole nano-dollars of an amount, rounded down: a cap is never widened."""
    return int(Decimal(str(usd)) * NANO)


def _nano(text: str) -> int:
    try:
        value = Decimal(text) * NANO
    except InvalidOperation:
        value = Decimal(-1)
    if not value.is_finite() or value < 0 or value != int(value):
        raise UsageError(
            f"{text!r} is no price in dollars per million tokens", 'write it as "0.15"'
        )
    return int(value)


def _share(text: str) -> Decimal:
    try:
        value = Decimal(text)
        is_share = 0 < value <= 1
    except InvalidOperation:
        is_share = False
    if not is_share:
        raise UsageError(
            f"{text!r} is no share of a price that is paid in a batch", 'write it as "0.5"'
        )
    return value
