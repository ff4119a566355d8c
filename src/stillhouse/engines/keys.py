"""Keys of the user: read by name, carried as secrets, spoken of by alias.

The environment, and a `.env` file beside the recipe, are read here and nowhere else for keys.
A key is never written: not to a log, an error, the ledger, the cache or a recipe.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stillhouse.core.errors import UsageError


class Secret:
    """A text that does not show itself.

    Args:
        text: what must not be seen.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text; only for the header of a request."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(...)"

    __str__ = __repr__

    def __reduce__(self) -> str:
        raise TypeError("a secret is not written anywhere")


@dataclass(frozen=True, slots=True)
class Key:
    """A secret with the name that it is spoken of.

    Attributes:
        alias: the environment variable; `none` for a server that asks for no key.
        secret: None for such a server.
    """

    alias: str
    secret: Secret | None


NO_KEY = Key("none", None)
"""For a server that asks for no key."""


def find_keys(
    names: Sequence[str], folder: Path | None = None, environ: Mapping[str, str] | None = None
) -> list[Key]:
    """The keys of those names, from the environment or else from `folder/.env`.

    Args:
        names: environment variables, in the order of use; none for a server without keys.
        folder: where a `.env` file may lie, such as the recipe's folder.
        environ: instead of this process's environment.

    Returns:
        A key a name that is set; `NO_KEY` alone when no name is given.

    Raises:
        UsageError: none of the names is set, or a value cannot stand in a request.
    """
    if not names:
        return [NO_KEY]
    known = _read_dotenv(folder) | dict(os.environ if environ is None else environ)
    given = {name: known[name].strip() for name in names if known.get(name, "").strip()}
    for name, text in given.items():
        if not text.isprintable():
            raise UsageError(
                f"the key in {name} holds a line break or another sign that no request can carry",
                f"set {name} to the key alone; a second key goes under a name of its own",
            )
    found = [Key(name, Secret(given[name])) for name in names if name in given]
    if not found:
        raise UsageError(
            f"no key: {' and '.join(names)} {'is' if len(names) == 1 else 'are'} not set",
            f"export {names[0]}=..., or write it into a .env file beside the recipe",
        )
    return found


def find_token(name: str, environ: Mapping[str, str] | None = None) -> Secret | None:
    """A secret of the environment that may be missing, because a login of a library can stand in.

    Args:
        name: environment variable.
        environ: instead of this process's environment.

    Returns:
        It; None where it is not set.
    """
    value = (os.environ if environ is None else environ).get(name, "").strip()
    return Secret(value) if value else None


def _read_dotenv(folder: Path | None) -> dict[str, str]:
    path = folder / ".env" if folder else None
    if path is None or not path.is_file():
        return {}
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        # Not chained: that error holds the whole file.
        raise UsageError(f"{path} is not UTF-8", "save it as UTF-8, a line NAME=key each") from None
    pairs: dict[str, str] = {}
    for line in text.splitlines():
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and not name.startswith("#"):
            pairs[name.strip()] = _value(value.strip())
    return pairs


def _value(text: str) -> str:
    """What a line of a `.env` file sets: without its quotes, and without a comment behind it."""
    quoted = re.match(r"(['\"])(.*?)\1", text)
    return quoted[2] if quoted else re.split(r"\s#", text, maxsplit=1)[0].rstrip()


class KeyRing:
    """Which key asks next. A key that was refused rests; the others go on.

    Several keys are for keys that expire or run dry. They never add up to more than a provider
    allows: its limits and its pauses hold for all of its keys together.

    Args:
        keys: in the order of use.
        rest_s: how long a refused key rests. assumption: nobody mends a key in less.
        clock: seconds, only ever forward.
    """

    def __init__(
        self,
        keys: Sequence[Key],
        rest_s: float = 3600.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keys = list(keys)
        self._rest_s = rest_s
        self._clock = clock
        self._resting: dict[str, float] = {}

    def pick(self, alias: str = "") -> Key | None:
        """The key of that alias, else the first, that does not rest; None when all do."""
        now = self._clock()
        for key in sorted(self._keys, key=lambda one: one.alias != alias):
            if self._resting.get(key.alias, now) <= now:
                return key
        return None

    def rest(self, key: Key) -> None:
        """Let a key rest that was refused."""
        self._resting[key.alias] = self._clock() + self._rest_s
