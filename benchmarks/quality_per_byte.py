"""How much of full distillation each form of stored targets keeps, and what it weighs.

(loss of CE - loss of the form) / (loss of CE - loss of full distillation) on held-out text: 1 is
as good as the teacher's whole distribution, 0 as good as no teacher, below 0 is worse than none.
The teacher learns one part of the text, the students another, both are tested on a third.
"""

from __future__ import annotations

import itertools
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

from measure import Child, Goal, Turns, add_lesson, child_spec, parser, print_line, spread

STORES: dict[str, dict[str, Any]] = {
    "top 12": {"codec": "top_k", "top_k": 12},
    "top 64": {"codec": "top_k", "top_k": 64},
    "sampled 50": {"codec": "sampled", "top_k": 0, "num_draws": 50},
    "top 12, sampled 50": {"codec": "top_k_sampled", "top_k": 12, "num_draws": 50},
}
FORMS: dict[str, str | None] = {
    "cross-entropy": None,
    "full": None,
    **{f"{name}, renormalised": name for name in STORES if STORES[name]["codec"] == "top_k"},
    **{f"{name} and tail": name for name in STORES if STORES[name]["codec"] == "top_k"},
    **{name: name for name in STORES if STORES[name]["codec"] != "top_k"},
}
BATCHES = {"small": (2, 1e-3), "large": (16, 4e-3)}
"""Rows of a step and learning rate; both see the same number of rows."""


def main() -> None:
    """Train a student from every form, seed and size of batch."""
    options = parser(__doc__, repeats=3)
    add_lesson(options)
    options.add_argument("--rows", type=int, default=500, help="that each student sees")
    told = options.parse_args()
    from taught import Lesson

    sizes = {"vocab": 2048, "layers": 4, "hidden": 256, "seconds": 240}
    rows, seeds, forms, batches = told.rows, told.repeats, list(FORMS), list(BATCHES)
    if told.quick:
        sizes |= {"layers": 2, "hidden": 128, "seconds": 10}
        rows, seeds, batches = 32, 1, ["large"]
        forms = ["cross-entropy", "full", "top 12 and tail", "sampled 50"]
    lesson = {**Lesson.of(told, **sizes), "threads": 1}
    stores = [name for name in STORES if name in {FORMS[form] for form in forms}]
    spec = {**lesson, "stores": stores, "rows": rows, "tokens": 3000 if told.quick else 120_000}
    with Child({**spec, "prepare": True, "threads": told.threads}, told.threads) as child:
        weights = child.turn()["bytes_per_token"]
    jobs = [
        {"form": form, "batch": batch, "seed": seed}
        for seed, batch, form in itertools.product(range(seeds), batches, forms)
    ]
    losses = _train_all(spec, jobs, min(told.threads, os.cpu_count() or 1))
    table = {
        batch: {form: _row(losses, form, batch, seeds, weights) for form in forms}
        for batch in batches
    }
    best = {
        batch: max(
            (form for form in forms if FORMS[form]),
            key=lambda form: rows_of[form]["kept"]["median"],
        )
        for batch, rows_of in table.items()
    }
    goals = {
        f"{form}, {batch} batch": Goal(table[batch][form]["kept"]["median"], at_least=0.95)
        for batch, form in best.items()
    }
    print_line("quality_per_byte", {"table": table, "best": best}, goals, told.quick)


def _row(
    losses: dict[tuple[str, str, int], float],
    form: str,
    batch: str,
    seeds: int,
    weights: dict[str, float],
) -> dict[str, Any]:
    kept = []
    for seed in range(seeds):
        plain, full = losses["cross-entropy", batch, seed], losses["full", batch, seed]
        kept.append((plain - losses[form, batch, seed]) / (plain - full))
    store = FORMS[form]
    return {
        "kept": spread(kept),
        "loss": spread([losses[form, batch, seed] for seed in range(seeds)]),
        "bytes_per_token": weights[store] if store else None,
    }


def _train_all(
    spec: dict[str, Any], jobs: list[dict[str, Any]], workers: int
) -> dict[tuple[str, str, int], float]:
    """Held-out losses; each worker is a process of one thread that takes one job after another."""
    free: SimpleQueue[Child] = SimpleQueue()
    children = [Child(spec, 1) for _ in range(workers)]
    for child in children:
        free.put(child)

    def run(job: dict[str, Any]) -> float:
        child = free.get()
        try:
            loss = float(child.turn(**job)["loss"])
            print(*job.values(), f"{loss:.4f}", file=sys.stderr, flush=True)
            return loss
        finally:
            free.put(child)

    try:
        with ThreadPoolExecutor(workers) as pool:
            found = list(pool.map(run, jobs))
    finally:
        for child in children:
            child.__exit__(None, None, None)
    keys = ((job["form"], job["batch"], job["seed"]) for job in jobs)
    return dict(zip(keys, found, strict=True))


def child(spec: dict[str, Any]) -> None:
    """Prepare the stores, or train one student a turn."""
    turns = Turns()
    import torch

    from distilling import Transfer
    from taught import Lesson

    torch.set_num_threads(spec["threads"])
    transfer = Transfer(Lesson.read(spec), spec["tokens"])
    turns.report()
    while turns.wait():
        if spec.get("prepare"):
            names = spec["stores"]
            found = {name: transfer.store(name, STORES[name]) for name in names}
            turns.report(bytes_per_token=found)
            continue
        job = turns.told
        size, rate = BATCHES[job["batch"]]
        store = FORMS[job["form"]]
        loss = transfer.train(
            job["form"], STORES[store] if store else None, store, (size, rate, spec["rows"]), job
        )
        turns.report(loss=loss)


if __name__ == "__main__":
    if (spec := child_spec()) is not None:
        child(spec)
    else:
        main()
