"""How well scores find what does not belong, and what a judge is paid for each true hit.

Rows are CLINC's questions of 150 kinds with those out of scope, then also junk of five templates,
twenty rows each, which has near neighbours: itself. Scores are of the 6 nearest (kNN), of HDBSCAN
(GLOSH), and ours: kNN outside the own cluster, a cluster judged as one. A check is one question to
a judge that is always right: about a row, or about a cluster, which it calls out if most of its
rows are.

Legend: N texts.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from measure import Goal, has, parser, print_line
from stillhouse.data.neighbours import Vectors, dense, nearest
from stillhouse.data.outliers import Scored, score_by_density, score_by_neighbours
from stillhouse.data.tfidf import tfidf
from stillhouse.recipes.meaning_steps import GLOSH_THRESHOLD, DropOutliers

Flags = NDArray[np.bool_]

QUICK_QUESTIONS = 2000
BUDGETS = (25, 50, 100, 200, 400)
TEMPLATES = (
    "Refer to chapter {} of the syllabus for unit {}.",
    "404 page not found: /articles/{}/{}",
    "Copyright {} all rights reserved, issue {}",
    "Click here to subscribe and win {} coins and {} gems",
    "lorem ipsum dolor sit amet {} consectetur {}",
)
COPIES = 20
ASKED_AT = 100
"""Checks at which the goal is read."""
SETTINGS = DropOutliers()


def main() -> None:
    """Score both sets by every way; print precision, seconds, and hits for checks."""
    options = parser(__doc__, repeats=1)
    options.add_argument(
        "--data", type=Path, help="folder with labels/clinc150_small_train_val.json"
    )
    options.add_argument("--model", type=Path, help="folder of a model of sentence-transformers")
    options.add_argument("--glosh", action="store_true", help="also GLOSH, which takes a minute")
    told = options.parse_args()
    source = (told.data or Path()) / "labels" / "clinc150_small_train_val.json"
    if told.data is None or not source.is_file():
        reason = f"no {source}" if told.data else "no --data was named"
        goals = {"checks for each hit": Goal(None, at_most=5.0)}
        print_line("outliers", {"skipped": reason}, goals, told.quick)
        return
    questions, is_odd = read_clinc(source, QUICK_QUESTIONS if told.quick else 0)
    junk = planted_junk()
    sets = {
        "out of scope": (questions, is_odd),
        "planted junk": (
            [*(q for q, odd in zip(questions, is_odd, strict=True) if not odd), *junk],
            np.array([False] * int((~is_odd).sum()) + [True] * len(junk)),
        ),
        "both": ([*questions, *junk], np.concatenate([is_odd, np.ones(len(junk), bool)])),
    }
    figures: dict[str, Any] = {"seconds are": "of the processor", "templates": len(TEMPLATES)}
    ways = ["tfidf", *(["model"] if told.model else [])]
    for by in ways:
        for name, (texts, odd) in sets.items():
            figures[f"{name}, by {by}"] = measured(
                texts, odd, vectors_of(by, told.model), told.glosh
            )
            print(name, by, file=sys.stderr, flush=True)
    best = figures[f"both, by {ways[-1]}"]["cluster rule"]["checks"][str(ASKED_AT)]
    goals = {"checks for each hit": Goal(best["checks for each hit"], at_most=5.0)}
    if told.glosh and told.model:
        both = figures["both, by model"]
        ours, theirs = both["cluster rule"], both["GLOSH"]
        gain = ours["average precision"] - theirs["average precision"]
        goals["average precision over GLOSH's"] = Goal(round(gain, 3), at_least=0.0)
        goals["times faster than GLOSH"] = Goal(
            round(theirs["seconds"] / ours["seconds"], 1), at_least=8.0
        )
    print_line("outliers", figures, goals, told.quick)


# The rows -------------------------------------------------------------------------------------


def read_clinc(path: Path, most: int) -> tuple[list[str], Flags]:
    """Distinct questions, and whether each is out of scope; `most` of them, or all for 0."""
    parts = json.loads(path.read_text(encoding="utf-8"))
    kinds = {text: kind for part in parts.values() for text, kind in part}
    texts = sorted(kinds)
    if most:
        texts = sorted(Random(0).sample(texts, most))
    return texts, np.array([kinds[text] == "oos" for text in texts])


def planted_junk() -> list[str]:
    """The rows of every template with other numbers."""
    random = Random(0)
    return [
        template.format(random.randrange(1, 999), random.randrange(1, 999))
        for template in TEMPLATES
        for _ in range(COPIES)
    ]


def vectors_of(by: str, model: Path | None) -> Any:
    """What makes vectors of texts."""
    if by == "tfidf" or model is None:
        return tfidf
    from stillhouse.models.encode import TextEncoder
    from stillhouse.recipes.compute import this_host

    return TextEncoder(model, dtype="bfloat16" if this_host().has_bfloat16 else "float32")


# Scores ---------------------------------------------------------------------------------------


def measured(texts: list[str], odd: Flags, make: Any, with_glosh: bool) -> dict[str, Any]:
    """What every way finds, by one set of vectors."""
    began = time.process_time()
    vectors: Vectors = make(texts)
    taken = time.process_time() - began
    copies = [1] * len(texts)
    ways = {
        "kNN": lambda: _alone(vectors),
        "cluster rule": lambda: score_by_neighbours(
            vectors, copies, SETTINGS.neighbours, SETTINGS.alike, SETTINGS.cluster_rows
        ),
    }
    if with_glosh and isinstance(vectors, np.ndarray) and has("hdbscan"):
        ways["GLOSH"] = lambda: score_by_density(dense(vectors), SETTINGS.min_cluster_size)
    found: dict[str, Any] = {
        "texts": len(texts), "odd": int(odd.sum()), "seconds of vectors": round(taken, 1)
    }  # fmt: skip
    for name, score in ways.items():
        began = time.process_time()
        scored = score()
        seconds = time.process_time() - began
        found[name] = {
            "average precision": round(average_precision(scored.scores, odd), 3),
            "seconds": round(seconds, 2),
            "checks": checks(scored, odd),
            **(_over_threshold(scored, odd) if name == "GLOSH" else {}),
        }
    return found


def _alone(vectors: Vectors) -> Scored:
    near = nearest(vectors, SETTINGS.neighbours)
    return Scored(np.arange(vectors.shape[0]), near.distances, near.places[:, :3])


def _over_threshold(scored: Scored, odd: Flags) -> dict[str, Any]:
    above = scored.scores > GLOSH_THRESHOLD
    hits = int((above & odd).sum())
    return {"over 0.3": int(above.sum()), "of them odd": hits}


def average_precision(scores: NDArray[np.float64], odd: Flags) -> float:
    """Mean precision at every true hit, equal scores taken together."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.diff(scores[order], append=-np.inf))
    hits = np.cumsum(odd[order])[ends]
    gained = np.diff(hits, prepend=0)
    return float((gained * hits / (ends + 1)).sum() / odd.sum())


@dataclass(frozen=True, slots=True)
class _Unit:
    score: float
    rows: int
    odd: int


def checks(scored: Scored, odd: Flags) -> dict[str, Any]:
    """Budget to true hits, and to checks for each of them."""
    order = np.argsort(scored.clusters, kind="stable")
    starts = np.flatnonzero(np.diff(scored.clusters[order], prepend=-1))
    units = [
        _Unit(float(scored.scores[own[0]]), len(own), int(odd[own].sum()))
        for own in np.split(order, starts[1:])
    ]
    ranked = sorted(units, key=lambda unit: -unit.score)
    found = {}
    for budget in BUDGETS:
        hits = sum(unit.odd for unit in ranked[:budget] if 2 * unit.odd >= unit.rows)
        found[str(budget)] = {
            "hits": hits,
            "checks for each hit": round(budget / hits, 2) if hits else None,
        }
    return found


if __name__ == "__main__":
    main()
