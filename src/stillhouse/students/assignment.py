"""What a trainer is told: what is learned from, what is minimised, and where it writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from stillhouse.core.protocols import Examiner, Progress, no_progress
from stillhouse.losses.terms import Objective
from stillhouse.recipes.training import EarlyStopping, Optimizer
from stillhouse.students.batches import BatchMaker
from stillhouse.students.class_examples import ClassExample
from stillhouse.students.examples import EncodedExample
from stillhouse.students.target_sources import BROUGHT, OpenSource, TargetSource


@dataclass(frozen=True, slots=True)
class TrainingData:
    """What is learned from.

    Attributes:
        train: the examples: all with targets of their tokens, or all with named answers.
        validation: measured, never learned; may be empty.
        source: where the teacher's distribution comes from, if the objective asks for it.
        vocab_size: ids of the tokenizer; 0 takes the rows of the student's head.
        examiner: asks the student at each measurement; None measures the loss alone.
    """

    train: Sequence[EncodedExample] | Sequence[ClassExample]
    validation: Sequence[EncodedExample] | Sequence[ClassExample] = ()
    source: TargetSource = BROUGHT
    vocab_size: int = 0
    examiner: Examiner | None = None


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a `StudentTrainer` is told beside the Trainer's own arguments.

    Attributes:
        data: what is learned from.
        objective: what is minimised.
        teacher: the source of `data`, opened.
        optimizer: how steps are taken.
        stopping: when to stop early, or None.
        workdir: where checkpoints go.
        plan_digest: whose checkpoints these are.
        collator: lays the examples out as the student can read them.
        progress: hears of every step.
        at_checkpoint: is told the step of every checkpoint before it is sealed.
    """

    data: TrainingData
    objective: Objective
    teacher: OpenSource
    optimizer: Optimizer
    stopping: EarlyStopping | None
    workdir: Path
    plan_digest: str
    collator: BatchMaker
    progress: Progress = no_progress
    at_checkpoint: Callable[[int], None] | None = None
