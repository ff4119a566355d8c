"""Near-duplicates by rensa's sketches against datasketch's, at equal bands and on equal groups.

The whole way is texts to word groups, sketches, bands, candidates, exact overlap; ours also keeps
other numbers and denials apart. The goal is for what differs between the two: sketches and bands,
from word groups to candidates. A tenth of the rows are copies in which one word is changed; a pair
counts where its true overlap reaches the threshold. With `--data` it also tells precision and
recall by threshold on OneStop's aligned sentences and STS's graded pairs, by shared word groups,
by the cosine of `tfidf` and by that of a model.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from measure import Goal, Turns, child_spec, has, in_turn, parser, print_line, ratio, spread
from stillhouse.data import near_duplicates as ours
from stillhouse.data.words import words_of

Pair = tuple[int, int]

WORDS, LENGTH, VOCABULARY, THRESHOLD = 2, 60, 3000, 0.8
"""Words of a group, of a text, and of the language; the overlap that makes a duplicate."""
ROWS, QUICK_ROWS = 10_000, 2_000
GROUPS_AT, COSINES_AT = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4), (0.98, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6)
SAME_FROM = 4.0
"""STS's "mostly equivalent; some unimportant details differ"."""


def main() -> None:
    """Let both find the planted copies in turn; print how fast, and what each missed."""
    options = parser(__doc__, repeats=5)
    options.add_argument(
        "--data", type=Path, help="folder with dedup/onestop_*.txt, dedup/sts*.tsv"
    )
    options.add_argument("--model", type=Path, help="folder of a model of sentence-transformers")
    told = options.parse_args()
    rows = QUICK_ROWS if told.quick else ROWS
    specs = {"rensa": {"by": "rensa", "rows": rows}}
    if has("datasketch"):
        specs["datasketch"] = {"by": "datasketch", "rows": rows}
    reports = in_turn(specs, told.threads, 2 if told.quick else told.repeats)
    figures: dict[str, Any] = {
        "rows": rows,
        "words": LENGTH,
        "clock": told.clock,
        "bands": "32 x 4",
    }
    for name, turns in reports.items():
        figures[name] = {
            "rows_per_s": spread([rows / turn[told.clock] for turn in turns]),
            "sketches_per_s": spread([rows / turn[f"sketch_{told.clock}"] for turn in turns]),
            "recall": turns[0]["recall"],
            "false": turns[0]["false"],
        }
    sketches: dict[str, float] | None = None
    if "datasketch" in reports:
        pairs = reports["datasketch"], reports["rensa"]
        whole = ratio(*([turn[told.clock] for turn in turns] for turns in pairs))
        sketches = ratio(*([turn[f"sketch_{told.clock}"] for turn in turns] for turns in pairs))
        figures |= {"times faster": {"whole way": whole, "sketches and bands": sketches}}
    goals = {
        "times faster, sketches and bands": Goal(
            sketches["median"] if sketches else None, at_least=8.0
        ),
        "recall": Goal(reports["rensa"][0]["recall"], at_least=0.99),
        "false pairs": Goal(reports["rensa"][0]["false"], at_most=0),
    }
    if told.data:
        figures["real pairs"] = on_real_pairs(told.data, told.model)
    print_line("near_duplicates", figures, goals, told.quick)


# The planted copies ---------------------------------------------------------------------------


def planted(rows: int) -> tuple[list[str], set[Pair]]:
    """Texts of random words, the last tenth copies with one word changed, and who copies whom."""
    random = Random(0)
    words = [f"w{number}" for number in range(VOCABULARY)]
    copies = rows // 10
    texts = [" ".join(random.choices(words, k=LENGTH)) for _ in range(rows - copies)]
    for place in range(copies):
        copy = texts[place].split()
        copy[random.randrange(LENGTH)] = "changed"
        texts.append(" ".join(copy))
    return texts, {(place, rows - copies + place) for place in range(copies)}


def groups_of(text: str) -> set[bytes]:
    """The pairs of neighbouring words, as both are given them."""
    words = words_of(text)
    return {" ".join(words[at : at + WORDS]).encode() for at in range(len(words) - WORDS + 1)}


def overlap(one: set[bytes], other: set[bytes]) -> float:
    """Shared groups over all groups."""
    return len(one & other) / len(one | other)


def _child(spec: dict[str, Any]) -> None:
    texts, copies = planted(spec["rows"])
    sets = [groups_of(text) for text in texts]
    true = {pair for pair in copies if overlap(sets[pair[0]], sets[pair[1]]) >= THRESHOLD}
    find, sketch = WAYS[spec["by"]]
    find(texts[:500])
    turns = Turns()
    turns.report()
    while turns.wait():
        began = time.process_time(), time.perf_counter()
        found = find(texts)
        taken = time.process_time() - began[0], time.perf_counter() - began[1]
        alone = sketch(texts, sets)
        turns.report(
            cpu=taken[0],
            wall=taken[1],
            sketch_cpu=alone[0],
            sketch_wall=alone[1],
            recall=len(found & true) / len(true),
            false=len(found - copies),
        )


def find_by_rensa(texts: Sequence[str]) -> set[Pair]:
    """The pairs that the step merges."""
    names = [f"{place:06}" for place in range(len(texts))]
    found = ours.find_alike(ours.shingle(names, texts, WORDS), THRESHOLD)
    return {(int(alike.kept), int(name)) for name, alike in found.items()}


def find_by_datasketch(texts: Sequence[str]) -> set[Pair]:
    """The same by datasketch's sketches and index."""
    sets = [groups_of(text) for text in texts]
    candidates = _ask_datasketch([list(one) for one in sets])
    return {(a, b) for a, b in candidates if overlap(sets[a], sets[b]) >= THRESHOLD}


def _ask_datasketch(groups: Sequence[Sequence[bytes]]) -> list[Pair]:
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(num_perm=ours.BANDS * ours.BAND_ROWS, params=(ours.BANDS, ours.BAND_ROWS))
    candidates: list[Pair] = []
    for place, sketch in enumerate(MinHash.bulk(groups, num_perm=ours.BANDS * ours.BAND_ROWS)):
        candidates += [(other, place) for other in index.query(sketch)]
        index.insert(place, sketch, check_duplication=False)
    return candidates


def sketch_by_rensa(texts: Sequence[str], sets: Sequence[set[bytes]]) -> tuple[float, float]:
    """Seconds of processor and wall from word groups to candidates."""
    from rensa import RMinHash

    names = tuple(f"{place:06}" for place in range(len(texts)))
    groups = [[one.decode() for one in own] for own in sets]
    claims = np.zeros(len(texts), np.uint64)
    began = time.process_time(), time.perf_counter()
    hashed = [np.sort(np.fromiter({*one}, np.uint64)) for one in RMinHash.hash_token_sets(groups)]
    ends = np.cumsum([len(one) for one in hashed], dtype=np.int64)
    list(ours._same_or_near(ours.Shingled(names, np.concatenate(hashed), ends, claims)))
    return time.process_time() - began[0], time.perf_counter() - began[1]


def sketch_by_datasketch(texts: Sequence[str], sets: Sequence[set[bytes]]) -> tuple[float, float]:
    """The same by datasketch."""
    groups = [list(own) for own in sets[: len(texts)]]
    began = time.process_time(), time.perf_counter()
    _ask_datasketch(groups)
    return time.process_time() - began[0], time.perf_counter() - began[1]


WAYS = {
    "rensa": (find_by_rensa, sketch_by_rensa),
    "datasketch": (find_by_datasketch, sketch_by_datasketch),
}


# Real pairs -----------------------------------------------------------------------------------


def on_real_pairs(folder: Path, model: Path | None) -> dict[str, Any]:
    """Precision and recall by threshold on OneStop and STS, where their files are there."""
    found: dict[str, Any] = {}
    one_stop = folder / "dedup" / "onestop_ELE_INT_first.txt"
    if one_stop.is_file():
        texts, same = read_one_stop(one_stop)
        everywhere = {(a, b) for a in range(len(texts)) for b in range(a + 1, len(texts))}
        found["OneStop, all pairs of all sentences"] = curves(texts, everywhere, same, model)
    sts = folder / "dedup" / "sts2015_answers_forums.tsv"
    if sts.is_file():
        texts, graded = read_sts(sts)
        same = {pair for pair, grade in graded.items() if grade >= SAME_FROM}
        found[f"STS answers-forums, same from grade {SAME_FROM:.0f}"] = curves(
            texts, set(graded), same, model
        )
    return found


def read_one_stop(path: Path) -> tuple[list[str], set[Pair]]:
    """Sentences of two levels, and which are aligned."""
    parts = path.read_text(encoding="utf-8-sig").split("*******")
    pairs = [[line.strip() for line in part.splitlines() if line.strip()] for part in parts]
    aligned = [pair for pair in pairs if len(pair) == 2]
    texts = [text for pair in aligned for text in pair]
    first = {text: place for place, text in reversed([*enumerate(texts)])}
    distinct = sorted(first.values())
    number = {texts[place]: at for at, place in enumerate(distinct)}
    same = {tuple(sorted((number[a], number[b]))) for a, b in aligned if a != b}
    return [texts[place] for place in distinct], {(a, b) for a, b in same}


def read_sts(path: Path) -> tuple[list[str], dict[Pair, float]]:
    """Sentences, and the mean grade that people gave each pair, 0 to 5."""
    lines = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
    texts = [text for _, one, other in lines for text in (one, other)]
    return texts, {(2 * at, 2 * at + 1): float(line[0]) for at, line in enumerate(lines)}


def curves(
    texts: Sequence[str], asked: set[Pair], same: set[Pair], model: Path | None
) -> dict[str, Any]:
    """By threshold: pairs, precision, recall of each way, with and without the guard."""
    from stillhouse.data.meaning import claims_of
    from stillhouse.data.tfidf import tfidf

    claims = [claims_of(text) for text in texts]
    guarded = {pair for pair in asked if claims[pair[0]] == claims[pair[1]]}
    sets = [groups_of(text) or {text.encode()} for text in texts]
    shared = {pair: overlap(sets[pair[0]], sets[pair[1]]) for pair in asked}
    ways: dict[str, tuple[dict[Pair, float], tuple[float, ...]]]
    ways = {"shared word groups": (shared, GROUPS_AT)}
    sparse = tfidf(texts)
    ways["tfidf"] = (cosines_of((sparse @ sparse.T).toarray(), asked), COSINES_AT)
    if model:
        from stillhouse.models.encode import TextEncoder

        vectors = TextEncoder(model)(texts)
        ways["model"] = (cosines_of(vectors @ vectors.T, asked), COSINES_AT)
    found: dict[str, Any] = {
        "pairs": len(asked),
        "same": len(same),
        "kept apart": len(same - guarded),
    }
    for name, (values, thresholds) in ways.items():
        found[name] = {
            str(at): {
                "guarded": told((p for p in guarded if values[p] >= at), same),
                "not guarded": told((p for p in asked if values[p] >= at), same),
            }
            for at in thresholds
        }
    return found


def cosines_of(table: Any, asked: set[Pair]) -> dict[Pair, float]:
    """A table's values at some pairs."""
    return {pair: float(table[pair]) for pair in asked}


def told(found: Iterable[Pair], same: set[Pair]) -> dict[str, Any]:
    """How many were found, how many of them rightly, and how much of all."""
    pairs = set(found)
    right = len(pairs & same)
    precision = round(right / len(pairs), 3) if pairs else None
    return {"found": len(pairs), "precision": precision, "recall": round(right / len(same), 3)}


if __name__ == "__main__":
    spec = child_spec()
    if spec is None:
        main()
    else:
        _child(spec)
