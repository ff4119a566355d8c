"""The texts of a row's fields, however deep they lie."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any


def texts_of(fields: Mapping[str, Any], names: Sequence[str] = ()) -> Iterator[tuple[str, str]]:
    """Each text with the name of the field it lies in.

    Args:
        fields: of a row.
        names: the fields that are meant; all when empty.

    Yields:
        (field, text), in order; keys of objects are no texts.
    """
    for name in names or fields:
        for text in _texts(fields.get(name)):
            yield name, text


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def change_texts(
    fields: Mapping[str, Any], change: Callable[[str], str], names: Sequence[str] = ()
) -> dict[str, Any]:
    """The fields with every text changed.

    Args:
        fields: of a row.
        change: text to text.
        names: the fields that are meant; all when empty.

    Returns:
        New fields; keys of objects stay as they are.
    """
    return {
        name: _changed(value, change) if not names or name in names else value
        for name, value in fields.items()
    }


def _changed(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: _changed(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [_changed(item, change) for item in value]
    return value
