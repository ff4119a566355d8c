"""What a row to learn from shares with the rows that are measured: near copies, and runs of words.

Only what a row itself says is compared, never the words of the recipe's template.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from stillhouse.core.rows import MEASURED
from stillhouse.data.decontamination import Evaluation
from stillhouse.data.drafts import Draft
from stillhouse.data.near_duplicates import Shingled, find_alike, find_near, shingle

NEAR = 0.8
"""Share of the word groups of two texts from which the report calls one a near copy."""

_GROUP_WORDS = 2


def near_groups(drafts: Sequence[Draft], threshold: float) -> dict[str, str]:
    """Rows that say nearly the same, their numbers aside.

    Args:
        drafts: any rows.
        threshold: shared word groups over all word groups of two texts, in (0, 1].

    Returns:
        Row id to the smallest row id of its group, for rows of groups of two and more.
    """
    texts = _shingled(drafts)
    alike = find_alike(texts, threshold) if len(texts.names) > 1 else {}
    groups = {name: one.kept for name, one in alike.items()}
    return groups | {kept: kept for kept in groups.values()}


def _shingled(drafts: Sequence[Draft]) -> Shingled:
    said = sorted((draft.row_id, draft.own_text) for draft in drafts if draft.own_text.strip())
    texts = shingle([name for name, _ in said], [text for _, text in said], _GROUP_WORDS)
    # A question with another number is another row to learn, but no fair one to be measured on.
    return replace(texts, claims=np.zeros_like(texts.claims))


def near_learned(drafts: Sequence[Draft], part_of: Mapping[str, str]) -> set[str]:
    """The measured rows of which a near copy is learned.

    Args:
        drafts: rows of every part.
        part_of: row id to its part; an empty one for none.

    Returns:
        Row ids of validation and holdout.
    """
    texts = _shingled([draft for draft in drafts if part_of.get(draft.row_id)])
    is_measured = np.array([part_of[name] in MEASURED for name in texts.names], np.bool_)
    near = find_near(texts, np.flatnonzero(is_measured), np.flatnonzero(~is_measured), NEAR)
    return {texts.names[place] for place in near}


def shared_with_measured(
    drafts: Sequence[Draft], part_of: Mapping[str, str], words: int
) -> dict[str, str]:
    """The learned rows that share a run of words with a measured one.

    Args:
        drafts: rows of every part.
        part_of: row id to its part; an empty one for none.
        words: of the shortest run that counts.

    Returns:
        Row id to what was seen.
    """
    measured = [
        (f"row {draft.row_id}", draft.own_text)
        for draft in drafts
        if part_of.get(draft.row_id) in MEASURED
    ]
    evaluation = Evaluation(measured, words)
    seen = {
        draft.row_id: evaluation.evidence(draft.own_text)
        for draft in drafts
        if part_of.get(draft.row_id) and part_of[draft.row_id] not in MEASURED
    }
    return {name: evidence for name, evidence in seen.items() if evidence}
