"""The `api` key of a model: which endpoint answers, how it is asked, and what that may cost."""

from __future__ import annotations

import re
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from stillhouse.recipes.section import Count, Positive, Section, Seed


class ApiPrice(Section):
    """Dollars per million tokens, written as text: "0.15" is exact where 0.15 is not.

    Attributes:
        input: of the prompt.
        output: of the answer, thoughts included.
        cached_input: of what the provider had seen before; as `input` when absent.
        batch: the share of these prices that is paid with `batch: true`, such as "0.5"; when
            absent, half at OpenAI's own address and all of it elsewhere.
    """

    input: str
    output: str
    cached_input: str | None = None
    batch: str | None = None


class ApiLimits(Section):
    """What the provider allows, held over all processes of this machine.

    Attributes:
        requests_per_second: evenly spaced.
        requests_per_minute: evenly spaced.
        tokens_per_minute: of prompts and answers, in a sliding window.
        per_key: each key has these limits for itself, as where keys belong to several accounts.
    """

    requests_per_second: Count | None = None
    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = None
    per_key: bool = False


class ApiEndpoint(Section):
    """A teacher that answers over HTTP; the key is named, never written.

    Attributes:
        kind: which wire format; `openai` is spoken by vLLM, llama-server and many others too.
        model: the provider's name of the model.
        base_url: another address than the provider's own.
        dialect: how the server differs from others of its kind, such as `vllm`.
        provider: the name that prices and limits go by; the kind when absent.
        key_env: the environment variables that hold keys; the next one serves when one is refused.
        thinking: a model that can think is told to, or not to; `never` is one that cannot.
        thinking_tokens: the most to think with, where the provider takes such a number.
        context_tokens: to reserve for prompt and answer, where the server must be told.
        top_p: tokens that make up this probability are drawn from.
        stop: texts that end an answer.
        seed: of the first answer to a prompt, where the provider takes one.
        price: per million tokens; the list's when absent.
        budget_usd: what its answers may cost in all; nothing is asked beyond it.
        budget_tokens: what its answers may take in all, prompts included.
        concurrency: requests at a time.
        timeout_s: for one request.
        tries: requests for one question that may fail before it is left for the next run.
        patience_s: how long the provider may do nothing but ask to wait.
        limits: what the provider allows.
        batch: ask through the provider's batch endpoint, which costs less and may take a day; for
            kind `openai`.
        batch_questions: at the provider at a time, for accounts whose queue takes no more.
        batch_patience_s: how long one run waits for a batch; the next run finds it again.
    """

    kind: Literal["openai", "anthropic", "bedrock", "gemini", "ollama"]
    model: str = Field(min_length=1)
    base_url: str | None = Field(default=None, pattern=r"^https?://")
    dialect: str | None = None
    provider: str | None = None
    key_env: str | tuple[str, ...] = ()
    thinking: Literal["never", "off", "on"] = "never"
    thinking_tokens: int = Field(default=0, ge=0)
    context_tokens: int = Field(default=0, ge=0)
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    stop: tuple[str, ...] = ()
    seed: Seed = 0
    price: ApiPrice | None = None
    budget_usd: float | None = Field(default=None, ge=0.0, allow_inf_nan=False)
    budget_tokens: int | None = Field(default=None, ge=0)
    concurrency: int = Field(default=16, ge=1, le=1024)
    timeout_s: Positive = 300.0
    tries: Count = 5
    patience_s: Positive = 900.0
    limits: ApiLimits = ApiLimits()
    batch: bool = False
    batch_questions: int = Field(default=50_000, ge=1, le=50_000)
    batch_patience_s: Positive = 93_600.0

    @property
    def key_names(self) -> tuple[str, ...]:
        """The environment variables in the order of use."""
        return (self.key_env,) if isinstance(self.key_env, str) else self.key_env

    def identity(self) -> dict[str, Any]:
        """What shapes an answer, as JSON values; prices, budgets and limits shape none."""
        shaping = set(type(self).model_fields) - _ABOUT_THE_CALL
        return self.model_dump(mode="json", include=shaping)

    @field_validator("key_env")
    @classmethod
    def _names_and_no_keys(cls, names: str | tuple[str, ...]) -> str | tuple[str, ...]:
        for name in (names,) if isinstance(names, str) else names:
            if not _NAME.fullmatch(name):
                # Not repeated in the error: it may be the key.
                raise ValueError("must name the environment variable that holds the key")
        return names

    @field_validator("base_url")
    @classmethod
    def _holds_no_key(cls, url: str | None) -> str | None:
        if url is not None and ("@" in url or "?" in url):
            raise ValueError("must be an address alone: a key in it would be written down")
        return url

    @model_validator(mode="after")
    def _one_rate(self) -> Self:
        limits = self.limits
        if limits.requests_per_second and limits.requests_per_minute:
            raise ValueError("give limits.requests_per_second or requests_per_minute, not both")
        return self

    @model_validator(mode="after")
    def _has_batches(self) -> Self:
        if self.batch and self.kind != "openai":
            raise ValueError(
                f"kind {self.kind} is not asked in batches; leave batch out, or ask a provider of "
                "kind openai"
            )
        return self


_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ABOUT_THE_CALL = {
    "provider", "key_env", "price", "budget_usd", "budget_tokens", "concurrency", "timeout_s",
    "tries", "patience_s", "limits", "batch", "batch_questions", "batch_patience_s",
}  # fmt: skip
