"""How long a server asks to be left alone, as its `Retry-After` header says it."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def retry_after_s(header: str | None, now: datetime | None = None) -> float | None:
    """The seconds that a Retry-After header asks for.

    Args:
        header: seconds (also with a fraction) or an HTTP date; None when absent.
        now: for a date; the present by default.

    Returns:
        At least 0; None when absent or without sense.
    """
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        return _until(header, now or datetime.now(UTC))
    return max(0.0, seconds) if seconds < float("inf") else None


def _until(date: str, now: datetime) -> float | None:
    try:
        then = parsedate_to_datetime(date)
        if then.tzinfo is None:
            then = then.replace(tzinfo=UTC)
        return max(0.0, (then - now).total_seconds())
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
