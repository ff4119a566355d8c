"""The `teacher` and `student` sections: where a model comes from and how it is spoken to."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from stillhouse.recipes.section import Count, Positive, Section, Seed


class PlainTemplate(Section):
    """How each role is written when the tokenizer has no chat template; `{content}` is the turn.

    The end-of-text token follows each assistant turn.
    """

    system: str = "{content}\n"
    user: str = "{content}\n"
    assistant: str = "{content}"

    @model_validator(mode="after")
    def _content_stands_once(self) -> Self:
        for role in ("system", "user", "assistant"):
            if getattr(self, role).count("{content}") != 1:
                raise ValueError(f"template.{role} must hold {{content}} exactly once")
        return self


class TrainedTokenizer(Section):
    """A byte-level BPE tokenizer learned from the recipe's own training rows."""

    vocab_size: int = Field(ge=261, le=1_000_000)


class Scratch(Section):
    """A model that starts from random weights: any Hugging Face causal-LM config."""

    model_type: str
    config: dict[str, Any] = Field(default_factory=dict)
    tokenizer: TrainedTokenizer | None = None
    seed: Seed = 0


class ApiEndpoint(Section):
    """A teacher that answers over HTTP; the key is named, never written.

    Attributes:
        budget_usd: what its answers may cost in all; nothing is asked beyond it.
    """

    kind: Literal["openai", "anthropic", "bedrock", "gemini"]
    model: str
    base_url: str | None = None
    key_env: str | None = None
    budget_usd: Positive | None = None


class ModelSource(Section):
    """One model: a folder, a hub id, random weights or an endpoint; exactly one of them.

    Attributes:
        thinking: `off` tells a chat template that can think not to; `template` says nothing.
    """

    path: str | None = None
    hub: str | None = None
    revision: str | None = None
    scratch: Scratch | None = None
    api: ApiEndpoint | None = None
    template: Literal["chat"] | PlainTemplate = "chat"
    thinking: Literal["template", "off"] = "template"
    quantization: Literal["none", "int8", "nf4"] = "none"

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [name for name in ("path", "hub", "scratch", "api") if getattr(self, name)]
        if len(given) != 1:
            stated = " and ".join(given) if given else "none of them"
            raise ValueError(f"give exactly one of path, hub, scratch, api; this has {stated}")
        if self.revision and not self.hub:
            raise ValueError("revision belongs to hub; a folder or scratch model has none")
        return self


class Compute(Section):
    """Where the work runs; `auto` is resolved when the plan is made and part of every hash."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    threads: Literal["auto"] | Count = "auto"
