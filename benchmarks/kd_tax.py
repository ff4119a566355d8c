"""What distillation from a cache costs more than fine-tuning, step by step in one trainer.

The limit is 1.0: sparse targets ask for no product that cross-entropy does not need.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from capturing import build_store, capture
from measure import Goal, child_spec, has, in_turn, parser, print_line, ratio, spread
from trainings import train

VOCABS = (32_000, 151_936)


def main() -> None:
    """Measure steps of the same rows at each vocabulary."""
    options = parser(__doc__, repeats=12)
    options.add_argument("--batch", type=int, default=4)
    options.add_argument("--dtype", choices=("float32", "bfloat16"), action="append")
    told = options.parse_args()
    steps = 5 if told.quick else told.repeats
    cells = [
        _cell({"vocab": vocab, "batch": told.batch, "steps": 1 + steps, "dtype": dtype}, told)
        for vocab in VOCABS[: 1 if told.quick else None]
        for dtype in told.dtype or ("float32", "bfloat16")[: 1 if told.quick else None]
    ]
    goals: dict[str, Goal] = {}
    for cell in cells:
        where = f"V={cell['vocab']}, {cell['dtype']}"
        tax, faster = cell["kd_over_cross_entropy"], cell["sft_over_ours"]
        goals[f"KD over cross-entropy, {where}"] = Goal(tax["median"], at_most=1.05, stretch=1.02)
        for name, found in faster.items():
            goals[f"TRL SFT over {name}, {where}"] = Goal(found["median"], at_least=1.0)
    print_line("kd_tax", {"cells": cells}, goals, told.quick)


def _cell(work: dict[str, Any], told: Any) -> dict[str, Any]:
    ours = {"trainer": "ours", "threads": told.threads, **work}
    with tempfile.TemporaryDirectory() as folder:
        build_store(work, Path(folder), told.threads)
        specs = {
            "cross_entropy": {**ours, "objective": "cross_entropy"},
            "forward_kl": {**ours, "objective": "forward_kl", "store": folder},
            "forward_kl and cross_entropy": {
                **ours,
                "objective": "forward_kl and cross_entropy",
                "store": folder,
            },
        }
        if has("trl"):
            specs["trl_sft"] = {**ours, "trainer": "trl_sft"}
            specs["trl_sft, rows of like length"] = {**specs["trl_sft"], "grouped": True}
        reports = in_turn(specs, told.threads, work["steps"] - 1)
    seconds = {name: [one[told.clock] for one in turns] for name, turns in reports.items()}
    return {
        **work,
        "threads": told.threads,
        "seconds_per_step": {name: spread(values) for name, values in seconds.items()},
        "kd_over_cross_entropy": ratio(seconds["forward_kl"], seconds["cross_entropy"]),
        "both_terms_over_cross_entropy": ratio(
            seconds["forward_kl and cross_entropy"], seconds["cross_entropy"]
        ),
        "sft_over_ours": {
            name: ratio(_best_sft(seconds), seconds[name])
            for name in ("cross_entropy", "forward_kl")
            if has("trl")
        },
        "extra_mb": {name: turns[-1]["extra_bytes"] / 1e6 for name, turns in reports.items()},
    }


def _best_sft(seconds: dict[str, list[float]]) -> list[float]:
    """TRL's faster order, its steps given the time of the mean, as their rows differ from ours."""
    random, grouped = seconds["trl_sft"], seconds["trl_sft, rows of like length"]
    if sum(random) <= sum(grouped):
        return random
    scale = sum(grouped) / sum(random)
    return [one * scale for one in random]


def child(spec: dict[str, Any]) -> None:
    """Capture or train."""
    (capture if "capture" in spec else train)(spec)


if __name__ == "__main__":
    if (spec := child_spec()) is not None:
        child(spec)
    else:
        main()
