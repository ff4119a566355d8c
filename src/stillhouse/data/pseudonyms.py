"""Ids of people and devices, salted and hashed before a row is named or written."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from stillhouse.core.errors import InputError, UsageError
from stillhouse.core.rows import Row
from stillhouse.data.plain_values import plain_text
from stillhouse.data.readers import build_rows

LEAST_SALT = 16
"""Characters. assumption: nobody guesses a salt of so many."""

_DIGITS = 24


def pseudonym(salt: str, value: object) -> str:
    """What stands in the rows instead of an id; equal for equal ids under one salt."""
    state = hmac.new(salt.encode(), plain_text(value).encode(), hashlib.sha256)
    return f"h-{state.hexdigest()[:_DIGITS]}"


def salt_mark(salt: str) -> str:
    """A few digits that differ where the salt differs, and tell nothing of it."""
    return hmac.new(salt.encode(), b"mark", hashlib.sha256).hexdigest()[:8]


def require_salt(salt: str, name: str) -> str:
    """The salt, when it is long enough.

    Args:
        salt: from the environment.
        name: of its variable.

    Returns:
        The same.

    Raises:
        UsageError: it is too short to protect an id.
    """
    if len(salt) < LEAST_SALT:
        raise UsageError(
            f"the salt in {name} has {len(salt)} characters, at least {LEAST_SALT} are needed",
            'python -c "import secrets; print(secrets.token_hex(16))" makes one',
        )
    return salt


def hash_ids(rows: Iterable[Row], fields: Sequence[str], salt: str) -> Iterator[Row]:
    """The rows with hashed ids, named anew: a row's name is a digest of its fields.

    Args:
        rows: as they were read.
        fields: dotted paths; a row without one is left as it is there.
        salt: of the user.

    Yields:
        Rows in order.

    Raises:
        InputError: not one row has a field of that name, so that ids would be written as they are.
    """
    seen: dict[str, bool] = dict.fromkeys(fields, False)
    any_row = False

    def records() -> Iterator[tuple[str, dict[str, Any]]]:
        nonlocal any_row
        for row in rows:
            any_row = True
            changed: dict[str, Any] = row.fields
            for path in fields:
                changed, was_there = _hashed(changed, path.split("."), salt)
                seen[path] |= was_there
            yield row.provenance, changed

    yield from build_rows(records())
    missing = [path for path, was_there in seen.items() if not was_there]
    if any_row and missing:
        raise InputError(
            f"collect.rights.hash_fields names {', '.join(map(repr, missing))}, which no row has",
            "an id that is called otherwise would be kept as it is; name the field that holds it",
        )


def _hashed(value: Any, keys: Sequence[str], salt: str) -> tuple[Any, bool]:
    """The value with the id at that path hashed, and whether there was one."""
    if not keys:
        # Nobody is no person: hashed, all rows without an id would be of one.
        return (pseudonym(salt, value) if plain_text(value) else value), True
    if isinstance(value, list) and keys[0].isdecimal() and int(keys[0]) < len(value):
        place = int(keys[0])
        inner, found = _hashed(value[place], keys[1:], salt)
        return [*value[:place], inner, *value[place + 1 :]], found
    if not isinstance(value, dict):
        return value, False
    whole = ".".join(keys)
    if whole in value:
        inner, found = _hashed(value[whole], [], salt)
        return {**value, whole: inner}, found
    if keys[0] in value:
        inner, found = _hashed(value[keys[0]], keys[1:], salt)
        return {**value, keys[0]: inner}, found
    return value, False
