"""The examples of a run with the tokenizer and template that every later stage reads them by."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stillhouse.core.errors import InputError
from stillhouse.core.files import write_json
from stillhouse.core.rows import Example
from stillhouse.data.storage import read_examples, write_examples
from stillhouse.tokens.encode import EncodedConversation, encode_conversation
from stillhouse.tokens.template import ChatTemplate, PlainTemplate, Template
from stillhouse.tokens.tokenizer import TextTokenizer, load_tokenizer

EXAMPLES, TOKENIZER, TEMPLATE = "examples.parquet", "tokenizer", "template.json"
VOTES = "votes.parquet"
"""Of the examples that people voted on, where the recipe names the field."""
MEASURED_ROWS = "measured_rows.parquet"
"""The rows of validation and holdout, for what is told of examples beside prompt and answer."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """What `prepare` made.

    Attributes:
        examples: of every part, domain by domain, in the order of the rows.
        tokenizer: of teacher and student alike.
        template: how a conversation is written.
        tokenizer_folder: its files.
    """

    examples: list[Example]
    tokenizer: TextTokenizer
    template: Template
    tokenizer_folder: Path

    def of_parts(self, parts: Iterable[str]) -> list[Example]:
        """The examples of those parts."""
        wanted = set(parts)
        return [example for example in self.examples if example.part in wanted]

    def of_domain(self, name: str) -> Corpus:
        """The corpus of one domain's examples alone."""
        return replace(self, examples=[one for one in self.examples if one.domain == name])

    def encode(self, example: Example, answer: str | None = None) -> EncodedConversation:
        """Ids and mask of an example, closed by `answer` or its own."""
        return encode_conversation(example.messages(answer), self.template, self.tokenizer)


def build_template(config: str | dict[str, Any], tokenizer: TextTokenizer) -> Template:
    """The template that a recipe's `template` value means for a tokenizer."""
    if isinstance(config, str):
        return ChatTemplate.of(tokenizer)
    return PlainTemplate(tokenizer.eos_token, bos=tokenizer.added_bos, **config)


def save_corpus(folder: Path, examples: Sequence[Example], template: str | dict[str, Any]) -> None:
    """Write examples and template; the tokenizer's files already stand in the folder."""
    write_examples(folder / EXAMPLES, examples)
    write_json(folder / TEMPLATE, {"template": template})


def open_corpus(folder: Path) -> Corpus:
    """The corpus that `prepare` wrote to a folder."""
    tokenizer = load_tokenizer(folder / TOKENIZER)
    template = json.loads((folder / TEMPLATE).read_text(encoding="utf-8"))["template"]
    return Corpus(
        read_examples(folder / EXAMPLES),
        tokenizer,
        build_template(template, tokenizer),
        folder / TOKENIZER,
    )


def require_trained_tokens(encoded: Sequence[EncodedConversation], parts: Iterable[str]) -> int:
    """The number of trained tokens of these conversations.

    Args:
        encoded: the conversations.
        parts: where they are from, for the message.

    Returns:
        The number, at least 1.

    Raises:
        InputError: there is none, so nothing could be learned.
    """
    total = sum(int(item.is_trained.sum()) for item in encoded)
    if total == 0:
        raise InputError(
            f"not one trained token in the parts {', '.join(parts)} ({len(encoded)} examples)",
            "look at one with: stillhouse mask RECIPE",
        )
    return total
