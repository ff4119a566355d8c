"""Encoded examples with what is learned from them, and what makes one fit to be trained on.

Legend: T token position, P trained tokens of one example.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stillhouse.core.errors import InputError, ShapeError
from stillhouse.core.targets import TokenTargets


@dataclass(frozen=True, slots=True, eq=False)
class EncodedExample:
    """One conversation as ids, with what is learned from it.

    Attributes:
        ids: (T,) int32.
        is_trained: (T,) bool, true where the token itself is predicted; never at position 0.
        targets: the teacher's distribution at the P trained tokens, or None to learn the tokens
            alone.
    """

    ids: NDArray[np.int32]
    is_trained: NDArray[np.bool_]
    targets: TokenTargets | None = None


def check_examples(
    examples: Sequence[EncodedExample], vocab_size: int, num_log_z: int, max_length: int = 0
) -> None:
    """Make sure that every example can be trained on.

    Args:
        examples: what is trained on; targets on all of them or on none.
        vocab_size: ids that the student knows.
        num_log_z: columns of log Z that are needed; 0 when the objective needs no targets.
        max_length: tokens that the student has positions for; 0 when it names no limit.

    Raises:
        InputError: no examples, one without a trained token, one without needed targets, or one
            that is too long.
        ShapeError: ids beyond the vocabulary, or targets that belong to other tokens.
    """
    if not examples:
        raise InputError("there is no example to train on")
    for index, example in enumerate(examples):
        if max_length and len(example.ids) > max_length:
            raise InputError(
                f"example {index} has {len(example.ids):,} tokens, but the student has positions "
                f"for {max_length:,}",
                "set prepare.max_tokens to that, or take a student of a longer context",
            )
        trained = example.ids[example.is_trained]
        if not len(trained) or example.is_trained[0]:
            raise InputError(
                f"example {index} trains no token, or its first, which nothing predicts",
                "drop rows without an answer in prepare",
            )
        highest = example.ids.max()
        if num_log_z:
            highest = max(highest, _check_targets(index, example, trained, num_log_z))
        if highest >= vocab_size:
            raise ShapeError(
                f"example {index} holds token id {highest}, but the student knows {vocab_size}",
                "targets and student must share one tokenizer",
            )


def _check_targets(
    index: int, example: EncodedExample, trained: NDArray[np.int32], num_log_z: int
) -> np.int32:
    targets = example.targets
    if targets is None:
        raise InputError(
            f"example {index} has no soft targets, which its loss terms need",
            "label the parts that are trained on, or learn with cross_entropy alone",
        )
    if not np.array_equal(targets.token_ids, trained):
        raise ShapeError(
            f"example {index} trains {len(trained)} tokens; its targets belong to "
            f"{len(targets.token_ids)} tokens that are not the same"
        )
    if targets.log_z.shape[1] < num_log_z:
        raise ShapeError(f"example {index} has {targets.log_z.shape[1]} columns of log Z")
    drawn = 0 if targets.draws is None else targets.draws.ids.max(initial=0)
    return max(targets.top_ids.max(initial=0), drawn)
