"""Whom a conversation is written for: a tokenizer, a template, and how much fits."""

from __future__ import annotations

from dataclasses import dataclass

from stillhouse.tokens.template import Template
from stillhouse.tokens.tokenizer import TextTokenizer


@dataclass(frozen=True, slots=True)
class Reader:
    """By what a model reads.

    Attributes:
        name: `student`, also where the teacher reads as it does; or `teacher`.
        tokenizer: cuts text into the model's tokens.
        template: writes a conversation as text.
        max_tokens: the longest conversation.
    """

    name: str
    tokenizer: TextTokenizer
    template: Template
    max_tokens: int
