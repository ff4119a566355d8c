"""Distillation end to end against TRL's GKDTrainer (lmbda 0): tokens a second and peak memory.

Same models, rows, optimizer, dtype, trained tokens and divergence. Ours reads a cache, so the cost
of building it is added for one, three and ten passes. GKD gets the better of two orders: ours, and
rows of like length side by side.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from capturing import build_store, capture
from measure import (
    Goal,
    available_bytes,
    child_spec,
    has,
    in_turn,
    machine,
    parser,
    print_line,
    spread,
)
from trainings import train

VOCABS = (32_000, 151_936)
PASSES = (1, 3, 10)
_BYTES_PER_LOGIT = {0.0: 45, 0.5: 80}
"""Live memory of GKD a (position, vocabulary) pair. measured: V=32,000, batch 4, float32."""


def main() -> None:
    """Measure both divergences at each vocabulary."""
    options = parser(__doc__, repeats=4)
    options.add_argument("--batch", type=int, default=4)
    options.add_argument(
        "--dtype",
        choices=("float32", "bfloat16"),
        default="bfloat16" if _gains_from_bf16() else "float32",
        help="of both sides; bfloat16 is autocast, and the default where the processor has it",
    )
    told = options.parse_args()
    steps = 1 + (2 if told.quick else told.repeats)
    cells = [
        _cell({"vocab": vocab, "batch": told.batch, "steps": steps, "dtype": told.dtype}, told)
        for vocab in VOCABS[: 1 if told.quick else None]
    ]
    goals: dict[str, Goal] = {}
    for cell in cells:
        for name, at_least, stretch in (("forward_kl", 4.0, 6.0), ("jsd", 6.0, None)):
            where = f"{name}, V={cell['vocab']}"
            found = cell[name]
            goals[f"tokens a second over GKD, {where}"] = Goal(
                found["over_gkd"], at_least, stretch=stretch
            )
            goals[f"peak memory over GKD's, {where}"] = Goal(
                found["memory_over_gkd"], at_most=1 / 3
            )
    print_line("end_to_end", {"cells": cells}, goals, told.quick)


def _gains_from_bf16() -> bool:
    return bool({"amx_bf16", "avx512_bf16"} & set(machine()["instructions"]))


def _cell(work: dict[str, Any], told: Any) -> dict[str, Any]:
    base = {**work, "threads": told.threads}
    with tempfile.TemporaryDirectory() as folder:
        cache = build_store(work, Path(folder), told.threads)
        ours = {"trainer": "ours", "store": folder, **base}
        gkd = {"trainer": "trl_gkd", **base}
        found = {
            name: _compare({**ours, "objective": name}, {**gkd, "beta": beta}, told)
            for name, beta in (("forward_kl", 0.0), ("jsd", 0.5))
        }
    per_step, measured = cache[told.clock] / work["steps"], cache["measured"]
    for one in found.values():
        one["with_building_the_cache"] = _passes(one, per_step, work["steps"] - 1)
        for kind in ("tokens", "trained"):
            one[f"{kind}_per_s"] = {
                name: measured[kind] / seconds for name, seconds in one["seconds"].items()
            }
    return {
        **base,
        "measured": measured,
        "cache": {
            "seconds_per_step_of_rows": per_step,
            "bytes_per_token": cache["bytes_per_token"],
            "extra_mb": cache["extra_bytes"] / 1e6,
        },
        **found,
    }


def _compare(ours: dict[str, Any], gkd: dict[str, Any], told: Any) -> dict[str, Any]:
    """Tokens a second and memory of both sides."""
    specs = {"ours": ours}
    skipped = None
    if has("trl"):
        needed = _BYTES_PER_LOGIT[gkd["beta"]] * gkd["batch"] * 512 * gkd["vocab"]
        if needed > available_bytes():
            skipped = (
                f"GKD needs about {needed / 1e9:.0f} GB, {available_bytes() / 1e9:.0f} are free"
            )
        else:
            specs |= {"gkd": gkd, "gkd, rows of like length": {**gkd, "grouped": True}}
    reports = in_turn(specs, told.threads, ours["steps"] - 1)
    seconds = {name: [one[told.clock] for one in turns] for name, turns in reports.items()}
    memory = {name: turns[-1]["extra_bytes"] / 1e6 for name, turns in reports.items()}
    peers = [name for name in specs if name != "ours"]
    best = min(peers, key=lambda name: sum(seconds[name]), default=None)
    return {
        "skipped": skipped,
        "best_of_gkd": best,
        "seconds_per_step": {name: spread(values) for name, values in seconds.items()},
        "seconds": {name: sum(values) for name, values in seconds.items()},
        "extra_mb": memory,
        "over_gkd": best and sum(seconds[best]) / sum(seconds["ours"]),
        "memory_over_gkd": min((memory["ours"] / memory[name] for name in peers), default=None),
    }


def _passes(found: dict[str, Any], cache_s: float, steps: int) -> dict[str, float] | None:
    """How many times faster ours is when the cache is built first and read in each pass."""
    if found["best_of_gkd"] is None:
        return None
    gkd_s, ours_s = (found["seconds"][name] for name in (found["best_of_gkd"], "ours"))
    return {
        f"{count} passes": gkd_s * count / (ours_s * count + cache_s * steps) for count in PASSES
    }


def child(spec: dict[str, Any]) -> None:
    """Capture or train."""
    (capture if "capture" in spec else train)(spec)


if __name__ == "__main__":
    if (spec := child_spec()) is not None:
        child(spec)
    else:
        main()
