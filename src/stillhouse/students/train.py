"""One path for every training: a teacher on gold answers, a student on stored targets, a twin."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import PreTrainedModel, TrainerState

from stillhouse.core.errors import InputError, ModelError
from stillhouse.core.kd_metrics import KdMetrics, Series
from stillhouse.core.protocols import Progress, no_progress
from stillhouse.losses.terms import Objective
from stillhouse.models.head import find_head
from stillhouse.models.inference import plain_model
from stillhouse.models.quantised import keep_unpacked, refuse_repacked
from stillhouse.models.source import context_tokens
from stillhouse.models.trees import can_read_trees
from stillhouse.recipes.compute import ResolvedCompute
from stillhouse.recipes.training import Training
from stillhouse.students.alone import launch_alone
from stillhouse.students.arguments import training_arguments
from stillhouse.students.assignment import Assignment, TrainingData
from stillhouse.students.batches import BatchMaker, Collator, Learned
from stillhouse.students.branch import install_branch, remove_branch
from stillhouse.students.checkpoints import (
    FOLDER,
    checkpoint_folder,
    latest_sealed,
    load_trainable,
)
from stillhouse.students.class_batches import ClassCollator
from stillhouse.students.class_examples import ClassExample, check_class_examples
from stillhouse.students.example_file import ExampleFile, lengths_of
from stillhouse.students.examples import EncodedExample, check_examples
from stillhouse.students.heap import sparing_heap
from stillhouse.students.optimizers import OptimizerFacts, optimizer_facts
from stillhouse.students.target_sources import NOTHING, OpenSource
from stillhouse.students.trackers import NO_TRACKERS, Trackers
from stillhouse.students.trainer import StudentTrainer
from stillhouse.students.watching import has_stalled, record_of, series_of, stopping_key


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a training runs.

    Attributes:
        compute: device, dtype and threads; `bfloat16` is autocast, weights stay float32.
        workdir: checkpoints go into a folder of it.
        plan_digest: of everything that decides what training does; only checkpoints with the
            same digest are resumed.
        progress: hears of every step.
        deepspeed: its configuration, where one is used.
        at_checkpoint: is told the step of every checkpoint before it is sealed, when the model
            holds its weights; told again after a crash in between.
        trackers: hear of every step too.
    """

    compute: ResolvedCompute
    workdir: Path
    plan_digest: str
    progress: Progress = no_progress
    deepspeed: dict[str, Any] | None = None
    at_checkpoint: Callable[[int], None] | None = None
    trackers: Trackers = NO_TRACKERS


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """What was measured at one step; losses in nats per token, None where not measured."""

    step: int
    loss: float | None
    validation_loss: float | None = None


@dataclass(frozen=True, slots=True)
class TrainResult:
    """How a training went.

    Attributes:
        record: what was measured, step by step.
        series: seconds and memory beside it, which differ from run to run.
        steps: steps taken.
        best_step: the step that the model's weights are of.
        stopped_early: what early stopping watches had stalled.
        tokens_trained: trained tokens over all steps, counted as often as they were seen.
        is_packed: several examples shared a row; False where the model cannot read such rows, so
            that each had one, padded.
        optimizer: what the optimizer holds.
    """

    record: KdMetrics
    series: Series = field(compare=False)
    steps: int
    best_step: int
    stopped_early: bool
    tokens_trained: int
    is_packed: bool
    optimizer: OptimizerFacts

    @property
    def curve(self) -> tuple[CurvePoint, ...]:
        """The losses, one point a step."""
        losses = {one.step: one.loss for one in self.record.steps}
        measured = {one.step: one.loss for one in self.record.validation}
        steps = sorted(losses.keys() | measured.keys())
        return tuple(CurvePoint(step, losses.get(step), measured.get(step)) for step in steps)


def train_model(
    model: PreTrainedModel | PeftModel,
    data: TrainingData,
    objective: Objective,
    training: Training,
    setting: Setting,
) -> TrainResult:
    """Train the model in place and say how it went; goes on from the newest sealed checkpoint.

    The same model, data, training and compute give the same weights, bit for bit, however often
    the process was killed on the way. With early stopping the model ends with the weights of its
    lowest validation loss. Checkpoints stay: `checkpoints.delete_checkpoints` removes them once
    the model is saved.

    Args:
        model: a causal language model, or a PEFT model around it; as at the beginning, also when
            a training is resumed.
        data: examples, and where the teacher's distribution comes from if the objective needs it.
        objective: what is minimised.
        training: the recipe's section; its `lora` and `parts` have been applied by the caller.
        setting: machine, folder, digest and progress.

    Returns:
        The curve and what was reached.

    Raises:
        InputError: an example that cannot be trained on, or early stopping without validation.
        ModelError: a model whose head is not known, or trainable weights in half precision.
        UsageError: an optimizer that this machine does not have.
        TrainingError: NaN, missing or zero gradients; names the step.
    """
    data = data if objective.needs_teacher else replace(data, source=NOTHING)
    _check(model, data, objective, training)
    if setting.deepspeed:
        launch_alone()
    torch.set_num_threads(setting.compute.threads)
    with ExitStack() as stack:
        if training.gradient_checkpointing and setting.compute.device == "cpu":
            stack.enter_context(sparing_heap())
        is_packed = stack.enter_context(_ready_to_train(model, training, data.vocab_size))
        teacher = data.source.open(model, data.vocab_size)
        _check_context(data, teacher)
        assignment = Assignment(
            data=data,
            objective=objective,
            teacher=teacher,
            optimizer=training.optimizer,
            stopping=training.early_stopping,
            workdir=setting.workdir,
            plan_digest=setting.plan_digest,
            collator=_collator(model, data, objective, is_packed and teacher.reads_packed),
            progress=setting.progress,
            at_checkpoint=setting.at_checkpoint,
        )
        trainer = stack.enter_context(closing(_build_trainer(model, assignment, training, setting)))
        newest = _newest_checkpoint(trainer, setting)
        if newest and _is_done(newest, training, trainer.stopping_key):
            trainer.state = TrainerState.load_from_json(str(newest / "trainer_state.json"))
            load_trainable(model, newest)
        else:
            with setting.trackers.listening(trainer):
                trainer.train(resume_from_checkpoint=str(newest) if newest else None)
        return _finish(trainer, training, setting)


def _check(
    model: PreTrainedModel | PeftModel, data: TrainingData, objective: Objective, training: Training
) -> None:
    if training.early_stopping and not data.validation:
        raise InputError(
            "early_stopping needs validation examples, and there are none",
            "give prepare.split a validation part, or leave early_stopping out",
        )
    keep_unpacked(model)
    refuse_repacked(model)
    for examples in (data.train, data.validation):
        if examples or examples is data.train:
            _check_examples(model, examples, data, objective)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and parameter.dtype != torch.float32:
            raise ModelError(
                f"the trainable parameter {name} is {parameter.dtype}; small updates would be lost",
                "load the model in float32; compute.dtype: bfloat16 still runs its products in "
                "bfloat16",
            )


def _check_examples(
    model: PreTrainedModel | PeftModel,
    examples: Sequence[Learned],
    data: TrainingData,
    objective: Objective,
) -> None:
    known = data.vocab_size or find_head(model).num_used
    longest = context_tokens(plain_model(model).config.to_dict()) or 0
    if isinstance(examples, ExampleFile) and not objective.class_kl:
        check_examples(examples, known, data.source.log_z_column + 1, longest)
        return
    classes = [one for one in examples if isinstance(one, ClassExample)]
    texts = [one for one in examples if isinstance(one, EncodedExample)]
    if (bool(classes) == bool(texts) and examples) or bool(classes) != bool(objective.class_kl):
        raise InputError(
            "class_kl is learned from examples with named answers, and other terms from text",
            "pass ClassExample for an objective with class_kl, else EncodedExample",
        )
    if classes:
        needs_labels = objective.cross_entropy > 0 and examples is data.train
        check_class_examples(classes, known, needs_labels=needs_labels, max_length=longest)
    else:
        check_examples(texts, known, data.source.log_z_column + 1, longest)


def _collator(
    model: PreTrainedModel | PeftModel, data: TrainingData, objective: Objective, is_packed: bool
) -> BatchMaker:
    if objective.class_kl:
        return ClassCollator(can_read_trees(model))
    return Collator(data.source.log_z_column, is_packed, objective.kd_temperature)


def _check_context(data: TrainingData, teacher: OpenSource) -> None:
    longest = max(int(lengths_of(part).max()) for part in (data.train, data.validation) if part)
    if teacher.context and longest > teacher.context:
        raise InputError(
            f"an example has {longest:,} tokens, but the teacher has positions for "
            f"{teacher.context:,}",
            f"set prepare.max_tokens to {teacher.context}, or take a teacher of a longer context",
        )


def _build_trainer(
    model: PreTrainedModel | PeftModel,
    assignment: Assignment,
    training: Training,
    setting: Setting,
) -> StudentTrainer:
    data = assignment.data
    counts = (len(data.train), len(data.validation))
    folder = setting.workdir / FOLDER
    args, layout = training_arguments(training, setting.compute, folder, counts, setting.deepspeed)
    setting.trackers.tell(args)
    if data.validation:
        args.metric_for_best_model = stopping_key(training.early_stopping, assignment.objective)
    return StudentTrainer(model, args, layout, assignment)


def _newest_checkpoint(trainer: StudentTrainer, setting: Setting) -> Path | None:
    """The checkpoint to go on from; the first process deletes torn ones before others look."""
    if trainer.is_world_process_zero():
        latest_sealed(setting.workdir, setting.plan_digest)
    trainer.accelerator.wait_for_everyone()
    return latest_sealed(setting.workdir, setting.plan_digest)


def _is_done(checkpoint: Path, training: Training, key: str) -> bool:
    state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
    values = [entry[key] for entry in state.log_history if key in entry]
    stopping = training.early_stopping
    return state.global_step >= state.max_steps or bool(stopping and has_stalled(values, stopping))


def _finish(trainer: StudentTrainer, training: Training, setting: Setting) -> TrainResult:
    state, stopping = trainer.state, training.early_stopping
    best = state.best_global_step if stopping else None
    if best:
        load_trainable(trainer.student, checkpoint_folder(setting.workdir, best))
    objective = trainer.assignment.objective
    return TrainResult(
        record=record_of(state.log_history, objective, trainer.args.max_steps),
        series=series_of(state.log_history),
        steps=state.global_step,
        best_step=best or state.global_step,
        stopped_early=bool(stopping and has_stalled(trainer.stopping_values(), stopping)),
        tokens_trained=sum(int(entry.get("tokens", 0)) for entry in state.log_history),
        is_packed=trainer.collator.is_packed,
        optimizer=optimizer_facts(trainer.student, training.optimizer),
    )


@contextmanager
def _ready_to_train(
    model: PreTrainedModel | PeftModel, training: Training, vocab_size: int
) -> Iterator[bool]:
    """The branch and gradient checkpointing inside; the model as it was, in eval mode, after.

    Gives whether it reads packed rows.
    """
    inner = plain_model(model)
    use_cache = inner.config.use_cache
    is_packed = install_branch(model, vocab_size=vocab_size)
    if training.gradient_checkpointing:
        inner.activation_checkpointing_enable()
    try:
        yield is_packed
    finally:
        if training.gradient_checkpointing:
            inner.activation_checkpointing_disable()
        remove_branch(model)
        inner.config.use_cache = use_cache
        model.eval()
