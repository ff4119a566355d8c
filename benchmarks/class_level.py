"""How much nearer to its teacher a student comes that learns class probabilities, not hard labels.

All students of a seed have the same first weights, questions, order and steps. `classes` learns
KL(teacher || student) over the classes by whole answers; `founding` the same at kd_temperature 4
with weight 0.7, and 0.3 of the likeliest class's text. Their twins learn the likeliest class alone:
`hard text` as the text that it is, `hard class` among all classes. Nothing was tuned: learning
rate, most steps and sizes are one for all ways, and each stops by the validation loss of what it
learns.

Legend: N questions, C classes, G groups of questions.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from measure import Goal, parser, print_line

Floats = NDArray[np.float64]

WAYS = ("classes", "founding", "hard text", "hard class")
TWINS = ("hard text", "hard class")
BANK = "finance/banking77_train_half.csv"
SETS = ("Banking77", "ConvAbuse", "AmbiEnt")
_SMALLEST, _DRAWS = 1e-12, 2000


def main() -> None:
    """Train every student on every set; print what they say against what their teacher says."""
    options = parser(__doc__, repeats=3)
    options.add_argument("--data", type=Path, help=f"folder with {BANK} and labels/")
    options.add_argument("--sets", nargs="*", choices=SETS, help="which of them")
    told = options.parse_args()
    if told.data is None or not told.data.is_dir():
        reason = f"no folder {told.data}" if told.data else "no --data was named"
        print_line("class_level", {"skipped": reason}, {"KL": Goal(None, at_most=0)}, told.quick)
        return
    sets = told.sets or (["ConvAbuse"] if told.quick else SETS)
    table, goals = {}, {}
    for name in sets:
        table[name] = _measure(name, told)
        for twin in TWINS:
            gap = table[name]["classes minus"][twin]["kl"]
            goals[f"KL to the teacher, classes minus {twin}, {name}"] = Goal(gap["high"], at_most=0)
        print(name, table[name]["seconds"], file=sys.stderr, flush=True)
    print_line("class_level", {"threads": told.threads, "sets": table}, goals, told.quick)


def _measure(name: str, told: Any) -> dict[str, Any]:
    from class_lessons import BANKING77, VOTED, Size, banking77, learn, voted

    began = time.process_time()
    size = BANKING77 if name == "Banking77" else VOTED
    if told.quick:
        size = Size(student_steps=40, learned=200, measured=100)
    seeds = range(1 if told.quick else told.repeats)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if name == "Banking77":
            lesson = banking77(told.data / BANK, size, folder, told.threads)
        else:
            lesson = voted(name, told.data / "labels", size, folder)
        ways = {
            way: [learn(lesson, way, seed, size, folder, told.threads) for seed in seeds]
            for way in WAYS
        }
    said = {way: [probs_NC for probs_NC, _ in own] for way, own in ways.items()}
    teacher_NC = lesson.taught_NC[lesson.measured]
    group_N = lesson.group_N[lesson.measured]
    each = {way: [distances(teacher_NC, one) for one in own] for way, own in said.items()}
    return {
        "classes": len(lesson.classes),
        "learned": len(lesson.learned),
        "measured": len(lesson.measured),
        "steps at most": size.student_steps,
        "best steps": {way: [best for _, best in own] for way, own in ways.items()},
        **lesson.told,
        "ways": {
            way: {metric: [round(float(one[metric].mean()), 4) for one in own] for metric in own[0]}
            for way, own in each.items()
        },
        **{
            f"{way} minus": {twin: _gaps(each[way], each[twin], group_N) for twin in TWINS}
            for way in ("classes", "founding")
        },
        "seconds": round(time.process_time() - began),
    }


def distances(teacher_NC: Floats, student_NC: Floats) -> dict[str, Floats]:
    """(N,) each: KL(teacher || student) and JSD in nats, and 1 where both find one class likeliest.

    A class without mass counts as 1e-12 in the student's.
    """
    floor_NC = np.maximum(student_NC, _SMALLEST)
    middle_NC = (teacher_NC + student_NC) / 2
    return {
        "kl": _kl(teacher_NC, floor_NC),
        "jsd": (_kl(teacher_NC, middle_NC) + _kl(student_NC, middle_NC)) / 2,
        "agreement": (teacher_NC.argmax(1) == student_NC.argmax(1)).astype(float),
    }


def _kl(first_NC: Floats, second_NC: Floats) -> Floats:
    has_mass = first_NC > 0
    quotient = np.divide(first_NC, second_NC, out=np.ones_like(first_NC), where=has_mass)
    found: Floats = (first_NC * np.log(quotient)).sum(1)
    return found


def _gaps(
    own: list[dict[str, Floats]], other: list[dict[str, Floats]], group_N: NDArray[np.int64]
) -> dict[str, dict[str, Any]]:
    """Mean difference over questions and seeds, with 95 % of its bootstrap over groups."""
    found = {}
    for metric in own[0]:
        gap_N = np.mean([a[metric] - b[metric] for a, b in zip(own, other, strict=True)], axis=0)
        _, place_N = np.unique(group_N, return_inverse=True)
        sums_G, counts_G = np.bincount(place_N, gap_N), np.bincount(place_N)
        drawn = np.random.default_rng(0).multinomial(
            len(sums_G), np.full(len(sums_G), 1 / len(sums_G)), _DRAWS
        )
        low, high = np.quantile(drawn @ sums_G / (drawn @ counts_G), [0.025, 0.975])
        by_seed = [float((a[metric] - b[metric]).mean()) for a, b in zip(own, other, strict=True)]
        found[metric] = {
            "mean": round(float(gap_N.mean()), 4),
            "low": round(float(low), 4),
            "high": round(float(high), 4),
            "by seed": [round(gap, 4) for gap in by_seed],
        }
    return found


if __name__ == "__main__":
    main()
