"""Questions with few named answers, and what a teacher or people say of each answer.

Banking77: people's labels train a small teacher, and students learn from it on questions that it
has not seen. Votes: people's shares are the teacher.

Legend: N questions, C classes.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from stillhouse.core.rows import Message
from stillhouse.losses.terms import CROSS_ENTROPY, Objective
from stillhouse.models.branches import answer_likelihoods
from stillhouse.models.scratch import build_scratch
from stillhouse.recipes.compute import ResolvedCompute
from stillhouse.recipes.models import Scratch
from stillhouse.recipes.training import EarlyStopping, Length, Optimizer, Training, Validation
from stillhouse.students.assignment import TrainingData
from stillhouse.students.class_examples import ClassExample
from stillhouse.students.examples import EncodedExample
from stillhouse.students.train import Setting, train_model
from stillhouse.tokens.answer_trees import grow_tree
from stillhouse.tokens.encode import EncodedConversation, encode_conversation
from stillhouse.tokens.template import PlainTemplate
from stillhouse.tokens.tokenizer import TextTokenizer
from stillhouse.tokens.train import train_tokenizer
from voted import read_votes

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

BY_CLASS = Objective((), class_kl=1.0)
FOUNDING = Objective((), 0.3, 4.0, class_kl=0.7)
_CONTEXT, _VOCAB, _BATCH, _MOST_WORDS = 256, 1200, 16, 60
_EVERY, _PATIENCE = 20, 3


@dataclass(frozen=True, slots=True)
class Size:
    """How much is done; chosen by the time it takes, before anything was compared.

    Attributes:
        student_steps: of a student's training at most, 16 questions each.
        learned: questions that students learn from, at most; a fifth of them only tells when to
            stop.
        measured: questions that are held out, at most.
        teacher_hidden: of a teacher that is trained here.
        teacher_steps: of its training, 32 questions each.
        student_hidden: of every student.
    """

    student_steps: int
    learned: int
    measured: int
    teacher_hidden: int = 96
    teacher_steps: int = 500
    student_hidden: int = 64


VOTED = Size(student_steps=200, learned=800, measured=300)
BANKING77 = Size(student_steps=120, learned=500, measured=200)
"""77 classes make a step of 16 questions 0.28 s of one core."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """What students learn and are measured on.

    Attributes:
        tokenizer: learned from the questions that are not held out.
        template: how a question is written.
        classes: C names.
        families: N times the C whole answers of a question.
        taught_NC: the teacher's probabilities.
        group_N: equal for questions that must not be parted.
        learned: places of questions.
        measured: places of questions.
        told: what is known of the teacher.
    """

    tokenizer: TextTokenizer
    template: PlainTemplate
    classes: tuple[str, ...]
    families: Sequence[Sequence[EncodedConversation]]
    taught_NC: Floats
    group_N: Places
    learned: Places
    measured: Places
    told: dict[str, float]


def banking77(path: Path, size: Size, folder: Path, threads: int) -> Lesson:
    """Real questions to a bank and their 77 labels."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    order = np.random.default_rng(0).permutation(len(rows))
    classes = tuple(sorted({row["category"] for row in rows}))
    measured, learned, taught = np.split(order, [size.measured, size.measured + size.learned])
    texts = [row["text"] for row in rows]
    labels_N = np.array([classes.index(row["category"]) for row in rows])
    # Labels as often as they are learned, as `prepare` sees them.
    seen = [texts[at] for at in (*learned, *taught)] + [rows[at]["category"] for at in taught]
    reader = _reader(seen, classes, folder)
    tokenizer, template = reader
    gold = [
        _example(_encode(texts[at], classes[labels_N[at]], template, tokenizer)) for at in taught
    ]
    teacher = _build(size.teacher_hidden, tokenizer, seed=0)
    plan = Plan(size.teacher_steps, 32, 0, threads)
    _train(teacher, (gold, []), CROSS_ENTROPY, plan, folder / "teacher")
    asked = np.concatenate([learned, measured])
    families = {int(at): _family(texts[at], classes, template, tokenizer) for at in asked}
    taught_NC = np.full((len(rows), len(classes)), np.nan)
    taught_NC[asked] = probabilities(teacher, [families[int(at)] for at in asked], tokenizer)
    right = taught_NC[measured].argmax(1) == labels_N[measured]
    return Lesson(
        *reader,
        classes,
        [families.get(at, []) for at in range(len(rows))],
        taught_NC,
        np.arange(len(rows)),
        learned,
        measured,
        {"teacher accuracy": float(right.mean())},
    )


def voted(name: str, data: Path, size: Size, folder: Path) -> Lesson:
    """Questions that several people answered; two of five are held out, with all their twins."""
    questions = read_votes(name, data)
    texts = [" ".join("\n".join(parts[0]).split()[-_MOST_WORDS:]) for parts in questions.parts]
    is_measured = np.random.default_rng(0).random(questions.group_N.max() + 1) < 0.4
    measured = np.flatnonzero(is_measured[questions.group_N])[: size.measured]
    learned = np.flatnonzero(~is_measured[questions.group_N])[: size.learned]
    tokenizer, template = _reader([texts[at] for at in learned], questions.classes, folder)
    families = [_family(text, questions.classes, template, tokenizer) for text in texts]
    unsure = float((questions.probs_NC.max(1) < 1).mean())
    return Lesson(
        tokenizer,
        template,
        questions.classes,
        families,
        questions.probs_NC,
        questions.group_N,
        learned,
        measured,
        {"questions that people disagree on": unsure},
    )


def taught_by(
    lesson: Lesson, way: str
) -> tuple[list[EncodedExample] | list[ClassExample], Objective]:
    """What a student learns in one of the ways, and how.

    Args:
        lesson: the questions.
        way: `classes` and `founding` learn the teacher's probabilities, the others its likeliest
            class: `hard text` as the text that it is, `hard class` among all classes.

    Returns:
        Examples in one order for every way, and the objective.
    """
    hard_N = lesson.taught_NC.argmax(1, keepdims=False)
    if way == "hard text":
        return [_example(lesson.families[at][hard_N[at]]) for at in lesson.learned], CROSS_ENTROPY
    one_hot_NC = np.eye(len(lesson.classes))[hard_N]
    taught_NC = one_hot_NC if way == "hard class" else lesson.taught_NC
    examples = [
        ClassExample(
            grow_tree(lesson.families[at]), taught_NC[at].astype(np.float32), int(hard_N[at])
        )
        for at in lesson.learned
    ]
    return examples, FOUNDING if way == "founding" else BY_CLASS


def learn(
    lesson: Lesson, way: str, seed: int, size: Size, folder: Path, threads: int
) -> tuple[Floats, int]:
    """What a student says of the measured questions after it learned in one of the ways.

    Args:
        lesson: the questions.
        way: as in `taught_by`; it stops by the validation loss of what it learns.
        seed: of weights and order.
        size: how much is done.
        folder: for checkpoints.
        threads: of torch.

    Returns:
        (N, C), and the step that its weights are of.
    """
    examples, objective = taught_by(lesson, way)
    student = _build(size.student_hidden, lesson.tokenizer, seed)
    apart = len(examples) // 5
    parts = examples[apart:], examples[:apart]
    plan = Plan(size.student_steps, _BATCH, seed, threads)
    best = _train(student, parts, objective, plan, folder / f"{way}-{seed}")
    families = [lesson.families[at] for at in lesson.measured]
    return probabilities(student, families, lesson.tokenizer), best


def probabilities(
    model: PreTrainedModel,
    families: Sequence[Sequence[EncodedConversation]],
    tokenizer: TextTokenizer,
) -> Floats:
    """(N, C) the classes' shares, by the likelihoods of whole answers."""
    found = answer_likelihoods(model, families, vocab_size=tokenizer.vocab_size, batch_size=64)
    scores_NC = np.stack(found)
    shares: Floats = np.exp(scores_NC - np.logaddexp.reduce(scores_NC, axis=1)[:, None])
    return shares


@dataclass(frozen=True, slots=True)
class Plan:
    """One training: its steps at most, questions a step, seed and threads."""

    steps: int
    batch_size: int
    seed: int
    threads: int


def _train(
    model: PreTrainedModel,
    parts: tuple[Sequence[EncodedExample] | Sequence[ClassExample], ...],
    objective: Objective,
    plan: Plan,
    folder: Path,
) -> int:
    train, validation = parts
    stopping = EarlyStopping(patience=_PATIENCE) if validation else None
    training = Training(
        seed=plan.seed,
        length=Length(steps=plan.steps, batch_size=plan.batch_size, checkpoint_every=plan.steps),
        optimizer=Optimizer(learning_rate=3e-3, weight_decay=0.1, beta2=0.98, warmup_steps=30),
        validation=Validation(every_steps=_EVERY),
        early_stopping=stopping,
    )
    setting = Setting(ResolvedCompute("cpu", "float32", plan.threads), folder, "benchmark")
    data = TrainingData(train, validation)
    return train_model(model, data, objective, training, setting).best_step


def _reader(
    texts: Sequence[str], classes: Sequence[str], folder: Path
) -> tuple[TextTokenizer, PlainTemplate]:
    tokenizer = train_tokenizer([*texts, *classes], _VOCAB, folder / "tokenizer", _CONTEXT)
    return tokenizer, PlainTemplate(tokenizer.eos_token, bos=tokenizer.added_bos)


def _build(hidden: int, tokenizer: TextTokenizer, seed: int) -> PreTrainedModel:
    config = {
        "hidden_size": hidden,
        "intermediate_size": 3 * hidden,
        "num_hidden_layers": 2,
        "num_attention_heads": hidden // 32,
        "num_key_value_heads": hidden // 32,
        "head_dim": 32,
        "max_position_embeddings": _CONTEXT,
        "tie_word_embeddings": True,
    }
    torch.manual_seed(seed)
    return build_scratch(Scratch(model_type="qwen3", config=config), tokenizer, seed=seed)


def _family(
    text: str, classes: Sequence[str], template: PlainTemplate, tokenizer: TextTokenizer
) -> list[EncodedConversation]:
    return [_encode(text, name, template, tokenizer) for name in classes]


def _encode(
    text: str, answer: str, template: PlainTemplate, tokenizer: TextTokenizer
) -> EncodedConversation:
    turns = (Message("user", text), Message("assistant", answer))
    return encode_conversation(turns, template, tokenizer)


def _example(encoded: EncodedConversation) -> EncodedExample:
    return EncodedExample(encoded.ids, encoded.is_trained)
