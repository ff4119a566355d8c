"""Whether a JSON Schema can be used on answers: it is one, and all that it refers to is in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from jsonschema.exceptions import SchemaError
from jsonschema.validators import Draft202012Validator

_REFERENCES = ("$ref", "$dynamicRef")
_ANCHORS = ("$anchor", "$dynamicAnchor")


def refuse_schema(schema: Mapping[str, Any]) -> None:
    """Refuse a schema that would fail on the first answer.

    Args:
        schema: of answers.

    Raises:
        ValueError: it is no JSON Schema, has a pattern that cannot be read, or refers to what is
            no place in the schema itself; nothing else is looked up.
    """
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise ValueError(f"is no JSON Schema: {error.message}") from None
    nodes = list(_nodes(schema))
    anchors = [node.get(key) for node in nodes for key in _ANCHORS]
    for node in nodes:
        for reference in map(node.get, _REFERENCES):
            if isinstance(reference, str) and not _is_there(reference, schema, anchors):
                raise ValueError(f"refers to {reference!r}, which is no place in the schema itself")


def object_of_schema(schema: Mapping[str, Any], number: int = 0) -> dict[str, Any]:
    """An object with every property of a schema, to stand in for an answer.

    Args:
        schema: of an object.
        number: the words of an `enum` go round with it.

    Returns:
        Of the right types; patterns and lengths are not looked at.
    """
    properties = schema.get("properties", {})
    return {name: value_of_schema(inner, number) for name, inner in properties.items()}


def value_of_schema(schema: Mapping[str, Any], number: int) -> Any:
    """A value of a property's type; only what a required field of such an answer may be."""
    if schema.get("enum"):
        return schema["enum"][number % len(schema["enum"])]
    empty: dict[str, Any] = {
        "number": 0.0,
        "integer": 0,
        "boolean": True,
        "array": [],
        "object": {},
    }
    return empty.get(str(schema.get("type")), f"value {number + 1}")


def _nodes(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        yield value
    inner = value.values() if isinstance(value, Mapping) else value
    if isinstance(value, Mapping | list):
        for each in inner:
            yield from _nodes(each)


def _is_there(reference: str, schema: Mapping[str, Any], anchors: list[Any]) -> bool:
    fragment = unquote(reference.removeprefix("#"))
    if not reference.startswith("#") or (fragment and not fragment.startswith("/")):
        return reference.startswith("#") and fragment in anchors
    place: Any = schema
    for part in fragment.split("/")[1:]:
        place = _step(place, part.replace("~1", "/").replace("~0", "~"))
    return isinstance(place, Mapping | bool)


def _step(place: Any, key: str) -> Any:
    if isinstance(place, list):
        return place[int(key)] if key.isdecimal() and int(key) < len(place) else None
    return place.get(key) if isinstance(place, Mapping) else None
