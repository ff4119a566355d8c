"""How much memory head and loss take above what they give back: two gradients.

The limit is 1.0: the gradients of hidden states and head, in float32, and nothing else.
"""

from __future__ import annotations

from typing import Any

from measure import (
    Child,
    Goal,
    Turns,
    child_spec,
    forget_peak,
    has,
    parser,
    print_line,
    resident_bytes,
)

VOCAB, HIDDEN = 151_936, 256
DENSE_TOKENS = 2048
MOST = {"fp32": 1.5, "bf16": 2.5}


def main() -> None:
    """Run each variant once in a process of its own."""
    options = parser(__doc__, repeats=1)
    options.add_argument("--tokens", type=int, default=8192)
    told = options.parse_args()
    ours, peers = ["ours", "ours_top64"], []
    kinds = ("fp32", "bf16")
    dense = ["dense fp32"]
    tokens = DENSE_TOKENS if told.quick else told.tokens
    if not told.quick:
        dense.append("dense bf16")
        ours += ["ours_jsd", "ours_cross_entropy"]
        peers = ["liger_jsd"] * has("liger-kernel") + ["trl_kl"] * has("trl")
    variants = [f"{name} {kind}" for name in ours for kind in kinds]
    over_limit = {name: _measure(name, tokens, told.threads) for name in variants}
    others = dense + [f"{name} {kind}" for name in peers for kind in kinds]
    small = over_limit if told.quick else {}
    missing = [name for name in (*others, *variants) if name not in small]
    small |= {name: _measure(name, DENSE_TOKENS, told.threads) for name in missing}
    goals = {
        f"{name}, N={tokens}, over the two gradients": Goal(found["over_gradients"], at_most=most)
        for name in variants
        if (found := over_limit[name]) and (most := MOST[name[-4:]])
    }
    for name in variants[:4]:
        over = small["dense fp32"]["extra_mb"] / small[name]["extra_mb"]
        goals[f"dense fp32 over {name}, N={DENSE_TOKENS}"] = Goal(over, at_least=6.0)
    figures = {
        "vocab": VOCAB,
        "hidden": HIDDEN,
        "threads": told.threads,
        f"N={tokens}": over_limit,
        f"N={DENSE_TOKENS}": small,
    }
    print_line("loss_memory", figures, goals, told.quick)


def _measure(variant: str, tokens: int, threads: int) -> dict[str, float]:
    spec = {"variant": variant, "tokens": tokens, "threads": threads}
    gradients = 4 * HIDDEN * (tokens + VOCAB)
    with Child(spec, threads) as child:
        extra = child.turn()["extra_bytes"]
    return {"extra_mb": extra / 1e6, "over_gradients": extra / gradients}


def child(spec: dict[str, Any]) -> None:
    """One forward and backward pass; the peak above what is resident before it."""
    turns = Turns()
    import torch

    import loss_variants as variants

    torch.set_num_threads(spec["threads"])
    name, kind = spec["variant"].split()
    variants.gradient_error(name, kind == "bf16", 1000)  # loads what a first run loads
    problem = variants.Problem.draw(spec["tokens"], VOCAB, HIDDEN)
    step = variants.VARIANTS[name](problem, kind == "bf16")[0]
    turns.report()
    turns.wait()
    problem.forget()
    forget_peak()
    before = resident_bytes()
    problem.run(step)
    turns.report(extra_bytes=resident_bytes(peak=True) - before)


if __name__ == "__main__":
    if (spec := child_spec()) is not None:
        child(spec)
    else:
        main()
