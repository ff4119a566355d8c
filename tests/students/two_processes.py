"""Run by a test: one step by two gloo processes, against the oracle.

The processes are forked after the imports, which take longer than everything else.
"""

import json
import os
import socket
import sys
import traceback
from pathlib import Path

import torch
import transformers
from modes import MODES
from tiny_students import (
    BOTH,
    ONE_THREAD,
    build,
    data_of,
    distance,
    draw_examples,
    one_step,
    oracle,
    quick,
)

from stillhouse.recipes.training import EarlyStopping, Validation
from stillhouse.students.train import Setting, train_model

transformers.logging.set_verbosity_error()


def fork_two(measure, workdir, out):
    """Write what `measure` gives in the first of two processes that train side by side."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    children = []
    for rank in range(2):
        child = os.fork()
        if child == 0:
            run_rank(rank, port, lambda: measure(workdir), out)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)


def run_rank(rank, port, measure, out):
    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in names.items()})
    os.environ["MASTER_ADDR"] = "127.0.0.1"
    try:
        errors = measure()
        if rank == 0:
            out.write_text(json.dumps(errors))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(0)  # gloo may abort in its own clean-up


def measure(workdir):
    errors = {}
    for lora in (False, True):
        for count in (8, 7):
            examples = draw_examples(count)
            loss, gradients = oracle(build(lora=lora), examples)
            folder = workdir / f"{lora}-{count}"
            ours, seen = one_step(build(lora=lora), examples, 2, 2, folder)
            errors[f"{lora} {count}"] = max(distance(seen, gradients), abs(ours / loss - 1))
    for name in ("live", "base"):
        mode, rows = MODES[name], draw_examples(7, soft=False)
        loss, gradients = mode.oracle(rows)
        ours, seen = one_step(mode.student(), mode.data(rows), 2, 2, workdir / name)
        errors[name] = max(distance(seen, gradients), abs(ours / loss - 1))
    errors["validation"] = validation_error(workdir / "validation")
    errors["weights"] = weights_error(workdir / "weights")
    return errors


def validation_error(workdir):
    """Five rows on two processes: none may count twice."""
    section = quick(
        steps=1, batch_size=2, validation=Validation(every_steps=1), early_stopping=EarlyStopping()
    )
    student, rows = build(), draw_examples(5, seed=1)
    data = data_of(draw_examples(4), rows)
    result = train_model(student, data, BOTH, section, Setting(ONE_THREAD, workdir, "plan"))
    return abs(result.curve[0].validation_loss / oracle(student, rows)[0] - 1)


def weights_error(workdir):
    """Four steps give the same weights in both processes, dropout off."""
    student = build()
    setting = Setting(ONE_THREAD, workdir, "plan")
    train_model(student, data_of(draw_examples(7)), BOTH, quick(steps=4, batch_size=2), setting)
    mine = torch.cat([p.detach().flatten() for p in student.parameters()])
    everyone = [torch.empty_like(mine) for _ in range(2)]
    torch.distributed.all_gather(everyone, mine)
    return float((everyone[0] - everyone[1]).abs().max())


if __name__ == "__main__":
    fork_two(measure, Path(sys.argv[1]), Path(sys.argv[2]))
