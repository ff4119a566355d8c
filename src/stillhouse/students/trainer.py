"""The loop: `transformers.Trainer` with an exact denominator, an exact validation loss, a guard.

It knows no mode by name: an `Objective` says what is minimised, a source what the teacher says.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from accelerate.utils import broadcast_object_list
from peft import PeftModel
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import PreTrainedModel, PrinterCallback, Trainer, TrainingArguments

from stillhouse.core.errors import TrainingError
from stillhouse.core.protocols import Reading
from stillhouse.losses.terms import CE, UnitWeights
from stillhouse.students.assignment import Assignment
from stillhouse.students.batches import ExampleDataset, Learned, count_units, load_batches
from stillhouse.students.checkpoints import (
    checkpoint_folder,
    drop_old,
    load_trainable,
    save_trainable,
    seal,
)
from stillhouse.students.example_file import lengths_of
from stillhouse.students.layerwise import Layerwise
from stillhouse.students.optimizers import build_optimizer, layerwise_of
from stillhouse.students.order import FixedSampler, Layout, StepSampler
from stillhouse.students.watching import (
    EVAL,
    LOSS,
    PERPLEXITY,
    WATCHED,
    StepWatch,
    has_stalled,
    means_of,
    stopping_key,
)

_HIGHEST_EXPONENT = 700.0
"""Of a perplexity that a float still holds."""


def _turned(found: Mapping[str, Reading], metric: str) -> float:
    """The value of the metric that decides, turned so that lower is better."""
    if metric not in found:
        near = difflib.get_close_matches(metric, found, n=1)
        guess = f'did you mean "{near[0]}"? ' if near else ""
        raise TrainingError(
            f"early_stopping.metric is {metric!r}, which was not measured",
            f"{guess}measured: {', '.join(found) or 'nothing but the loss and its terms'}",
        )
    reading = found[metric]
    if math.isnan(reading.value):
        return math.inf
    return -reading.value if reading.is_higher_better else reading.value


class StudentTrainer(Trainer):
    """Trains a model that has the branch of `students.branch`.

    Args:
        model: with the branch installed.
        args: the Trainer's own arguments.
        layout: how the rows of one step are laid out.
        assignment: data, objective and where to write.
    """

    loss_is_scaled_for_ga = True

    def __init__(
        self,
        model: PreTrainedModel | PeftModel,
        args: TrainingArguments,
        layout: Layout,
        assignment: Assignment,
    ) -> None:
        validation = ExampleDataset(assignment.data.validation)
        super().__init__(model=model, args=args, eval_dataset=validation)
        self.remove_callback(PrinterCallback)
        self.student = model
        self.layout = layout
        self.assignment = assignment
        self.collator = assignment.collator
        self.step_tokens = 0
        self.step_units = UnitWeights(0)
        self.layerwise: Layerwise | None = None
        self.watch = StepWatch(assignment.objective, args.max_steps)
        self.stopping_key = stopping_key(assignment.stopping, assignment.objective)

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """The recipe's optimizer over the trainable parameters.

        Args:
            model: the student, where its weights were cut over processes; else its own.

        Returns:
            The optimizer; made once.
        """
        if self.optimizer is None:
            section = self.assignment.optimizer
            student = cast("PreTrainedModel | PeftModel", model or self.student)
            decayed = self.get_decay_parameter_names(student)
            self.optimizer = build_optimizer(student, section, decayed)
            self.layerwise = layerwise_of(self.optimizer, section, self.layout.num_processes)
        return self.optimizer

    def close(self) -> None:
        """Leave nothing on the model that acts when others train it."""
        if self.layerwise:
            self.layerwise.remove()

    def get_train_dataloader(self) -> DataLoader[Learned]:
        """Every batch of the whole training, in one pass of the Trainer."""
        rows = self.assignment.data.train
        sampler = StepSampler(lengths_of(rows), self.layout, self.args.max_steps, self.args.seed)
        return load_batches(ExampleDataset(rows), sampler, self.collator)

    def _get_num_items_in_batch(
        self, batch_samples: list[dict[str, Any]], device: torch.device
    ) -> Tensor:
        """() int64: trained tokens of this step over accumulation and processes."""
        self.watch.start_step()
        counted = [count_units(batch["targets"]) for batch in batch_samples]
        counts = torch.tensor(counted, device=device).sum(0)
        if self.layout.num_processes > 1:
            counts = self.accelerator.reduce(counts, "sum")
        self.step_tokens, tokens, examples = counts.tolist()
        turns = self.layout.num_processes  # DDP's mean over processes is undone
        self.step_units = UnitWeights(turns / max(tokens, 1), turns / max(examples, 1))
        return counts[0]

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,  # noqa: ARG002
    ) -> Any:
        """This batch's part of the step's means over tokens, and over examples."""
        loss, per_token = self.losses_of(model, inputs, self.step_units)
        if not loss.requires_grad:
            raise TrainingError(
                f"step {self.state.global_step + 1}: no trainable parameter reaches the loss",
                "unfreeze a layer below the head, or name other modules in lora.modules",
            )
        self.watch.add_batch(per_token)
        return (loss, per_token) if return_outputs else loss

    def losses_of(
        self, model: nn.Module, batch: dict[str, Any], weights: UnitWeights
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The losses of a batch, each trained token and each example weighted alike.

        Args:
            model: the student, or what the Trainer has wrapped around it.
            batch: as the collator makes it, on the student's device.
            weights: of each; 0 where only the losses are wanted.

        Returns:
            (), the weighted sum; name of each loss term -> nats per token (N,), or per example,
            detached.
        """
        outputs = model(
            **batch,
            ask=self.assignment.teacher.ask,
            objective=self.assignment.objective,
            token_weights=torch.tensor(weights.token, device=batch["input_ids"].device),
            example_weight=weights.example,
        )
        return outputs.loss, outputs.per_token

    def _clip_grad_norm(self, model: nn.Module) -> Any:
        """The gradient's norm before it was shortened; layerwise that was done on the way."""
        return self.layerwise.take_norm() if self.layerwise else super()._clip_grad_norm(model)

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        """The gradient's norm; stops the run where it or the loss cannot be trusted."""
        norm = super()._get_grad_norm(model, grad_norm)
        # Without ZeRO, DeepSpeed tells no norm.
        loss, size = float(self._tr_loss), 1.0 if norm is None else float(norm)
        step = self.state.global_step + 1
        if not math.isfinite(loss) or not math.isfinite(size):
            raise TrainingError(
                f"step {step}: the loss is {loss}, the gradient's norm {size}",
                "lower optimizer.learning_rate, or add warmup_steps; the newest checkpoint is of "
                "before this step",
            )
        if step == 1 and not self.is_deepspeed_enabled:  # which has given the gradients away
            self._require_gradients()
        if size == 0 and self.step_tokens:
            raise TrainingError(
                f"step {step}: every gradient is 0, so nothing would be learned",
                "the student may equal its teacher, or its trainable parts may not reach the loss",
            )
        return norm

    def _require_gradients(self) -> None:
        """A trainable parameter that the loss never reaches would stay as it is without a word."""
        moved = self.optimizer.state if self.optimizer else {}  # already, during the backward pass
        unreached = [
            name
            for name, parameter in self.student.named_parameters()
            if parameter.requires_grad and parameter.grad is None and parameter not in moved
        ]
        if unreached and self.step_tokens:
            raise TrainingError(
                f"step 1: {len(unreached)} trainable parameters got no gradient, first "
                f"{unreached[0]}",
                "freeze them, or name in lora.modules what the loss reaches",
            )

    @torch.no_grad()
    def evaluate(self, *_args: Any, **_kwargs: Any) -> dict[str, float]:
        """The mean of each loss term on the validation examples, the same in each process.

        Args:
            *_args: the Trainer's own, not used.
            **_kwargs: the Trainer's own, not used.

        Returns:
            `eval_loss`, `eval_NAME` of each active loss term, in nats per token or per example, and
            of each metric that the examiner finds.

        Raises:
            TrainingError: the loss is not finite, or what decides when to stop was not measured.
        """
        rows = self.assignment.data.validation
        sampler = FixedSampler(lengths_of(rows), self.layout)
        # On the CPU: Apple's GPUs have no float64.
        sums = torch.zeros(2, len(self.assignment.objective.weights), dtype=torch.float64)
        self.student.eval()
        for batch in load_batches(ExampleDataset(rows), sampler, self.collator):
            told = self.losses_of(self.student, self._prepare_inputs(batch), UnitWeights(0.0))[1]
            terms = [term.cpu().double() for term in told.values()]
            counts = sums.new_tensor([len(term) for term in terms])
            sums += torch.stack([torch.stack([term.sum() for term in terms]), counts])
        self.student.train()
        if self.layout.num_processes > 1:
            sums = self.accelerator.reduce(sums.to(self.args.device), "sum")
        return self._report(sums)

    def _report(self, sums: Tensor) -> dict[str, float]:
        weights = self.assignment.objective.weights
        means = means_of(tuple(weights), sums)
        loss = sum(weight * means.get(name, 0.0) for name, weight in weights.items())
        if not math.isfinite(loss):
            raise TrainingError(f"step {self.state.global_step}: the validation loss is {loss}")
        if CE in means:
            means[PERPLEXITY] = math.exp(min(means[CE], _HIGHEST_EXPONENT))
        metrics = self._examined() | {f"{EVAL}{name}": mean for name, mean in means.items()}
        metrics[EVAL + LOSS] = loss
        self.log({name: value for name, value in metrics.items() if not math.isnan(value)})
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        stopping = self.assignment.stopping
        if stopping and has_stalled(self.stopping_values(), stopping):
            self.control.should_training_stop = True
        return metrics

    def _examined(self) -> dict[str, float]:
        """What the examiner finds, by one process for all; with what decides, if that is of it."""
        examiner, stopping = self.assignment.data.examiner, self.assignment.stopping
        found = dict(examiner()) if examiner and self.is_world_process_zero() else {}
        if self.layout.num_processes > 1:
            found = broadcast_object_list([found])[0]
        values = {f"{EVAL}{name}": reading.value for name, reading in found.items()}
        if stopping and self.stopping_key == EVAL + WATCHED:
            values[self.stopping_key] = _turned(found, stopping.metric)
        return values

    def stopping_values(self) -> list[float]:
        """What decides when to stop, of every measurement so far, also before a crash."""
        log = self.state.log_history
        return [entry[self.stopping_key] for entry in log if self.stopping_key in entry]

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Keep the values for the record, and say how far training is."""
        if "loss" in logs:
            sums = self.watch.sums
            if self.layout.num_processes > 1:
                sums = self.accelerator.reduce(sums.to(self.args.device), "sum").cpu()
            logs |= {"tokens": self.step_tokens, **self.watch.terms(sums)}
        if "loss" in logs or EVAL + LOSS in logs:
            logs |= self.watch.of_the_day()
        super().log(logs, start_time)
        if "loss" in logs:
            self.watch.follow(self.state.log_history)
        shown = self.watch.shown(logs)
        if shown and self.is_world_process_zero():
            self.assignment.progress(self.state.global_step, self.args.max_steps, "steps", **shown)

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:  # noqa: ARG002
        """Not counted: the Trainer would walk over all parameters in every step."""
        return 0

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:  # noqa: ARG002
        if self.is_world_process_zero():
            save_trainable(self.student, Path(output_dir or str(self.args.output_dir)))

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()
        if self.is_world_process_zero():
            workdir = self.assignment.workdir
            if self.assignment.at_checkpoint:
                self.assignment.at_checkpoint(self.state.global_step)
            seal(checkpoint_folder(workdir, self.state.global_step), self.assignment.plan_digest)
            drop_old(workdir, self.state.best_global_step)

    def _load_from_checkpoint(
        self,
        resume_from_checkpoint: str,
        model: nn.Module | None = None,  # noqa: ARG002
    ) -> None:
        load_trainable(self.student, Path(resume_from_checkpoint))
