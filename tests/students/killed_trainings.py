"""Run by a test: trains in forked children, kills them with SIGKILL, and compares final weights.

The children are forked after the imports, which take longer than everything else.
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
from tiny_students import BOTH, ONE_THREAD, build, data_of, draw_examples, quick, weights_of

from stillhouse.core.hashing import digest_value
from stillhouse.core.protocols import Reading
from stillhouse.losses.terms import CROSS_ENTROPY
from stillhouse.models.inference import evaluating
from stillhouse.recipes.compute import ResolvedCompute
from stillhouse.recipes.training import EarlyStopping, Validation
from stillhouse.students import trainer as trainer_module
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
SOME_KILLS = (("step", 3), ("optimizer", 1), ("seal", 2), ("sealed", 2), ("step", 1))
"""Where a child kills itself, and at which time it comes there."""


def train(case, workdir):
    """What a finished training is judged by."""
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


def run(case, workdir, out, kill=None):
    """Train in a child; the child's exit status."""
    child = os.fork()
    if child == 0:
        try:
            if kill:
                arm(*kill)
            out.write_text(json.dumps(train(case, workdir)))
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


def finish(case, folder, kills):
    os.waitpid(run(case, folder / "killed", folder / "killed.json"), 0)
    calm, killed = (
        json.loads((folder / f"{name}.json").read_text()) for name in ("calm", "killed")
    )
    return {
        "kills": kills,
        "differs": [key for key in calm if calm[key] != killed[key]],
        "summary": calm["summary"],
    }


def main(folder, how, cases):
    told = {}
    for case in cases:
        place = folder / case
        place.mkdir()
        told[case] = (compare if how == "points" else compare_at_random)(case, place)
    (folder / "told.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
