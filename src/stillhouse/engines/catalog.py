"""Every remote engine by the name that a recipe gives it, and one built as a recipe says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from stillhouse.core.protocols import Progress
from stillhouse.core.rows import Example
from stillhouse.core.sampling import Sampling
from stillhouse.engines.anthropic import AnthropicEngine
from stillhouse.engines.batch_settings import BatchSettings
from stillhouse.engines.bedrock import BedrockEngine
from stillhouse.engines.gateway import GatewaySettings
from stillhouse.engines.gemini import GeminiEngine
from stillhouse.engines.keys import Key
from stillhouse.engines.ollama import OllamaEngine
from stillhouse.engines.openai_api import OpenAIEngine
from stillhouse.engines.prices import DryRun, Price, nano_usd
from stillhouse.engines.remote import RemoteEngine, dry_run_of
from stillhouse.engines.retry import RetryPolicy
from stillhouse.engines.wire import Decoding, Demands, Endpoint
from stillhouse.recipes.endpoints import ApiEndpoint
from stillhouse.store.account import Account
from stillhouse.store.ledger import Budget
from stillhouse.store.slots import Limit

REMOTE: dict[str, type[RemoteEngine]] = {
    "openai": OpenAIEngine,
    "anthropic": AnthropicEngine,
    "bedrock": BedrockEngine,
    "gemini": GeminiEngine,
    "ollama": OllamaEngine,
}
"""How many log-probabilities each gives, and what else it can, its `capabilities` say."""


def remote_engine(
    api: ApiEndpoint,
    account: Account,
    keys: Sequence[Key],
    progress: Progress,
    demands: Demands | None = None,
    prompt: str = "",
) -> RemoteEngine:
    """The engine that a recipe's `api` means.

    Args:
        api: the recipe's.
        account: open, with the budget of `budget_of`.
        keys: of the user.
        progress: told after each answer.
        demands: what an answer must be.
        prompt: label of the teacher's own prompt; part of what answers are kept by.

    Returns:
        The engine.

    Raises:
        UsageError: the provider cannot be asked in that manner, or has no price under a budget.
    """
    endpoint = endpoint_of(api, demands, prompt)
    retry = RetryPolicy(tries=api.tries, patience_s=api.patience_s)
    batch = BatchSettings(api.batch_questions, patience_s=api.batch_patience_s)
    settings = GatewaySettings(
        api.concurrency, api.timeout_s, limits_of(api), retry, api.seed, batch
    )
    return REMOTE[api.kind](endpoint, account, keys, settings, progress)


def forecast_asking(
    api: ApiEndpoint,
    examples: Sequence[Example],
    sampling: Sampling,
    demands: Demands | None = None,
    prompt: str = "",
) -> DryRun:
    """What asking costs, before anything is asked; needs no key.

    Args:
        api: the recipe's.
        examples: the prompts.
        sampling: length and temperature.
        demands: as in `remote_engine`.
        prompt: likewise.

    Returns:
        Bounds in dollars and tokens.

    Raises:
        UsageError: the provider cannot be asked in that manner, or has no price under a budget.
    """
    engine, endpoint = REMOTE[api.kind], endpoint_of(api, demands, prompt)
    whole, wire = engine.wire_of(endpoint, has_money_budget=api.budget_usd is not None)
    return dry_run_of(whole, wire, examples, sampling)


def endpoint_of(api: ApiEndpoint, demands: Demands | None = None, prompt: str = "") -> Endpoint:
    """Which model answers, and in what manner; arguments as in `remote_engine`."""
    told, price = api.price, None
    if told is not None:
        given = told.input, told.output, told.cached_input
        price = Price.in_usd(*given, "the recipe", told.batch)
    return Endpoint(
        model=api.model,
        base_url=api.base_url or "",
        provider=api.provider or "",
        dialect=api.dialect or "",
        price=price,
        thinking=api.thinking,
        thinking_tokens=api.thinking_tokens,
        context_tokens=api.context_tokens,
        decoding=Decoding(top_p=api.top_p, stop=api.stop, seed=api.seed),
        prompt=prompt,
        demands=demands or Demands(),
        batch=api.batch,
    )


def budget_of(api: ApiEndpoint, name: str) -> Budget:
    """The caps of a recipe's `api`, under the name of a run."""
    cap = None if api.budget_usd is None else nano_usd(api.budget_usd)
    return Budget(name, cap, api.budget_tokens)


def limits_of(api: ApiEndpoint) -> tuple[Limit, ...]:
    """The limits of a recipe's `api`, shared by all processes that ask the provider."""
    name, told = api.provider or api.kind, api.limits
    kinds: tuple[tuple[Literal["requests", "tokens"], int | None, float], ...] = (
        ("requests", told.requests_per_second, 1.0),
        ("requests", told.requests_per_minute, 60.0),
        ("tokens", told.tokens_per_minute, 60.0),
    )
    return tuple(
        Limit(f"{name}:{kind}", kind, amount, window_s, is_per_key=told.per_key)
        for kind, amount, window_s in kinds
        if amount
    )
