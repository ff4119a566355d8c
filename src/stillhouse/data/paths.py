"""Dotted paths into a record: `choices.text.0` is `record["choices"]["text"][0]`.

A key that itself holds dots is tried first, so `"a.b"` finds `{"a.b": 1}`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Row
from stillhouse.data.nearest import did_you_mean, some_of

_LISTED_ITEMS = 3


class _Missing:
    """The answer of `find` when there is nothing; not None, because a field may hold null."""


MISSING: Final = _Missing()


def find(value: Any, path: str) -> Any:
    """What stands at a dotted path, or `MISSING`.

    Args:
        value: a JSON value.
        path: keys and list indices (negative ones count from the end) joined by dots.

    Returns:
        The value there, null included.
    """
    return _find(value, path.split("."))


def _find(value: Any, keys: list[str]) -> Any:
    if not keys:
        return value
    if isinstance(value, list):
        return _find_in_list(value, keys)
    if not isinstance(value, dict):
        return MISSING
    for end in range(len(keys), 0, -1):
        key = ".".join(keys[:end])
        if key in value and (found := _find(value[key], keys[end:])) is not MISSING:
            return found
    return MISSING


def _find_in_list(value: list[Any], keys: list[str]) -> Any:
    digits = keys[0].removeprefix("-")
    if not (digits.isascii() and digits.isdigit()):
        return MISSING
    index = int(keys[0])
    return _find(value[index], keys[1:]) if -len(value) <= index < len(value) else MISSING


def put(value: Any, path: str, new: Any) -> Any:
    """A value with another one at a dotted path; nothing is edited in place.

    Args:
        value: a JSON value in which `find` finds the path.
        path: as in `find`.
        new: what stands there then.

    Returns:
        A copy along the path; all beside it is shared.
    """
    return _put(value, path.split("."), new)


def _put(value: Any, keys: list[str], new: Any) -> Any:
    if not keys:
        return new
    if isinstance(value, list):
        items = list(value)
        items[int(keys[0])] = _put(items[int(keys[0])], keys[1:], new)
        return items
    for end in range(len(keys), 0, -1):
        key, rest = ".".join(keys[:end]), keys[end:]
        if key in value and _find(value[key], rest) is not MISSING:
            return value | {key: _put(value[key], rest, new)}
    raise KeyError(".".join(keys))


def paths_of(value: Any, prefix: str = "") -> Iterator[str]:
    """Every dotted path in a value, the first few items of each list; parents before children."""
    items: list[tuple[str, Any]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = [(str(index), item) for index, item in enumerate(value[:_LISTED_ITEMS])]
    for key, item in items:
        yield f"{prefix}{key}"
        yield from paths_of(item, f"{prefix}{key}.")


def value_at(row: Row, path: str, setting: str) -> Any:
    """What stands at a dotted path of a row's fields.

    Args:
        row: the row.
        path: dotted path.
        setting: the recipe's key that asked for it, for the message.

    Returns:
        The value, null included.

    Raises:
        InputError: nothing stands there; names the row's file and line, the nearest name, and
            the names there are.
    """
    found = find(row.fields, path)
    if found is MISSING:
        raise InputError(
            f'{row.provenance}: {setting} names "{path}", which this row does not have'
            f"{did_you_mean(path, paths_of(row.fields))}",
            f"it has: {some_of(row.fields)}",
        )
    return found
