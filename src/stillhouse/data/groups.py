"""Which rows must stay together in one part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stillhouse.core.hashing import digest_value
from stillhouse.data.drafts import Draft
from stillhouse.data.paths import value_at


def group_drafts(drafts: Sequence[Draft], group_by: Sequence[str]) -> dict[str, str]:
    """The group of every row, named by its smallest row id.

    Rows are together when they ask the same, whatever the system message; when they come from
    the same row; or when they share a value of every `group_by` field. Rows where all of those
    fields are empty are not together.

    Args:
        drafts: rows with their prompts.
        group_by: dotted paths of fields.

    Returns:
        Row id to group.
    """
    leader = {draft.row_id: draft.row_id for draft in drafts}

    def lead(row_id: str) -> str:
        while leader[row_id] != row_id:
            leader[row_id] = leader[leader[row_id]]
            row_id = leader[row_id]
        return row_id

    first_with: dict[str, str] = {}
    for draft in drafts:
        for key in _keys(draft, group_by):
            mine, other = lead(draft.row_id), lead(first_with.setdefault(key, draft.row_id))
            leader[max(mine, other)] = min(mine, other)
    return {row_id: lead(row_id) for row_id in leader}


def _keys(draft: Draft, group_by: Sequence[str]) -> Iterator[str]:
    asked = [(turn.role, turn.content) for turn in draft.prompt_key]
    yield digest_value(["prompt", asked])
    yield digest_value(["root", draft.root_id or draft.row_id])
    values = [value_at(draft, path, "prepare.split.group_by") for path in group_by]
    if any(value not in (None, "") for value in values):
        yield digest_value(["group", values])
