"""Children that train: our trainer, and TRL's on the same rows in the same order.

A turn is one step of the optimizer, everything between two steps included: reading targets,
collating, forward, backward, update. The first step comes before the first turn.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measure import Turns, resident_bytes


def train(spec: dict[str, Any]) -> None:
    """Train as told; never comes back.

    Args:
        spec: `trainer`, `vocab`, `batch`, `steps`, `threads`, `dtype`; `objective` and `store`
            for ours, `beta` for GKD, `grouped` for TRL's batches of like length.
    """
    turns = Turns()
    import torch

    torch.set_num_threads(spec["threads"])
    run = {"ours": _ours, "trl_sft": _sft, "trl_gkd": _gkd}[spec["trainer"]]
    run(spec, _Steps(turns))
    os._exit(0)


class _Steps:
    """Stops a training after each step until the next turn."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._imported = 0
        self._begun = False

    def imported(self) -> None:
        """Everything is imported: memory counts from here."""
        self._imported = resident_bytes()

    def done(self) -> None:
        """A step is done."""
        extra = resident_bytes(peak=True) - self._imported
        self._turns.report(extra_bytes=extra)
        if not self._turns.wait():
            os._exit(0)


# Ours -----------------------------------------------------------------------------------------


def _ours(spec: dict[str, Any], steps: _Steps) -> None:
    from stillhouse.losses.divergences import JSD, ForwardKL
    from stillhouse.losses.terms import CROSS_ENTROPY, Objective
    from stillhouse.recipes.compute import ResolvedCompute
    from stillhouse.recipes.training import Length, Optimizer, Training
    from stillhouse.students.assignment import TrainingData
    from stillhouse.students.examples import EncodedExample
    from stillhouse.students.train import Setting, train_model
    from stillhouse.targets.read import TargetReader
    from workload import Work

    work = Work.of(spec)
    steps.imported()
    objective = {
        "cross_entropy": CROSS_ENTROPY,
        "forward_kl": Objective(((ForwardKL(), 1.0),)),
        "forward_kl and cross_entropy": Objective(((ForwardKL(), 0.5),), 0.5),
        "jsd": Objective(((JSD(0.5), 1.0),)),
    }[spec["objective"]]
    reader = TargetReader(Path(spec["store"])) if objective.needs_teacher else None
    examples = [
        EncodedExample(row.ids, row.is_trained, reader.get(str(number)) if reader else None)
        for number, row in enumerate(work.rows())
    ]

    def progress(*_args: Any, **_shown: Any) -> None:
        steps.done()

    training = Training(
        length=Length(steps=work.steps, batch_size=work.batch, checkpoint_every=work.steps),
        optimizer=Optimizer(learning_rate=1e-4),
    )
    compute = ResolvedCompute("cpu", spec["dtype"], spec["threads"])
    with tempfile.TemporaryDirectory() as folder:
        train_model(
            work.student(),
            TrainingData(examples, vocab_size=work.vocab),
            objective,
            training,
            Setting(compute, Path(folder), "benchmark", progress),
        )


# TRL ------------------------------------------------------------------------------------------


def _sft(spec: dict[str, Any], steps: _Steps) -> None:
    from trl import SFTConfig, SFTTrainer

    def build(arguments: dict[str, Any], shared: dict[str, Any]) -> Any:
        return SFTTrainer(args=SFTConfig(**arguments), **shared)

    _trl(spec, steps, build)


def _gkd(spec: dict[str, Any], steps: _Steps) -> None:
    from trl.experimental.gkd import GKDConfig, GKDTrainer

    from workload import Work

    def build(arguments: dict[str, Any], shared: dict[str, Any]) -> Any:
        config = GKDConfig(**arguments, lmbda=0.0, beta=spec["beta"], temperature=1.0)
        return GKDTrainer(teacher_model=Work.of(spec).teacher(), args=config, **shared)

    _trl(spec, steps, build)


def _trl(
    spec: dict[str, Any],
    steps: _Steps,
    build: Callable[[dict[str, Any], dict[str, Any]], Any],
) -> None:
    from datasets import Dataset
    from transformers import TrainerCallback

    from workload import Work

    work = Work.of(spec)
    steps.imported()

    class Stop(TrainerCallback):
        def on_step_end(self, *_args: Any, **_state: Any) -> None:
            steps.done()

    rows, order = work.rows(), work.order()
    if spec.get("grouped"):
        order = [order[0], *_by_length(rows, order[1:])]
    listed = [
        {"input_ids": rows[i].ids.tolist(), "prompt_tokens": int((~rows[i].is_trained).sum())}
        for step in order
        for i in step
    ]
    with tempfile.TemporaryDirectory() as folder:
        arguments = {
            "output_dir": folder,
            "per_device_train_batch_size": work.batch,
            "max_steps": work.steps,
            "train_sampling_strategy": "sequential",  # the rows stand in our trainer's order
            "report_to": "none",
            "save_strategy": "no",
            "logging_strategy": "no",
            "use_cpu": True,
            "bf16": spec["dtype"] == "bfloat16",
            "optim": "adamw_torch_fused",
            "learning_rate": 1e-4,
            "max_grad_norm": 1.0,
            "gradient_checkpointing": False,
            "disable_tqdm": True,
            "remove_unused_columns": False,
            "dataloader_pin_memory": False,
            "dataset_kwargs": {"skip_prepare_dataset": True},
            "max_length": None,
        }
        shared = {
            "model": work.student(),
            "train_dataset": Dataset.from_list(listed),
            "processing_class": _tokenizer(),
            "data_collator": _collate,
            "callbacks": [Stop()],
        }
        build(arguments, shared).train()


def _by_length(rows: list[Any], order: list[list[int]]) -> list[list[int]]:
    """The same rows dealt anew, so that each step has rows of like length."""
    indices = sorted((i for step in order for i in step), key=lambda i: -len(rows[i].ids))
    size = len(order[0])
    return [indices[start : start + size] for start in range(0, len(indices), size)]


def _collate(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Padded on the right, as TRL's own collators give it."""
    import torch

    width = max(len(row["input_ids"]) for row in rows)
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
    for number, row in enumerate(rows):
        length, prompt = len(row["input_ids"]), row["prompt_tokens"]
        ids[number, :length] = torch.tensor(row["input_ids"])
        mask[number, :length] = 1
        labels[number, prompt:length] = ids[number, prompt:length]
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def _tokenizer() -> Any:
    """TRL wants one; the rows are token ids already, so it needs no words."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = {"<pad>": 0, "<bos>": 1, "<eos>": 2}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="<pad>")),
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
    )
