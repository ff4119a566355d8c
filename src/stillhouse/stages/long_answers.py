"""Answers of a teacher that its student could not read whole, because their tokens are others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from stillhouse.core.rows import Completion, Example
from stillhouse.stages.corpus import Corpus
from stillhouse.stages.named_answers import NamedAnswers

TOO_LONG = "too_long"
"""Why such an answer is not learned."""


def end_long_ones(
    done: Sequence[Completion], asked: Mapping[str, Example], corpus: Corpus, max_tokens: int
) -> list[Completion]:
    """The same, but answers that the student could not read whole end as `too_long`.

    Args:
        done: whose tokens the teacher counted, by a tokenizer of its own.
        asked: the examples that it was asked about, by id.
        corpus: of the student.
        max_tokens: the longest conversation that the student reads; 0 for any.

    Returns:
        In the same order.
    """

    def judged(answer: Completion) -> Completion:
        example = asked.get(answer.example_id)
        if example is None or answer.finish != "stop" or not max_tokens:
            return answer
        if len(corpus.encode(example, answer.text).ids) <= max_tokens:
            return answer
        return replace(answer, finish="error", reason=TOO_LONG)

    return [judged(answer) for answer in done]


def without_long_classes(
    filled: Sequence[Example], named: NamedAnswers, corpus: Corpus, max_tokens: int
) -> list[Example]:
    """The examples with each of whose classes the student could read the whole conversation.

    Args:
        filled: with answers that have room for the classes.
        named: the classes.
        corpus: of the student.
        max_tokens: the longest conversation that the student reads; 0 for any.

    Returns:
        In the same order.
    """

    def fits(example: Example) -> bool:
        family = named.encode(corpus, example, example.answer or "")
        return max(len(one.ids) for one in family) <= max_tokens

    return [example for example in filled if not max_tokens or fits(example)]
