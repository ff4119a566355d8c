"""The nearest valid name, for the end of an error message."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """` (did you mean "x"?)` with the nearest of `names`, or nothing when none is near.

    Args:
        name: what was written.
        names: what would have been valid.

    Returns:
        Text to append to a message.
    """
    by_folded = {known.casefold(): known for known in names}
    found = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.6)
    return f' (did you mean "{by_folded[found[0]]}"?)' if found else ""


def some_of(names: Iterable[str], limit: int = 12) -> str:
    """The names joined by commas, cut after `limit`."""
    known = list(names)
    more = f" and {len(known) - limit} more" if len(known) > limit else ""
    return ", ".join(known[:limit]) + more
