"""The examples of a run with the tokenizer and template that every later stage reads them by."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from stillhouse.core.errors import InputError
from stillhouse.core.files import write_json
from stillhouse.core.rows import Example
from stillhouse.data.storage import iterate_examples, write_examples
from stillhouse.tokens.encode import EncodedConversation, encode_conversation
from stillhouse.tokens.template import ChatTemplate, PlainTemplate, Template
from stillhouse.tokens.tokenizer import TextTokenizer, load_tokenizer

EXAMPLES, TOKENIZER, TEMPLATE = "examples.parquet", "tokenizer", "template.json"
DROPPED = "dropped.parquet"
"""Every row that ended on the way, with how and why."""
VOTES = "votes.parquet"
"""Of the examples that people voted on, where the recipe names the field."""
VERSIONS = "versions.parquet"
"""The training rows in their several versions, where the recipe wants some."""
MEASURED_ROWS = "measured_rows.parquet"
"""The rows of validation and holdout, for what is told of examples beside prompt and answer."""


@dataclass(frozen=True)
class Corpus:
    """What `prepare` made.

    Attributes:
        folder: of its files.
        tokenizer: of teacher and student alike.
        template: how a conversation is written.
        domain: whose examples alone are meant; empty for all.
    """

    folder: Path
    tokenizer: TextTokenizer
    template: Template
    domain: str = ""

    @property
    def tokenizer_folder(self) -> Path:
        """The tokenizer's files."""
        return self.folder / TOKENIZER

    @cached_property
    def examples(self) -> list[Example]:
        """Of every part, domain by domain, in the order of the rows; in memory from now on."""
        return [one for one in iterate_examples(self.folder / EXAMPLES) if self.holds(one)]

    def holds(self, example: Example) -> bool:
        """Whether an example is of the domain that is meant."""
        return self.domain in ("", example.domain)

    def iterate(self, parts: Iterable[str]) -> Iterator[Example]:
        """The examples of those parts, a few at a time in memory."""
        wanted = set(parts)
        found = iterate_examples(self.folder / EXAMPLES)
        return (one for one in found if one.part in wanted and self.holds(one))

    def of_parts(self, parts: Iterable[str]) -> list[Example]:
        """The examples of those parts."""
        wanted = set(parts)
        return [example for example in self.examples if example.part in wanted]

    def of_domain(self, name: str) -> Corpus:
        """The corpus of one domain's examples alone."""
        return replace(self, domain=name)

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
    return Corpus(folder, tokenizer, build_template(template, tokenizer))


def with_trained_tokens(
    encoded: Iterable[EncodedConversation], parts: Iterable[str]
) -> Iterator[EncodedConversation]:
    """The same conversations, in the end refused where not one of their tokens is trained.

    Args:
        encoded: the conversations.
        parts: where they are from, for the message.

    Yields:
        Each of them.

    Raises:
        InputError: there was one, and nothing could be learned.
    """
    seen = total = 0
    for item in encoded:
        seen, total = seen + 1, total + item.num_trained
        yield item
    if total == 0:
        raise InputError(
            f"not one trained token in the parts {', '.join(parts)} ({seen} examples)",
            "look at one with: stillhouse mask RECIPE",
        )
