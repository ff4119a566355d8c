"""The examples of a run, and the tokenizer and template by which each model reads them.

They are messages, written once. The student's reader lies beside them; a teacher that reads by
other words has its own in a folder of its name, and without that folder reads as the student does.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from stillhouse.core.errors import InputError
from stillhouse.core.files import write_json
from stillhouse.core.rows import Example
from stillhouse.data.storage import iterate_examples, write_examples
from stillhouse.tokens.encode import EncodedConversation, digest_view, encode_conversation
from stillhouse.tokens.template import Template, build_template
from stillhouse.tokens.tokenizer import TextTokenizer, load_tokenizer

Which = Literal["teacher", "student"]
EXAMPLES, TOKENIZER, TEMPLATE = "examples.parquet", "tokenizer", "template.json"
SHARED: Which = "student"
"""Who reads with what lies beside the examples, together with a teacher that reads alike."""
TOKENIZER_OF = "tokenizer of the "
"""Before a reader's name: where its tokenizer lies on this machine, unless it is learned."""
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
        home: of the reader whom conversations are encoded for.
        tokenizer: the reader's.
        template: how a conversation is written for it.
        domain: whose examples alone are meant; empty for all.
    """

    folder: Path
    home: Path
    tokenizer: TextTokenizer
    template: Template
    domain: str = ""

    @property
    def tokenizer_folder(self) -> Path:
        """The tokenizer's files."""
        return self.home / TOKENIZER

    @property
    def has_two_readers(self) -> bool:
        """Whether the teacher reads by words of its own."""
        return home_of(self.folder, "teacher") != home_of(self.folder, "student")

    def read_by(self, reader: Which) -> Corpus:
        """The same examples for teacher or student."""
        if home_of(self.folder, reader) == self.home:
            return self
        return replace(open_corpus(self.folder, reader), domain=self.domain)

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

    def view_digest(self, example: Example, answer: str) -> str:
        """That of `encode`, without encoding."""
        return digest_view(example.messages(answer), self.template, self.tokenizer)


def answer_bytes(corpus: Corpus, example: Example) -> int:
    """UTF-8 bytes of an example's answers whose tokens are scored."""
    turns = example.messages()
    left_out = {one.turn for one in corpus.encode(example).left_out}
    return sum(
        len(turn.content.encode())
        for number, turn in enumerate(turns)
        if turn.role == "assistant" and number not in left_out
    )


def own_home(folder: Path, reader: str) -> Path:
    """Where tokenizer and template of a reader are written to, in the folder of a corpus."""
    return folder if reader == SHARED else folder / reader


def home_of(folder: Path, reader: Which) -> Path:
    """Where those that teacher or student reads by lie, in the folder of a corpus."""
    own = own_home(folder, reader)
    return own if own.is_dir() else folder


def save_corpus(folder: Path, examples: Sequence[Example]) -> None:
    """Write the examples."""
    write_examples(folder / EXAMPLES, examples)


def save_template(home: Path, template: str | dict[str, Any]) -> None:
    """Write a reader's template; the tokenizer's files stand beside it."""
    write_json(home / TEMPLATE, {"template": template})


def open_corpus(folder: Path, reader: Which = SHARED) -> Corpus:
    """The corpus that `prepare` wrote to a folder, for one of its readers."""
    home = home_of(folder, reader)
    tokenizer = load_tokenizer(home / TOKENIZER)
    template = json.loads((home / TEMPLATE).read_text(encoding="utf-8"))["template"]
    return Corpus(folder, home, tokenizer, build_template(template, tokenizer))


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
