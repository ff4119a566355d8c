"""From the recipe's training section to `transformers.TrainingArguments`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import TrainingArguments

from stillhouse.recipes.compute import ResolvedCompute
from stillhouse.recipes.training import Training
from stillhouse.students.order import Layout

_SCHEDULES = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}


def training_arguments(
    training: Training,
    compute: ResolvedCompute,
    folder: Path,
    counts: tuple[int, int],
    deepspeed: dict[str, Any] | None = None,
) -> tuple[TrainingArguments, Layout]:
    """The Trainer's arguments, and the layout of a step; nothing is reported or pushed anywhere.

    Args:
        training: the recipe's section.
        compute: device, dtype and threads, resolved.
        folder: where checkpoints go.
        counts: how many examples are trained on, and how many are for validation.
        deepspeed: its configuration, where one is used.

    Returns:
        The arguments, and the layout that they and the launcher's processes give.
    """
    optimizer, length = training.optimizer, training.length
    num_train, num_validation = counts
    args = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=length.batch_size,
        per_device_eval_batch_size=length.batch_size,
        gradient_accumulation_steps=length.accumulation,
        learning_rate=optimizer.learning_rate,
        max_grad_norm=optimizer.max_grad_norm,
        lr_scheduler_type=_SCHEDULES[optimizer.schedule],
        warmup_steps=optimizer.warmup_steps,
        seed=training.seed,
        data_seed=training.seed,
        bf16=compute.dtype == "bfloat16",
        use_cpu=compute.device == "cpu",
        ddp_find_unused_parameters=False,
        dataloader_pin_memory=compute.device == "cuda",
        eval_strategy="steps" if num_validation else "no",
        greater_is_better=False,
        save_strategy="steps",
        logging_strategy="steps",
        logging_steps=1,
        logging_nan_inf_filter=False,
        remove_unused_columns=False,
        report_to="none",
        deepspeed=deepspeed,
        disable_tqdm=True,
    )
    if args.n_gpu > 1:
        # Several cards without a launcher: the Trainer would cut our flat targets in the wrong
        # places, so one card trains; torchrun uses them all.
        args._n_gpu = 1
    layout = Layout(length.batch_size, length.accumulation, args.world_size, args.process_index)
    args.max_steps = length.num_steps(num_train, args.world_size)
    args.eval_steps = training.measured_every(args.max_steps)
    args.save_steps = training.saved_every(args.max_steps)
    return args, layout
