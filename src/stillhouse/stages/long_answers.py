"""Answers of a teacher that its student could not read, or not whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Completion, Example
from stillhouse.stages.corpus import Corpus
from stillhouse.stages.named_answers import NamedAnswers

TOO_LONG, UNREADABLE = "too_long", "unreadable"
"""Why such an answer is not learned: no room for it, or no way to write it by the template."""


def end_unreadable(
    done: Sequence[Completion], asked: Mapping[str, Example], corpus: Corpus, max_tokens: int
) -> list[Completion]:
    """The same, but answers that the student could not read end as errors with the reason.

    One answer must not end the labelling of all: a model that always thinks forgets to once, and
    bytes that are no UTF-8 become more tokens than the teacher wrote.

    Args:
        done: what was said; of a teacher with a tokenizer of its own, counted by that.
        asked: the examples that it was asked about, by id.
        corpus: of the student.
        max_tokens: the longest conversation that the student reads; 0 for any.

    Returns:
        In the same order.

    Raises:
        InputError: the template can write none of the answers; says why not the first.
    """
    refused: list[InputError] = []

    def judged(answer: Completion) -> Completion:
        example = asked.get(answer.example_id)
        if example is None or answer.finish != "stop":
            return answer
        try:
            length = len(corpus.encode(example, answer.text).ids)
        except InputError as error:
            refused.append(error)
            return replace(answer, finish="error", reason=UNREADABLE)
        if max_tokens and length > max_tokens:
            return replace(answer, finish="error", reason=TOO_LONG)
        return answer

    ended = [judged(answer) for answer in done]
    whole = [one for one in done if one.example_id in asked and one.finish == "stop"]
    if refused and len(refused) == len(whole):
        raise refused[0]
    return ended


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
