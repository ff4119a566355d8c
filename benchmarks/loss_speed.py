"""How fast head and loss are, forward and backward, against dense torch, Liger and TRL.

The limit beside each figure is the machine's own rate at the same matrix products: 6 N H V
operations, and 2 N H V more for the head of a live teacher.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from measure import Goal, Turns, child_spec, has, in_turn, parser, print_line, ratio, spread

VOCABS = (151_936, 32_000)
CHECKED_VOCAB = 8192
"""At which gradients are compared with float64; assumption: more tokens change no error."""
LIVE = ("dense", "ours ", "ours_jsd", "liger_jsd", "trl_kl")
"""How variants begin that have the teacher's head in them; the others need the student's alone."""


def main() -> None:
    """Measure every variant at each vocabulary and number of threads."""
    options = parser(__doc__, repeats=3)
    options.add_argument("--tokens", type=int, default=512)
    told = options.parse_args()
    quick = told.quick
    tokens, repeats = (256, 2) if quick else (told.tokens, told.repeats)
    threads = (told.threads,) if quick else tuple(sorted({1, told.threads}))
    cells = [
        _cell((vocab, count, tokens), _variants(quick), repeats, told.clock)
        for vocab in (VOCABS[:1] if quick else VOCABS)
        for count in threads
    ]
    goals = {
        f"{name}, V={cell['vocab']}, {cell['threads']} threads": goal
        for cell in cells
        for name, goal in _goals(cell).items()
    }
    print_line("loss_speed", {"tokens": tokens, "cells": cells}, goals, quick)


def _variants(quick: bool) -> list[str]:
    if quick:
        judged = {name for pair in _PAIRS if " over ".join(pair) in _AT_LARGE for name in pair}
        return sorted(name for name in (*judged, *_LIMITS) if "liger" not in name or _HAS_LIGER)
    names = ["dense", "cross_entropy", "ours", "ours_top64", "ours_jsd", "products", "head"]
    # measured: the peers gain nothing from bfloat16 on a processor.
    peers = ["liger_jsd fp32"] * _HAS_LIGER + ["trl_kl fp32"] * has("trl")
    if _onednn_is_exact():
        peers += [one.replace(" ", f"{_BY_ONEDNN} ") for one in ("dense fp32", *peers)]
    return [f"{name} {kind}" for name in names for kind in ("fp32", "bf16")] + peers


def _onednn_is_exact() -> bool:
    """Whether torch has a faster float32 product than its default, which the others could use."""
    from stillhouse.losses.onednn import onednn_offers

    return onednn_offers("cpu") == "onednn float32"


def _cell(
    sizes: tuple[int, int, int], names: list[str], repeats: int, clock: str
) -> dict[str, Any]:
    vocab, threads, tokens = sizes
    shape = {"vocab": vocab, "threads": threads, "tokens": tokens}
    variants = {name: {"variant": name, **shape} for name in names}
    reports = in_turn(variants, threads, repeats)
    seconds = {name: [one[clock] for one in turns] for name, turns in reports.items()}

    def over(one: str, other: str) -> dict[str, float] | None:
        return ratio(seconds[one], seconds[other]) if {one, other} <= seconds.keys() else None

    shares = {
        name: share
        for name in seconds
        if name.split()[0] not in ("products", "head")
        and (share := over(f"{'products' if name.startswith(LIVE) else 'head'} {name[-4:]}", name))
    }
    ratios = {
        f"{one} over {ours}": found
        for one, ours in _PAIRS
        if (found := over(one, ours)) is not None
    }
    return {
        **shape,
        "seconds": {name: spread(values) for name, values in seconds.items()},
        "ratios": ratios,
        "share_of_product_rate": shares,
        "products_gflop_per_s": {
            name: spread([turn["flops"] / turn[clock] / 1e9 for turn in turns])
            for name, turns in reports.items()
            if name.split()[0] in ("products", "head")
        },
        "gradient_error": {
            name: turns[0]["error"] for name, turns in reports.items() if "error" in turns[0]
        },
    }


_PAIRS = (
    ("dense fp32", "ours fp32"),
    ("dense fp32", "ours bf16"),
    ("dense bf16", "ours bf16"),
    ("dense fp32", "ours_top64 fp32"),
    ("dense fp32", "ours_top64 bf16"),
    ("dense bf16", "ours_top64 bf16"),
    ("cross_entropy fp32", "ours_top64 fp32"),
    ("cross_entropy bf16", "ours_top64 bf16"),
    ("liger_jsd fp32", "ours_jsd fp32"),
    ("trl_kl fp32", "ours fp32"),
    ("dense_onednn fp32", "ours fp32"),
    ("dense_onednn fp32", "ours_top64 fp32"),
    ("liger_jsd_onednn fp32", "ours_jsd fp32"),
    ("trl_kl_onednn fp32", "ours fp32"),
)
# At least, and what would be better still; in bf16 also against dense torch in bf16.
_AT_LARGE = {
    "dense fp32 over ours fp32": (1.15, 1.3),
    "dense fp32 over ours bf16": (2.0, None),
    "dense bf16 over ours bf16": (2.0, None),
    "dense fp32 over ours_top64 fp32": (2.2, None),
    "dense fp32 over ours_top64 bf16": (3.5, None),
    "dense bf16 over ours_top64 bf16": (3.5, None),
    "liger_jsd fp32 over ours_jsd fp32": (1.2, None),
}
_AT_SMALL = {"liger_jsd fp32 over ours_jsd fp32": (0.95, None)}
_LIMITS = ("products fp32", "products bf16")
_HAS_LIGER = has("liger-kernel")
_BY_ONEDNN = "_onednn"
"""Behind a variant's name: all its products by oneDNN, where that does not round."""
_SHARES = {"ours fp32": 0.75, "ours bf16": 0.45}


def _goals(cell: dict[str, Any]) -> dict[str, Goal]:
    is_large = cell["vocab"] == VOCABS[0]
    wanted = dict(_AT_LARGE if is_large else _AT_SMALL)
    # What holds for torch's default products is asked of its fastest ones too.
    wanted |= {
        name: wanted[plain]
        for name in cell["ratios"]
        if (plain := name.replace(_BY_ONEDNN, "")) != name and plain in wanted
    }
    goals = {
        name: Goal(cell["ratios"].get(name, {}).get("median"), at_least, stretch=stretch)
        for name, (at_least, stretch) in wanted.items()
    }
    if is_large:
        shares = cell["share_of_product_rate"]
        goals |= {
            f"{name}, share of the product rate": Goal(shares[name]["median"], at_least)
            for name, at_least in _SHARES.items()
        }
    return goals


def child(spec: dict[str, Any]) -> None:
    """One variant; a turn is one forward and backward pass."""
    turns = Turns()
    import torch

    import loss_variants as variants
    from stillhouse.losses.onednn import onednn_may_round

    torch.set_num_threads(spec["threads"])
    name, kind = spec["variant"].split()
    way: AbstractContextManager[None] = nullcontext()
    if name.endswith(_BY_ONEDNN):
        name, way = name.removesuffix(_BY_ONEDNN), onednn_may_round()
    problem = variants.Problem.draw(spec["tokens"], spec["vocab"])
    if name in ("products", "head"):
        with_teacher = name == "products"
        run = variants.products(problem, kind == "bf16", with_teacher=with_teacher)
        ready: dict[str, float] = {"flops": variants.flops(problem, with_teacher=with_teacher)}
    else:
        step = variants.fastest(problem, variants.VARIANTS[name](problem, kind == "bf16"))
        ready = {"error": variants.gradient_error(name, kind == "bf16", CHECKED_VOCAB)}

        def run() -> None:
            problem.run(step)

    with way:
        run()
        turns.report(**ready)
        while turns.wait():
            run()
            turns.report()


if __name__ == "__main__":
    if (spec := child_spec()) is not None:
        child(spec)
    else:
        main()
