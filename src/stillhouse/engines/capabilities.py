"""What an engine can do; a recipe that needs more fails before anything starts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can do.

    Attributes:
        text: completes prompts.
        own_logprobs: says how likely the tokens of its own completions were.
        scoring: says how likely given text is.
        full_logits: its scores cover the whole vocabulary, so any top-k and kd_temperature is
            exact.
        top_logprobs: so many entries a token come with its own log-probabilities.
        prompt_logprobs: says how likely the tokens of a given conversation are, one by one.
    """

    text: bool
    own_logprobs: bool
    scoring: bool
    full_logits: bool
    top_logprobs: int = 0
    prompt_logprobs: bool = False
