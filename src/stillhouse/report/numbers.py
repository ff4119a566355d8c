"""Numbers as people read them: three or four digits, a unit, an interval in brackets."""

from __future__ import annotations

import math
from decimal import Decimal

MISSING = "\N{EM DASH}"
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_SILENT_UNITS = ("", "fraction")


def number_text(value: float | None, *, like: float | None = None) -> str:
    """A number with three or four significant digits; a dash for None and NaN.

    Args:
        value: the number.
        like: use as many decimals as this one would get, so that two numbers line up.

    Returns:
        Such as `0.8125`, `12.34`, `1,234` or `1.23×10⁻⁵`.
    """
    if value is None or math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "\N{INFINITY}" if value > 0 else "\N{MINUS SIGN}\N{INFINITY}"
    decimals = _num_decimals(abs(value if like is None else like))
    if value == 0 and decimals is None:
        return "0"
    if decimals is None or abs(value) >= 1e6:
        return _scientific(value)
    return _minus(f"{value:,.{decimals}f}")


def limit_text(limit: float) -> str:
    """A number that a person wrote, without the zeros that they did not write."""
    text = number_text(limit)
    return text.rstrip("0").rstrip(".") if "." in text and "×" not in text else text


def interval_text(value: float, low: float | None, high: float | None) -> str:
    """The bounds in brackets with the decimals of their value; empty without an interval."""
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return ""
    model = value if value != 0 and math.isfinite(value) else max(abs(low), abs(high))
    return f"[{number_text(low, like=model)}, {number_text(high, like=model)}]"


def unit_text(unit: str) -> str:
    """The unit behind a number; nothing for plain numbers and fractions."""
    return "" if unit in _SILENT_UNITS else unit


def count_text(count: int) -> str:
    """A whole number with its thousands apart."""
    return f"{count:,}"


def duration_text(seconds: float | None) -> str:
    """Seconds as `4.21 s`, `4 min 12 s` or `2 h 05 min`."""
    if seconds is None or not math.isfinite(seconds):
        return MISSING
    if seconds < 0.01:
        return "< 0.01 s" if seconds else "0 s"
    if seconds < 59.95:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60:,} h {minutes % 60:02d} min"


def latency_text(seconds: float | None) -> str:
    """Seconds of one request with three or four digits; a hundredth is too coarse for them."""
    return MISSING if seconds is None else f"{number_text(seconds)} s"


def memory_text(num_bytes: int | None) -> str:
    """Bytes as `512 MB`, from 10,000 MB on as `12.3 GB`."""
    if num_bytes is None:
        return MISSING
    if num_bytes < 10**10:
        return f"{num_bytes / 1e6:,.1f} MB" if num_bytes < 10**8 else f"{num_bytes / 1e6:,.0f} MB"
    return f"{num_bytes / 1e9:,.1f} GB"


def size_text(num_bytes: int | None) -> str:
    """Bytes on disk as `512 B`, `30.0 kB`, `1.23 GB`; factors of a thousand."""
    if num_bytes is None:
        return MISSING
    size = float(num_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5 or unit == "GB":
            break
        size /= 1000
    return f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.3g} {unit}"


def usd_text(amount: Decimal | None) -> str:
    """Money as `$12.40`, `$0.25`, `$0.0031`; small sums keep three digits."""
    if amount is None:
        return MISSING
    sign = "\N{MINUS SIGN}" if amount < 0 else ""
    size = abs(amount)
    if size == 0 or size >= 1:
        return f"{sign}${size:,.2f}"
    whole, _, part = f"{size:.{max(4, 2 - size.adjusted())}f}".partition(".")
    return f"{sign}${whole}.{part.rstrip('0'):0<2}"


def p_text(p_value: float | None) -> str:
    """A p value with two digits, or that it is below one in a thousand."""
    if p_value is None or math.isnan(p_value):
        return MISSING
    return "< 0.001" if p_value < 0.001 else f"{p_value:.2g}" if p_value < 0.1 else f"{p_value:.2f}"


def score_text(score: float) -> str:
    """A score with one digit behind the point."""
    return f"{score:.1f}"


def signed_text(value: float) -> str:
    """A difference with its sign, also where it is above 0."""
    text = number_text(value)
    return f"+{text}" if value > 0 and math.isfinite(value) else text


def exact_text(value: float | None) -> str:
    """The shortest text that reads back as the same number; as in the page's JSON."""
    if value is None:
        return "null"
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return repr(value)


def _num_decimals(size: float) -> int | None:
    if not 0.001 <= size < 1e6:
        return None
    if size < 1:
        return 4 if size >= 0.01 else 5
    return max(0, 3 - math.floor(math.log10(size)))


def _scientific(value: float) -> str:
    mantissa, exponent = f"{value:.2e}".split("e")
    return _minus(f"{mantissa}×10{str(int(exponent)).translate(_SUPERSCRIPTS)}")


def _minus(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")
