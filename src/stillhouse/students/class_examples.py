"""Examples with named answers, and what makes one fit to be trained on.

Legend: C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stillhouse.core.errors import InputError, ShapeError
from stillhouse.tokens.answer_trees import AnswerTree

NO_LABEL = -1
"""The hard label of an example that has none."""


@dataclass(frozen=True, slots=True, eq=False)
class ClassExample:
    """The answers to one prompt, with what is learned of them.

    Attributes:
        tree: of the C whole answers, one a class.
        teacher_probs: (C,) float32, 1 in all.
        hard_label: the place of the class whose text is learned, or `NO_LABEL`.
    """

    tree: AnswerTree
    teacher_probs: NDArray[np.float32]
    hard_label: int = NO_LABEL

    @property
    def ids(self) -> NDArray[np.int32]:
        """(W,) the tokens that a model reads."""
        return self.tree.ids


def check_class_examples(
    examples: Sequence[ClassExample], vocab_size: int, *, needs_labels: bool, max_length: int = 0
) -> None:
    """Make sure that every example can be trained on.

    Args:
        examples: what is trained on.
        vocab_size: ids that the student knows.
        needs_labels: the text of hard labels is learned, so that at least one example has some.
        max_length: tokens that the student has positions for; 0 when it names no limit.

    Raises:
        InputError: no examples, none with a hard label, or one that is too long.
        ShapeError: ids beyond the vocabulary, or examples of other classes.
    """
    if not examples:
        raise InputError("there is no example to train on")
    if needs_labels and all(example.hard_label == NO_LABEL for example in examples):
        raise InputError(
            f"not one of {len(examples):,} examples has a hard label, which cross_entropy learns",
            "set label.completions: mix, which takes the teacher's where a row has none, or learn "
            "class_kl alone",
        )
    num_classes = len(examples[0].teacher_probs)
    for index, example in enumerate(examples):
        length = int(example.tree.depths.max()) + 2
        if max_length and length > max_length:
            raise InputError(
                f"example {index} has {length:,} tokens with its longest class, but the student "
                f"has positions for {max_length:,}",
                "set prepare.max_tokens to that, or take a student of a longer context",
            )
        if len(example.teacher_probs) != num_classes or example.tree.num_answers != num_classes:
            raise ShapeError(
                f"example {index} has {example.tree.num_answers} answers and "
                f"{len(example.teacher_probs)} probabilities, the first one {num_classes}",
                "all examples must name the same classes",
            )
        highest = max(example.ids.max(), example.tree.scored.max())
        if highest >= vocab_size:
            raise ShapeError(
                f"example {index} holds token id {highest}, but the student knows {vocab_size}",
                "targets and student must share one tokenizer",
            )
