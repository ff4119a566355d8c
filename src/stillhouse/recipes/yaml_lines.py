"""The lines on which the keys of a YAML file stand, so that an error can name them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ruamel.yaml.comments import CommentedMap, CommentedSeq

Key = tuple[str | int, ...]


def line_numbers(node: Any, at: Key = ()) -> Iterator[tuple[Key, int]]:
    """Every key and list item below a node of a round-trip parse, with its line from 1."""
    if isinstance(node, CommentedMap):
        # A key that `<<` merged in stands elsewhere; what is below it has its line.
        lines = node.lc.data or {}
        for key, value in node.items():
            if key in lines:
                yield (*at, key), lines[key][0] + 1
            yield from line_numbers(value, (*at, key))
    elif isinstance(node, CommentedSeq):
        for index, value in enumerate(node):
            yield (*at, index), node.lc.item(index)[0] + 1
            yield from line_numbers(value, (*at, index))


def plain_of(node: Any) -> Any:
    """The same values as plain dicts and lists, keys as texts."""
    if isinstance(node, dict):
        return {str(key): plain_of(value) for key, value in node.items()}
    if isinstance(node, list):
        return [plain_of(value) for value in node]
    return node


def place_of_key(key: Key, places: Mapping[Key, str], top: str) -> str:
    """Where a key stands, or the nearest section around it that does; `top` where none does."""
    for length in range(len(key), 0, -1):
        if key[:length] in places:
            return places[key[:length]]
    return top
