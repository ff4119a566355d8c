"""How text is drawn from a model."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sampling:
    """Greedy by default; `temperature` 0 means greedy.

    Attributes:
        max_new_tokens: the completion ends here at the latest, with finish `length`.
        temperature: softens the distribution that tokens are drawn from, >= 0.
        batch_size: prompts decoded side by side.
        sample_index: which of several completions of each prompt; another one is another draw.
    """

    max_new_tokens: int
    temperature: float = 0.0
    batch_size: int = 32
    sample_index: int = 0
