"""What the processes of stages cost beside the work itself: imports, and threads that wait.

Twelve stages without torch are forked from a server that imported theirs before, and from one that
did not. A small training then runs with as many threads as there are cores while others keep all
of these busy: with the rest of threads that stages get, and with that of GNU's OpenMP itself.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from measure import Goal, Turns, child_spec, in_turn, parser, print_line, ratio, spread

STAGES, QUICK_STAGES = 12, 4
STEPS, QUICK_STEPS = 40, 8
MODULES = ["stillhouse.stages.step"]
ROWS, WIDTH, LAYERS = 1024, 128, 4
"""Of the products of a step: such as a model of half a million weights makes."""


def main() -> None:
    """Fork stages both ways in turn, and train both ways in turn; print what each took."""
    told = parser(__doc__, repeats=5).parse_args()
    repeats = 2 if told.quick else told.repeats
    stages = QUICK_STAGES if told.quick else STAGES
    steps = QUICK_STEPS if told.quick else STEPS
    forks = {
        name: {"does": "fork", "modules": modules, "stages": stages}
        for name, modules in (("before", MODULES), ("in each", []))
    }
    started = in_turn(forks, told.threads, repeats)
    threads = os.cpu_count() or 1
    rests = {
        name: {"does": "train", "looks": looks, "steps": steps}
        for name, looks in (("ours", "1000"), ("OpenMP's own", ""))
    }
    trained = in_turn(rests, threads, repeats)
    cpu = {name: [turn["cpu"] / stages for turn in turns] for name, turns in started.items()}
    rate = {name: [steps / turn["wall"] for turn in turns] for name, turns in trained.items()}
    less = ratio(cpu["in each"], cpu["before"])
    faster = ratio(rate["ours"], rate["OpenMP's own"])
    figures: dict[str, Any] = {
        "stages": stages,
        "cpu_s a stage": {name: spread(values) for name, values in cpu.items()},
        "times less cpu": less,
        "threads": threads,
        "steps_per_s on busy cores": {name: spread(values) for name, values in rate.items()},
        "times faster on busy cores": faster,
    }
    goals = {
        "times less cpu of a stage's start": Goal(less["median"], at_least=1.5),
        "times faster on busy cores": Goal(faster["median"], at_least=1.5),
    }
    print_line("stage_processes", figures, goals, told.quick)


def _child(spec: dict[str, Any]) -> None:
    turns = Turns()
    turns.report()
    while turns.wait():
        turns.report(**(_fork(spec) if spec["does"] == "fork" else _train(spec)))


def _fork(spec: dict[str, Any]) -> dict[str, float]:
    """Seconds of a server with its children, each of which imports what it needs."""
    began = os.times()
    subprocess.run(
        [sys.executable, "-c", _FORKED, str(spec["stages"]), *spec["modules"]], check=True
    )
    ended = os.times()
    return {
        "cpu": sum(ended[2:4]) - sum(began[2:4]),
        "wall": ended.elapsed - began.elapsed,
    }


_FORKED = f"""
import importlib, os, sys
for module in sys.argv[2:]:
    importlib.import_module(module)
for _ in range(int(sys.argv[1])):
    child = os.fork()
    if child == 0:
        importlib.import_module({MODULES[0]!r})
        os._exit(0)
    os.waitpid(child, 0)
os._exit(0)
"""


def _train(spec: dict[str, Any]) -> dict[str, float]:
    """Seconds of a training beside one busy process for each core."""
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    environment["OMP_NUM_THREADS"] = str(os.cpu_count())
    environment.pop("GOMP_SPINCOUNT", None)
    if spec["looks"]:
        environment["GOMP_SPINCOUNT"] = spec["looks"]
    busy = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"])
        for _ in range(os.cpu_count() or 1)
    ]
    try:
        done = subprocess.run(
            [sys.executable, "-c", _TRAINED, str(spec["steps"])],
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        )
    finally:
        for process in busy:
            process.kill()
            process.wait()
    wall, cpu = map(float, done.stdout.split())
    return {"wall": wall, "cpu": cpu}


_TRAINED = f"""
import sys, time, torch
torch.manual_seed(0)
layers = [m for _ in range({LAYERS}) for m in
          (torch.nn.Linear({WIDTH}, {WIDTH}), torch.nn.LayerNorm({WIDTH}), torch.nn.SiLU())]
model = torch.nn.Sequential(*layers)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
rows = torch.randn({ROWS}, {WIDTH})
def step():
    optimizer.zero_grad()
    (model(rows) - rows).square().mean().backward()
    optimizer.step()
step()
began = time.perf_counter(), time.process_time()
for _ in range(int(sys.argv[1])):
    step()
print(time.perf_counter() - began[0], time.process_time() - began[1])
"""


if __name__ == "__main__":
    spec = child_spec()
    if spec is None:
        main()
    else:
        _child(spec)
