"""What each candidate answered to each measured row, for a CSV copy of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from stillhouse.core.rows import Row
from stillhouse.data.csv_copies import Record
from stillhouse.data.storage import read_rows_file
from stillhouse.evals.scores import Scores
from stillhouse.evals.texts import BLEU_COLUMNS, corpus_bleu
from stillhouse.runner.run_facts import RunFacts
from stillhouse.stages.corpus import MEASURED_ROWS

_DIGITS = 4
_BLEU = "bleu_length:"


def answer_columns(facts: RunFacts) -> tuple[str, ...]:
    """What stands before a row's own fields; nothing before a candidate was measured."""
    found = ["row_id", "provenance"]
    for name in facts.evaluated:
        found += [name, *(f"{score} of {name}" for score in _scores(facts.scores[name]))]
    return tuple(found)


def answered_rows(facts: RunFacts) -> Iterator[Record]:
    """Each measured row with what was said of it, and how that scores.

    Args:
        facts: of a run in which at least one candidate was measured.

    Yields:
        In the order of the holdout.
    """
    prepared = facts.folder_of("prepare")
    assert prepared is not None
    rows = {row.row_id: row for row in read_rows_file(prepared / MEASURED_ROWS)}
    places = {
        name: {example: at for at, example in enumerate(scores.example_ids)}
        for name, scores in facts.scores.items()
    }
    scored = {name: _scores(scores) for name, scores in facts.scores.items()}
    for example in facts.holdout:
        row = rows[example.example_id]
        told = _named(row)
        for name in facts.evaluated:
            told[name] = facts.completions[name][example.example_id].text
            at = places[name][example.example_id]
            told |= {f"{score} of {name}": values[at] for score, values in scored[name].items()}
        yield told, row


def _named(row: Row) -> dict[str, object]:
    return {"row_id": row.row_id, "provenance": row.provenance}


def _scores(scores: Scores) -> Mapping[str, list[float]]:
    """Of each answer by itself: whether it is the reference, BLEU-4, distance to the teacher."""
    columns = scores.columns
    found = {"exact_match": columns["exact"]}
    for name in columns:
        if name.startswith(_BLEU):
            field = name.removeprefix(_BLEU)
            counts = np.stack([columns[f"{count}:{field}"] for count in BLEU_COLUMNS], axis=1)
            found[f"bleu.{field}"] = corpus_bleu(counts)
    if "kl" in columns:
        found["kl_to_teacher"] = columns["kl"] / np.maximum(columns["tokens"], 1.0)
    return {name: [round(float(one), _DIGITS) for one in values] for name, values in found.items()}
