"""Which rows must stay together in one part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from stillhouse.core.hashing import digest_value
from stillhouse.data.drafts import Draft
from stillhouse.data.paths import value_at
from stillhouse.recipes.rewording import REWORDED_FROM

_DIGEST_LENGTH = 20
NONE_NEAR: Mapping[str, str] = MappingProxyType({})


def group_drafts(
    drafts: Sequence[Draft], group_by: Sequence[str], near: Mapping[str, str] = NONE_NEAR
) -> dict[str, str]:
    """The group of every row, named by what its rows ask or share, never by their place or id.

    Rows are together when they ask the same, whatever the system message; when they come from
    the same row, or asked the same before a step wrote it in other words; when they share a value
    of every `group_by` field; or when they say nearly the same. Rows where all of those fields are
    empty are not together.

    Args:
        drafts: rows with their prompts.
        group_by: dotted paths of fields.
        near: row id to the name of the rows that say nearly the same.

    Returns:
        Row id to group.
    """
    leader: dict[str, str] = {}

    def lead(key: str) -> str:
        while leader.setdefault(key, key) != key:
            leader[key] = leader[leader[key]]
            key = leader[key]
        return key

    key_of: dict[str, str] = {}
    for draft in drafts:
        alike = [f"near {near[draft.row_id]}"] if draft.row_id in near else []
        for key in (*_keys(draft, group_by), *alike):
            mine, other = lead(key), lead(key_of.setdefault(draft.row_id, key))
            leader[max(mine, other)] = min(mine, other)
    return {row_id: lead(key) for row_id, key in key_of.items()}


def _keys(draft: Draft, group_by: Sequence[str]) -> Iterator[str]:
    """What a row may share with others; the smallest key of a group is its name."""
    asked = [turn.as_list() for turn in draft.prompt_key]
    yield _key("prompt", asked)
    yield _key("root", draft.root_id or draft.row_id)
    if source := draft.fields.get(REWORDED_FROM):
        yield _key("root", source)
    values = [value_at(draft, path, "prepare.split.group_by") for path in group_by]
    if any(value not in (None, "") for value in values):
        yield _key("group", values)


def _key(kind: str, value: Any) -> str:
    return f"{kind} {digest_value(value)[:_DIGEST_LENGTH]}"
