"""From rows to examples that fit the models' context; used by `prepare` and by every preview."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Drop, Example, Row, StepCount
from stillhouse.data.prepare import prepare_rows
from stillhouse.recipes.models import TrainedTokenizer
from stillhouse.recipes.rows import Prepare
from stillhouse.stages.corpus import build_template
from stillhouse.tokens.fit import fit_to_context
from stillhouse.tokens.template import Template
from stillhouse.tokens.tokenizer import TextTokenizer, load_tokenizer
from stillhouse.tokens.train import train_tokenizer

NEVER_SEEN = ("holdout",)
"""Parts that not even the tokenizer may learn from."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """How rows become examples, beside the recipe's own section.

    Attributes:
        prepare: the section.
        trained_tokenizer: learn one from the rows; None to load `tokenizer_from`.
        tokenizer_from: a folder with a tokenizer.
        template: `chat`, or the three texts of a plain one.
        context: tokens that both models hold; 0 for no limit.
        room_for_answer: tokens kept free where the answer is still to come.
    """

    prepare: Prepare
    trained_tokenizer: TrainedTokenizer | None
    tokenizer_from: Path | None
    template: str | dict[str, Any]
    context: int
    room_for_answer: int


@dataclass(frozen=True, slots=True)
class Made:
    """Examples with everything that happened on the way."""

    examples: list[Example]
    dropped: list[Drop]
    counts: list[StepCount]
    tokenizer: TextTokenizer
    template: Template
    num_cut: int
    tokens: dict[str, int]


def make_examples(rows: Iterable[Row], wanted: Wanted, tokenizer_folder: Path) -> Made:
    """Clean, shape, drop, split, learn or load the tokenizer, and fit to the context.

    Args:
        rows: collected rows.
        wanted: how.
        tokenizer_folder: a trained tokenizer is written here.

    Returns:
        The examples, and what happened to every row.

    Raises:
        InputError: nothing is left of a part that is needed.
    """
    prepared = prepare_rows(rows, wanted.prepare)
    if wanted.trained_tokenizer:
        texts = _texts(prepared.examples)
        size = wanted.trained_tokenizer.vocab_size
        tokenizer = train_tokenizer(texts, size, tokenizer_folder, wanted.context or None)
    else:
        assert wanted.tokenizer_from is not None
        tokenizer = load_tokenizer(wanted.tokenizer_from)
    template = build_template(wanted.template, tokenizer)
    fitter = _Fitter(wanted, template, tokenizer)
    fitted = [fitter.fit(example) for example in prepared.examples]
    kept = [example for example in fitted if example is not None]
    if not any(example.part == "holdout" for example in kept):
        raise InputError(
            "no holdout example fits the context", "raise prepare.max_tokens or shorten the rows"
        )
    count = StepCount(
        "fit_to_context",
        len(fitted),
        len(kept),
        {"longer_than_context": len(fitter.dropped)} if fitter.dropped else {},
        fitter.num_cut,
    )
    return Made(
        kept,
        [*prepared.dropped, *fitter.dropped],
        [*prepared.counts, count],
        tokenizer,
        template,
        fitter.num_cut,
        fitter.tokens,
    )


def _texts(examples: list[Example]) -> Iterable[str]:
    for example in examples:
        if example.part not in NEVER_SEEN:
            yield from (message.content for message in example.messages())


class _Fitter:
    def __init__(self, wanted: Wanted, template: Template, tokenizer: TextTokenizer) -> None:
        limits = [limit for limit in (wanted.context, wanted.prepare.max_tokens) if limit]
        self._max_tokens = min(limits) if limits else 2**31
        self._room = wanted.room_for_answer
        self._template = template
        self._tokenizer = tokenizer
        self.num_cut = 0
        self.dropped: list[Drop] = []
        self.tokens: dict[str, int] = {}

    def fit(self, example: Example) -> Example | None:
        room = 0 if example.answer is not None else self._room
        fitted = fit_to_context(
            example.messages(),
            template=self._template,
            tokenizer=self._tokenizer,
            max_tokens=self._max_tokens,
            room_for_answer=room,
        )
        if fitted is None:
            row = Row(example.example_id, {"prompt": example.prompt[-1].content}, "")
            self.dropped.append(Drop(row, "longer_than_context", f"over {self._max_tokens}"))
            return None
        self.tokens[example.part] = self.tokens.get(example.part, 0) + fitted.num_tokens
        if not fitted.num_cut_chars:
            return example
        self.num_cut += 1
        messages = fitted.messages
        prompt = messages if example.answer is None else messages[:-1]
        return dataclasses.replace(example, prompt=tuple(prompt))
