"""Run by a test: trains in forked children, kills them with SIGKILL, and compares what they leave.

The children are forked after the imports, which take longer than everything else. A new way of
training is a row of `MODES`, a new optimizer one of `OPTIMIZERS`, a new kind of weights one of
`WEIGHTS`: each goes through the whole matrix.
"""

import json
import os
import shutil
import signal
import sys
import time
import traceback
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import transformers
from modes import live_teacher
from tiny_classes import BY_CLASS, draw_class_examples
from tiny_students import (
    BOTH,
    ONE_THREAD,
    VOCAB,
    build,
    data_of,
    draw_examples,
    quick,
    weights_of,
)

from stillhouse.core.hashing import digest_value
from stillhouse.core.protocols import Reading
from stillhouse.losses.terms import CROSS_ENTROPY
from stillhouse.models.adapters import add_lora
from stillhouse.models.inference import evaluating
from stillhouse.models.load import LoadOptions, load_model
from stillhouse.recipes.compute import ResolvedCompute
from stillhouse.recipes.training import EarlyStopping, Galore, Lora, Optimizer, Validation
from stillhouse.students import trainer as trainer_module
from stillhouse.students.assignment import TrainingData
from stillhouse.students.galore import GaloreAdamW
from stillhouse.students.target_sources import NOTHING, AdapterOff, Live
from stillhouse.students.train import Setting, train_model
from stillhouse.students.trainer import StudentTrainer

transformers.logging.set_verbosity_error()
STEPS = 9
CASES = {
    "dropout": {"kind": "llama", "training": {"accumulation": 2, "checkpoint_every": 2}},
    "lora-best": {
        "lora": True,
        "training": {
            "validation": Validation(every_steps=2),
            "early_stopping": EarlyStopping(patience=2),
        },
        "learning_rate": 0.2,
    },
    "examined": {
        "training": {
            "validation": Validation(every_steps=1),
            "early_stopping": EarlyStopping(metric="right", patience=4),
        },
        "learning_rate": 0.03,
    },
    "plain": {"training": {"checkpoint_every": 3}},
    "lora-dropout": {"kind": "llama", "lora": True, "training": {"checkpoint_every": 1}},
    "bfloat16": {"training": {"checkpoint_every": 2}, "dtype": "bfloat16"},
    "two-threads": {"training": {"checkpoint_every": 2}, "threads": 2},
    "cross-entropy": {"objective": CROSS_ENTROPY, "training": {"checkpoint_every": 2}},
    "best": {
        "training": {
            "validation": Validation(every_steps=1),
            "early_stopping": EarlyStopping(patience=3),
        }
    },
    "gradient-checkpointing": {
        "kind": "llama",
        "training": {"checkpoint_every": 2, "gradient_checkpointing": True},
    },
}
WIDE = {"hidden_size": 64, "intermediate_size": 128}
"""Sizes at which 8-bit AdamW keeps some moments in 8 bits."""

OPTIMIZERS = {
    "adamw": Optimizer(learning_rate=1e-2, weight_decay=0.1, warmup_steps=3),
    "adamw_8bit": Optimizer(name="adamw_8bit", learning_rate=1e-2, schedule="linear"),
    "galore_adamw": Optimizer(
        name="galore_adamw",
        learning_rate=1e-2,
        weight_decay=0.1,
        galore=Galore(rank=4, update_gap=7),
    ),
    "layerwise": Optimizer(
        name="galore_adamw",
        learning_rate=1e-2,
        galore=Galore(rank=4, update_gap=7, layerwise=True),
    ),
}


def quantised(folder):
    """An adapter over weights in 4 bits."""
    build("llama", **WIDE).save_pretrained(folder / "base")
    base = load_model(folder / "base", options=LoadOptions("nf4"))
    return add_lora(base, Lora(rank=4, dropout=0.1), 0)


WEIGHTS = {
    "full": lambda _: build("llama", **WIDE),
    "lora": lambda _: build("llama", lora=True, **WIDE),
    "qlora": quantised,
}
"""Of a model with dropout, so that the state of the random numbers counts."""

MODES = {
    "cached": (lambda: data_of(draw_examples(18)), BOTH),
    "live": (lambda: TrainingData(draw_examples(18), (), Live(live_teacher()), VOCAB), BOTH),
    "base": (lambda: TrainingData(draw_examples(18), (), AdapterOff(), VOCAB), BOTH),
    "classes": (lambda: TrainingData(draw_class_examples(18), (), NOTHING, VOCAB), BY_CLASS),
    "text": (lambda: data_of(draw_examples(18, soft=False)), CROSS_ENTROPY),
}
"""What is learned, and what is minimised."""

MATRIX_STEPS, MATRIX_KILLS = 41, 20


def matrix(mode):
    """The cells of a mode: GaLore trains whole weights alone, and a base needs an adapter on it."""
    return [
        f"{mode}/{weights}/{optimizer}"
        for weights in WEIGHTS
        for optimizer in OPTIMIZERS
        if (mode != "base" if weights == "full" else not OPTIMIZERS[optimizer].galore)
    ]


SOME_KILLS = (("step", 3), ("optimizer", 1), ("seal", 2), ("sealed", 2), ("step", 1))
"""Where a child kills itself, and at which time it comes there."""


def train(case, workdir, steps):
    """What a finished training is judged by."""
    if case not in CASES:
        return train_cell(case, workdir, steps)
    options = CASES[case]
    student = build(options.get("kind", "qwen3"), lora=options.get("lora", False))
    section = quick(steps=STEPS, **options["training"])
    if "learning_rate" in options:
        changed = section.optimizer.model_copy(update={"learning_rate": options["learning_rate"]})
        section = section.model_copy(update={"optimizer": changed})
    stopping = section.early_stopping
    data = data_of(draw_examples(18), draw_examples(6, seed=1) if stopping else ())
    if stopping and stopping.metric == "right":
        data = replace(data, examiner=share_right(student, data.validation))
    compute = ResolvedCompute(
        ONE_THREAD.device, options.get("dtype", "float32"), options.get("threads", 1)
    )
    objective = options.get("objective", BOTH)
    result = train_model(student, data, objective, section, Setting(compute, workdir, case))
    return told_of(student, result)


def train_cell(cell, workdir, steps):
    """The same for a cell of the matrix."""
    mode, weights, optimizer = cell.split("/")
    student = WEIGHTS[weights](workdir)
    learned, objective = MODES[mode]
    accumulation = 1 if optimizer == "layerwise" else 2
    section = quick(steps, 3, accumulation, checkpoint_every=3)
    section = section.model_copy(update={"optimizer": OPTIMIZERS[optimizer]})
    result = train_model(student, learned(), objective, section, Setting(ONE_THREAD, workdir, cell))
    return told_of(student, result)


def told_of(student, result):
    weights = {name: value.numpy().tobytes().hex() for name, value in weights_of(student).items()}
    summary = [result.steps, result.best_step, result.stopped_early, result.tokens_trained]
    record = result.record.model_dump(mode="json")
    return {"weights": digest_value(weights), "record": record, "summary": summary}


def share_right(student, examples):
    """An examiner: the share of trained tokens that the student finds likeliest."""

    def examine():
        right = []
        with evaluating(student):
            for one in examples:
                found = (
                    student(input_ids=torch.from_numpy(one.ids).long()[None]).logits[0].argmax(-1)
                )
                right += (found.numpy()[:-1] == one.ids[1:])[one.is_trained[1:]].tolist()
        return {"right": Reading(float(np.mean(right)), is_higher_better=True)}

    return examine


def run(case, workdir, out, kill=None, at=None, steps=MATRIX_STEPS):
    """Train in a child; the child's exit status."""
    child = os.fork()
    if child == 0:
        try:
            if kill:
                arm(*kill)
            if at:
                arm_at(*at)
            out.write_text(json.dumps(train(case, workdir, steps)))
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(0)
    return child


def arm(point, times):
    """Kill this process when it comes to `point` for the `times`-th time."""
    left = [times]

    def come_by():
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def before(owner, name):
        real = getattr(owner, name)
        setattr(owner, name, lambda *args, **kw: (come_by(), real(*args, **kw))[1])

    def after(owner, name):
        real = getattr(owner, name)
        setattr(owner, name, lambda *args, **kw: (real(*args, **kw), come_by())[0])

    {
        "step": lambda: before(StudentTrainer, "_get_grad_norm"),
        "optimizer": lambda: before(StudentTrainer, "_save_optimizer_and_scheduler"),
        "seal": lambda: before(trainer_module, "seal"),
        "sealed": lambda: after(trainer_module, "seal"),
    }[point]()


def arm_at(step, point):
    """Kill this process at a point of a step: in its forward pass, with a gradient, or moving."""

    def die_in(owner, name, step_of):
        real = getattr(owner, name)

        def watched(one, *args, **kwargs):
            if step_of(one) == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(one, *args, **kwargs)

        setattr(owner, name, watched)

    if point == "moving":
        # Parameters of small numbers have been moved, the others not.
        real = GaloreAdamW.move
        moved = []

        def move(optimizer, parameter, group):
            state = optimizer.state[parameter]
            moved.append(int(state["step"]) + 1 if state else 1)
            if moved.count(step) == 5:
                os.kill(os.getpid(), signal.SIGKILL)
            real(optimizer, parameter, group)

        GaloreAdamW.move = move
        return
    names = {"forward": "compute_loss", "gradient": "_get_grad_norm", "told": "log"}
    offset = 0 if point == "told" else 1
    die_in(StudentTrainer, names[point], lambda trainer: trainer.state.global_step + offset)


def compare_at_steps(case, folder, kills=MATRIX_KILLS, steps=MATRIX_STEPS):
    """The same, killed once at each of many steps that chance picks."""
    calm, killed = folder / "calm.json", folder / "killed.json"
    os.waitpid(run(case, folder / "calm", calm, steps=steps), 0)
    rng = np.random.default_rng(list(case.encode()))
    points = ["forward", "gradient", "told"]
    points += ["moving"] if case.endswith(("galore_adamw", "layerwise")) else []
    hits = 0
    for step in sorted(rng.choice(np.arange(1, steps + 1), kills, replace=False).tolist()):
        at = (step, str(rng.choice(points)))
        _, status = os.waitpid(run(case, folder / "killed", killed, at=at, steps=steps), 0)
        hits += os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    return finish(case, folder, hits, steps)


def compare(case, folder):
    """What differs between one training left in peace and one killed at each point in turn."""
    calm, killed = folder / "calm.json", folder / "killed.json"
    os.waitpid(run(case, folder / "calm", calm), 0)
    kills = 0
    for kill in SOME_KILLS:
        if killed.exists():
            break
        _, status = os.waitpid(run(case, folder / "killed", killed, kill), 0)
        kills += os.WIFSIGNALED(status)
    return finish(case, folder, kills)


def compare_at_random(case, folder, kills=4):
    """The same, killed from outside at random times."""
    start = time.monotonic()
    os.waitpid(run(case, folder / "calm", folder / "calm.json"), 0)
    lasted, rng = time.monotonic() - start, np.random.default_rng(len(case))
    killed, hits = folder / "killed.json", 0
    while hits < kills:
        child = run(case, folder / "killed", killed)
        time.sleep(lasted * rng.uniform(0.1, 0.9))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        hits += not killed.exists()
        if killed.exists() and hits >= 2:
            break
        if killed.exists():  # too late: the machine has become faster
            killed.unlink()
            shutil.rmtree(folder / "killed")
            lasted, hits = 0.6 * lasted, 0
    return finish(case, folder, hits)


def finish(case, folder, kills, steps=MATRIX_STEPS):
    os.waitpid(run(case, folder / "killed", folder / "killed.json", steps=steps), 0)
    calm, killed = (
        json.loads((folder / f"{name}.json").read_text()) for name in ("calm", "killed")
    )
    return {
        "kills": kills,
        "differs": [key for key in calm if calm[key] != killed[key]],
        "summary": calm["summary"],
    }


HOW = {
    "points": compare,
    "times": compare_at_random,
    "steps": compare_at_steps,
    "few steps": lambda case, folder: compare_at_steps(case, folder, 3, 11),
}


def main(folder, how, cases):
    told = {}
    wanted = [
        cell for case in cases for cell in (matrix(case[:-2]) if case.endswith("/*") else [case])
    ]
    for case in wanted:
        place = folder / case
        place.mkdir(parents=True)
        told[case] = HOW[how](case, place)
    (folder / "told.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
