"""Servers that speak OpenAI's chat completions, and how each says what OpenAI's own does not.

Every sampling field is sent with its neutral value where a server knows it, because what is left
out means something else on each: vLLM takes the defaults of the model's `generation_config.json`,
llama-server cuts to the 40 likeliest tokens, Ollama follows the model's Modelfile.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from stillhouse.core.errors import UsageError

Thinking = Literal["never", "off", "on"]
"""`never`: the model cannot; nothing is sent. `off` and `on`: it can, and is told."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """One kind of server.

    Attributes:
        name: of the server.
        max_tokens: its field for the longest answer.
        neutral: fields of its own with the values that change nothing.
        thinking: what tells it to think, or not to.
        thinks_without_sampling: while it thinks it takes no sampling field at all.
        top_logprobs: the most entries a token that it gives.
        has_prompt_logprobs: it says how likely the tokens of the prompt are.
        has_batches: it may have a batch endpoint.
    """

    name: str
    max_tokens: str = "max_tokens"
    neutral: dict[str, Any] = field(default_factory=dict)
    thinking: dict[str, dict[str, Any]] = field(default_factory=dict)
    thinks_without_sampling: bool = False
    top_logprobs: int = 20
    has_prompt_logprobs: bool = False
    has_batches: bool = False


_BY_TEMPLATE = {
    "off": {"chat_template_kwargs": {"enable_thinking": False}},
    "on": {"chat_template_kwargs": {"enable_thinking": True}},
}
_BY_EFFORT = {"off": {"reasoning_effort": "none"}, "on": {"reasoning_effort": "medium"}}

DIALECTS = {
    dialect.name: dialect
    for dialect in (
        Dialect(
            "openai",
            max_tokens="max_completion_tokens",
            thinking=_BY_EFFORT,
            thinks_without_sampling=True,
            has_batches=True,
        ),
        Dialect(
            "vllm",
            neutral={"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0},
            thinking=_BY_TEMPLATE,
            has_prompt_logprobs=True,
        ),
        Dialect(
            "llama_server",
            neutral={"top_k": 0, "min_p": 0.0, "repeat_penalty": 1.0, "typical_p": 1.0},
            thinking=_BY_TEMPLATE,
        ),
        # Its OpenAI form has no fields for top_k and the like: the Modelfile decides.
        Dialect("ollama", thinking=_BY_EFFORT),
        # Nothing but what OpenAI documents, and no way to switch thinking.
        Dialect("other", has_batches=True),
    )
}


def thinking_fields(dialect: Dialect, thinking: Thinking) -> dict[str, Any]:
    """The fields that switch thinking.

    Args:
        dialect: of the server.
        thinking: as the recipe says.

    Returns:
        Fields of the request.

    Raises:
        UsageError: the server is not known to have such a switch.
    """
    if thinking == "never":
        return {}
    if thinking not in dialect.thinking:
        known = ", ".join(name for name, one in DIALECTS.items() if one.thinking)
        raise UsageError(
            f"no way is known to switch thinking {thinking} on a server of kind {dialect.name!r}",
            f"name the server ({known}), or say thinking: never for a model that cannot think",
        )
    return dialect.thinking[thinking]
