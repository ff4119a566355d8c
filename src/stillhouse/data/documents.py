"""Records of a JSON or JSONL file; JSONL is read line by line, JSON whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from stillhouse.core.errors import InputError
from stillhouse.data.lines import codec_name, decode, read_lines
from stillhouse.data.nearest import did_you_mean, some_of
from stillhouse.data.paths import MISSING, find, paths_of
from stillhouse.data.tables import Record


def read_jsonl(path: Path, encoding: str) -> Iterator[Record]:
    """Provenance and fields of each line; blank lines are passed over.

    Args:
        path: a file with one JSON object a line.
        encoding: a Python codec name.

    Yields:
        (`file:line`, fields).

    Raises:
        InputError: a line that is not JSON, with line and column, or not an object.
    """
    num_rows = 0
    for number, text in read_lines(path, encoding):
        if not text.strip():
            continue
        value = _parse(text, path.name, number)
        num_rows += 1
        yield f"{path.name}:{number}", _object(value, f"{path.name}:{number}")
    if not num_rows:
        raise InputError(f"{path.name} is empty", "write one JSON object a line")


def read_json(path: Path, encoding: str, records: str | None) -> Iterator[Record]:
    """Provenance and fields of each object of the list in a JSON file.

    Args:
        path: a JSON file: a list of objects, or an object that holds one.
        encoding: a Python codec name.
        records: dotted path to the list when the file is an object.

    Yields:
        (`file:records[index]`, fields).

    Raises:
        InputError: not JSON, no list at that path, or an element that is not an object.
    """
    codec_name(encoding)
    text = decode(path.read_bytes(), encoding, path.name).removeprefix("\ufeff")
    if not text.strip():
        raise InputError(f"{path.name} is empty", "write a JSON list of objects")
    values = _list_at(_parse(text, path.name, 1), records, path.name)
    for index, value in enumerate(values):
        where = f"{path.name}:{records or ''}[{index}]"
        yield where, _object(value, where)


def _parse(text: str, name: str, first_line: int) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_object_of_pairs)
    except json.JSONDecodeError as error:
        raise InputError(
            f"{name}:{first_line + error.lineno - 1}:{error.colno}: not JSON: {error.msg}",
            _hint(text, first_line, error),
        ) from None
    except RecursionError:
        raise InputError(
            f"{name}:{first_line}: not JSON that can be read: it nests too deep", "flatten it"
        ) from None
    except ValueError as error:
        raise InputError(
            f"{name}:{first_line}: not JSON: {error}",
            "a missing number is null, and every key of an object stands once",
        ) from None


def _hint(text: str, first_line: int, error: json.JSONDecodeError) -> str:
    if "\r" in text.rstrip():
        return "a lone carriage return is no line end: write \\n or \\r\\n"
    if first_line == 1 and text.strip() in ("[", "{"):
        return "the file looks like one JSON document: collect.source.format: json"
    if error.msg == "Extra data":
        return "the file looks like one object a line: collect.source.format: jsonl"
    return "mend the line, or remove it"


def _object_of_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} stands {keys.count(twice)} times in one object")
    return made


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(
            f"{where}: a row must be a JSON object, this is {_kind(value)}",
            'write {"name": value, ...}; a whole file that is one list is format: json',
        )
    return value


def _kind(value: Any) -> str:
    kinds = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")


def _list_at(document: Any, records: str | None, name: str) -> list[Any]:
    found = find(document, records) if records else document
    if isinstance(found, list) and found:
        return found
    lists = [path for path in paths_of(document) if isinstance(find(document, path), list)]
    if found is MISSING:
        raise InputError(
            f'{name}: nothing at collect.source.records "{records}"'
            f"{did_you_mean(str(records), lists)}",
            f"lists stand at: {some_of(lists) or 'nowhere'}",
        )
    if isinstance(found, list):
        raise InputError(f"{name}: the list{_at(records)} is empty", "there is no row to read")
    if isinstance(found, dict):
        hint = f"name one with collect.source.records; lists stand at: {some_of(lists)}"
        raise InputError(f"{name}: an object{_at(records)}, not a list of rows", hint)
    raise InputError(f"{name}: {_kind(found)}{_at(records)}, not a list of rows", "write a list")


def _at(records: str | None) -> str:
    return f' at "{records}"' if records else ""
