"""What a host's robots.txt allows us, as RFC 9309 reads it.

The longest rule that matches a path decides; of two as long as each other, the one that allows.
A host without the file allows everything. One whose file cannot be had allows nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

MOST_BYTES = 500 * 1024
"""paper: RFC 9309, section 2.5, asks for at least this much."""

_MOST_RULES, _MOST_PATTERN = 20_000, 2048
"""assumption: a file that says more is no work of people; what is left out is told nobody apart."""
_LONGEST_DELAY_S = 3600.0
_AS_WRITTEN = "%/*$?&=:;,@!'()+~[]-._|"
_PERCENT = re.compile("%([0-9A-Fa-f]{2})")
_UNRESERVED = re.compile("[A-Za-z0-9._~-]")


@dataclass(frozen=True, slots=True)
class Robots:
    """The rules that hold for us.

    Attributes:
        rules: (pattern, whether it allows).
        delay_s: between requests, as Crawl-delay asks; 0 without.
    """

    rules: tuple[tuple[str, bool], ...] = ()
    delay_s: float = 0.0

    def allows(self, path: str) -> bool:
        """Whether a path, with its query, may be asked for."""
        if path == "/robots.txt":
            return True
        wanted = _plain(path)
        best, is_allowed = -1, True
        for pattern, allows in self.rules:
            length = len(pattern)
            better = length > best or (length == best and allows)
            if better and _matches(pattern, wanted):
                best, is_allowed = length, allows
        return is_allowed


ALLOWS_ALL = Robots()
ALLOWS_NOTHING = Robots((("/", False),))


def read_robots(content: bytes, product: str) -> Robots:
    """The rules of a robots.txt that hold for a product.

    Args:
        content: of the file; any bytes.
        product: our name in it, compared without case.

    Returns:
        Of the groups that name the product, else of those for everybody.
    """
    text = content[:MOST_BYTES].decode("utf-8", "replace").removeprefix("\ufeff")
    groups: dict[str, _Group] = {}
    current: list[_Group] = []
    is_heading = False
    for line in re.split(r"\r\n|\r|\n", text)[: _MOST_RULES * 2]:
        key, _, value = line.partition("#")[0].partition(":")
        key, value = key.strip().lower(), value.strip()
        if key == "user-agent":
            name = re.match(r"[a-z_-]*", value.lower()).group() or value[:1]  # type: ignore[union-attr]
            group = groups.setdefault(name, _Group([], []))
            current = [*current, group] if is_heading else [group]
            is_heading = True
        elif key in ("allow", "disallow", "crawl-delay"):
            is_heading = False
            for group in current:
                group.add(key, value)
    own = groups.get(product.lower()) or groups.get("*")
    return Robots(tuple(own.rules[:_MOST_RULES]), max(own.delays, default=0.0)) if own else Robots()


@dataclass(slots=True)
class _Group:
    rules: list[tuple[str, bool]]
    delays: list[float]

    def add(self, key: str, value: str) -> None:
        """Take one line of the group."""
        if key == "crawl-delay":
            if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value):
                self.delays.append(min(float(value), _LONGEST_DELAY_S))
        elif value and len(value) <= _MOST_PATTERN:
            self.rules.append((_plain(value), key == "allow"))
        elif value and key == "disallow":
            # A pattern that is too long to look at forbids all that it may mean.
            self.rules.append((_plain(value[: value.find("*")] if "*" in value else "/"), False))


def _plain(path: str) -> str:
    """The path with each letter written in one way: plain where it may be, else as percent."""
    quoted = quote(path.encode("utf-8", "surrogatepass"), safe=_AS_WRITTEN)
    return _PERCENT.sub(_plainest, quoted)


def _plainest(found: re.Match[str]) -> str:
    letter = chr(int(found.group(1), 16))
    return letter if letter.isascii() and _UNRESERVED.match(letter) else found.group().upper()


def _matches(pattern: str, path: str) -> bool:
    """Whether a pattern with `*` and an ending `$` fits the begin of a path; linear in both."""
    is_whole = pattern.endswith("$")
    first, *others = pattern.removesuffix("$").split("*")
    if not path.startswith(first):
        return False
    at = len(first)
    if not others:
        return not is_whole or at == len(path)
    *middle, last = others
    for part in middle:
        found = path.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    if is_whole:
        return len(path) - len(last) >= at and path.endswith(last)
    return path.find(last, at) >= 0
