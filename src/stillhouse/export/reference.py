"""The student that what ships must answer like, and how far something is from it.

Legend: T tokens, V rows of the embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from stillhouse.core.errors import ArtifactError
from stillhouse.core.rows import Example
from stillhouse.core.sampling import Sampling
from stillhouse.data.answers import AnswerChecks
from stillhouse.models.generate import Stopping, generate_ids
from stillhouse.models.inference import evaluating, plain_model
from stillhouse.models.source import context_tokens
from stillhouse.tokens.answers import read_answer
from stillhouse.tokens.encode import encode_conversation
from stillhouse.tokens.ends import end_ids
from stillhouse.tokens.template import Template
from stillhouse.tokens.tokenizer import TextTokenizer

Greedy = Callable[[NDArray[np.int32], int, frozenset[int]], NDArray[np.int32]]
"""Prompt, most new tokens and ids that end it -> what is written, (T,) without its end."""


@dataclass(frozen=True, slots=True)
class Reference:
    """The student that a form must answer like.

    Attributes:
        model: merged, in float32.
        tokenizer: its own.
        template: how its conversations are written.
        examples: with answers, whose prompts and texts are compared.
        max_new_tokens: of the greedy answers.
        answer_schema: a JSON Schema that answers should keep; None for any.
        max_schema_loss: share of prompts, at most, whose answer keeps it from the student alone.
    """

    model: PreTrainedModel
    tokenizer: TextTokenizer
    template: Template
    examples: Sequence[Example]
    max_new_tokens: int = 32
    answer_schema: Mapping[str, Any] | None = None
    max_schema_loss: float = 0.0

    def texts(self) -> Iterator[NDArray[np.int32]]:
        """(T,) ids of each whole conversation."""
        for example in self.examples:
            yield encode_conversation(example.messages(), self.template, self.tokenizer).ids

    def room_after(self, prompt: NDArray[np.int32]) -> int:
        """Tokens that may follow a prompt, (T,): no answer is longer than the model's context."""
        context = context_tokens(self.model.config.to_dict())
        return (
            self.max_new_tokens
            if context is None
            else min(self.max_new_tokens, context - len(prompt))
        )


@dataclass(frozen=True, slots=True)
class ComparedAnswers:
    """Greedy answers of a form beside the student's own.

    Attributes:
        same: share of prompts with the same answer, to its end.
        schema_valid: share whose answer keeps the schema; None without one.
        schema_lost: share whose answer keeps it from the student alone; None without one.
    """

    same: float
    schema_valid: float | None = None
    schema_lost: float | None = None


class Distance:
    """How far rows of logits are from others, added up."""

    def __init__(self) -> None:
        self.num_positions = self.num_same = 0
        self.largest = self.largest_logit = self.total_kl = 0.0

    def add(self, ours_TV: NDArray[np.float32], theirs_TV: NDArray[np.float32]) -> None:
        """Add positions.

        Args:
            ours_TV: (T, V) of the student.
            theirs_TV: (T, V) of the form.
        """
        for ours, theirs in zip(ours_TV, theirs_TV, strict=True):
            self.num_positions += 1
            self.num_same += int(ours.argmax() == theirs.argmax())
            # NumPy's maximum keeps NaN, Python's may lose it
            self.largest = float(np.maximum(self.largest, np.abs(ours - theirs).max()))
            self.largest_logit = float(np.maximum(self.largest_logit, np.abs(ours).max()))
            self.total_kl += _kl(ours.astype(np.float64), theirs.astype(np.float64))

    @property
    def mean_kl(self) -> float:
        """KL(student || form), nats a token."""
        return self.total_kl / self.num_positions

    @property
    def top1_agreement(self) -> float:
        """Share of positions with the same likeliest token."""
        return self.num_same / self.num_positions


def logits_of(model: PreTrainedModel, ids: NDArray[np.int32]) -> NDArray[np.float32]:
    """The logits (T, V) of a model after each of these tokens, (T,)."""
    told = torch.from_numpy(ids).long()[None].to(plain_model(model).device)
    with evaluating(model):
        found: NDArray[np.float32] = model(input_ids=told).logits[0].float().cpu().numpy()
    return found


def greedy_answer(
    model: PreTrainedModel, prompt: NDArray[np.int32], most: int, ends: frozenset[int]
) -> NDArray[np.int32]:
    """What a model in memory writes after a prompt, (T,) without its end."""
    (found,) = generate_ids(model, [prompt], Sampling(most), Stopping(ends, min(ends, default=0)))
    return found.ids


def compare_answers(student: Reference, greedy: Greedy) -> ComparedAnswers:
    """Hold a form's greedy answers against the student's.

    The student is asked once about the form's whole answer: it would have written it where each
    token, and the end, is its likeliest.

    Args:
        student: what is answered like.
        greedy: of the form.

    Returns:
        What was the same, and what keeps the schema.
    """
    ends = end_ids(student.tokenizer, student.template)
    checks = AnswerChecks(student.answer_schema, ())
    same = valid = lost = 0
    for example in student.examples:
        prompt, _ = student.tokenizer.encode(student.template.prompt_text(example.prompt))
        most = student.room_after(prompt)
        answer = greedy(prompt, most, ends)
        is_same = _would_write(student.model, prompt, answer, ends, most)
        same += is_same
        if student.answer_schema is None:
            continue
        if not checks.problems(read_answer(answer, student.tokenizer, student.template)[0]):
            valid += 1
        elif not is_same:
            own = greedy_answer(student.model, prompt, most, ends)
            lost += not checks.problems(read_answer(own, student.tokenizer, student.template)[0])
    count = len(student.examples)
    if student.answer_schema is None:
        return ComparedAnswers(same / count)
    return ComparedAnswers(same / count, valid / count, lost / count)


def require_schema(name: str, answers: ComparedAnswers, max_schema_loss: float) -> None:
    """Refuse a form that breaks answers.

    Args:
        name: of the form.
        answers: of `compare_answers`.
        max_schema_loss: share of prompts, at most.

    Raises:
        ArtifactError: more of its answers than that lost the schema.
    """
    lost = answers.schema_lost
    if lost is not None and lost > max_schema_loss:
        raise ArtifactError(
            f"{name} is not the student that was measured: {lost:.1%} of its answers no longer "
            "keep label.answer_schema, where the student's do",
            "take a form with more bits, or raise max_schema_loss beside it if the gate's own rule "
            "on schema_valid is enough",
        )


def _would_write(
    model: PreTrainedModel,
    prompt: NDArray[np.int32],
    answer: NDArray[np.int32],
    ends: frozenset[int],
    most: int,
) -> bool:
    chosen = logits_of(model, np.concatenate([prompt, answer]))[len(prompt) - 1 :]
    likeliest = chosen.argmax(axis=1)
    if not np.array_equal(likeliest[: len(answer)], answer):
        return False
    return len(answer) == most or int(likeliest[len(answer)]) in ends


def _kl(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> float:
    """KL(student || form), nats."""
    ours, theirs = ours - ours.max(), theirs - theirs.max()
    ours -= np.log(np.exp(ours).sum())
    theirs -= np.log(np.exp(theirs).sum())
    return float(np.sum(np.exp(ours) * (ours - theirs)))
