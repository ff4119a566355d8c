"""What each candidate answered to each measured row, for a CSV copy of a run."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from stillhouse.core.rows import Row
from stillhouse.data.csv_copies import Record
from stillhouse.data.storage import read_rows_file
from stillhouse.evals.rubric import FIDELITY
from stillhouse.evals.scores import Column, Scores, read_scores
from stillhouse.evals.texts import BLEU_COLUMNS, corpus_bleu
from stillhouse.runner.run_facts import TEACHER, RunFacts, variant_of
from stillhouse.stages.corpus import MEASURED_ROWS
from stillhouse.stages.evaluate_files import SCORES

_DIGITS = 4
_BLEU = "bleu_length:"
_POOR = 2.0
"""assumption: of five, as the rubric's prompt words them: 3 holds what was asked for."""
_PREFERRED = "preferred"
"""1 where the judge found it better than whom it is compared with, 0.5 for a tie, 0 for worse."""
_CORRECTION = "correction"


def answer_columns(facts: RunFacts) -> tuple[str, ...]:
    """What stands before a row's own fields."""
    found = ["row_id", "provenance"]
    for name, scores in _scored(facts).items():
        found += [name, *(f"{score} of {name}" for score in scores)]
        if _is_corrected(facts, name, scores):
            found.append(f"{_CORRECTION} of {name}")
    return tuple(found)


def answered_rows(facts: RunFacts) -> Iterator[Record]:
    """Each measured row with what was said of it, and how that scores.

    Args:
        facts: of a run in which at least one candidate was measured.

    Yields:
        In the order of the holdout. Where a judge found an answer poor, or worse than another's,
        the teacher's stands beside it as its correction.
    """
    prepared = facts.folder_of("prepare")
    assert prepared is not None
    rows = {row.row_id: row for row in read_rows_file(prepared / MEASURED_ROWS)}
    scored = _scored(facts)
    for example in facts.holdout:
        row = rows[example.example_id]
        told = _named(row)
        for name, scores in scored.items():
            said = facts.completions[name]
            at = facts.scores[name].example_ids.index(example.example_id)
            told[name] = said[example.example_id].text
            told |= {f"{score} of {name}": values[at] for score, values in scores.items()}
            if _is_corrected(facts, name, scores) and _is_poor(scores, at):
                teachers = facts.completions[TEACHER][example.example_id].text
                told[f"{_CORRECTION} of {name}"] = teachers
        yield told, row


def _named(row: Row) -> dict[str, object]:
    return {"row_id": row.row_id, "provenance": row.provenance}


_Scored = dict[str, list[float]]


def _scored(facts: RunFacts) -> dict[str, _Scored]:
    """Candidate to the scores of each of its answers."""
    judged = {
        variant_of(item): read_scores(facts.store.path(item.artifact_id) / SCORES)
        for item, _ in facts.of_stage("judge")
    }
    found = {}
    for name, scores in facts.scores.items():
        columns = _measured(scores) | (_judged(judged[name]) if name in judged else {})
        found[name] = {
            score: [round(float(one), _DIGITS) for one in values]
            for score, values in columns.items()
        }
    return found


def _measured(scores: Scores) -> dict[str, Column]:
    """Of each answer: whether it is the reference, BLEU-4, the mean distance to the teacher."""
    columns = scores.columns
    # Without gold answers it is told whether it is the teacher's.
    named = {"exact_match": "exact"} if "exact" in columns else {"agreement": "agreement"}
    found = {name: columns[column] for name, column in named.items()}
    for name in columns:
        if name.startswith(_BLEU):
            field = name.removeprefix(_BLEU)
            counts = np.stack([columns[f"{count}:{field}"] for count in BLEU_COLUMNS], axis=1)
            found[f"bleu.{field}"] = corpus_bleu(counts)
    if "kl" in columns:
        found["kl_to_teacher"] = columns["kl"] / np.maximum(columns["tokens"], 1.0)
    return found


def _judged(scores: Scores) -> dict[str, Column]:
    named = {"judge_half": _PREFERRED, FIDELITY: FIDELITY}
    return {ours: scores.columns[name] for name, ours in named.items() if name in scores.columns}


def _is_corrected(facts: RunFacts, name: str, scores: _Scored) -> bool:
    is_judged = _PREFERRED in scores or FIDELITY in scores
    return is_judged and name != TEACHER and TEACHER in facts.completions


def _is_poor(scores: _Scored, at: int) -> bool:
    """Whether the judge found the answer worse than another's, or poor by itself."""
    is_worse = _PREFERRED in scores and scores[_PREFERRED][at] == 0.0
    # 0 is a score that is missing.
    return is_worse or (FIDELITY in scores and 0.0 < scores[FIDELITY][at] <= _POOR)
