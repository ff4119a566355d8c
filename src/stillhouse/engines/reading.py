"""Parts of a reply, read so that nothing a server writes can raise: what is none is left out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from stillhouse.core.rows import OwnLogprob

_MOST_TOKENS = 2**53
"""More can be written by no provider, and added up exactly by no database."""


def read_logprobs(entries: Any) -> tuple[OwnLogprob, ...]:
    """Log-probabilities as OpenAI and Ollama write them.

    Args:
        entries: one a token.

    Returns:
        The same; nothing when they are not of that form.
    """
    try:
        return tuple(
            OwnLogprob(
                _token_bytes(one),
                float(one["logprob"]),
                tuple(
                    (_token_bytes(top), float(top["logprob"]))
                    for top in one.get("top_logprobs") or ()
                ),
            )
            for one in entries or ()
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return ()


def part_thinking(text: str) -> tuple[str, str]:
    """An answer apart from thoughts that a server left in it.

    Args:
        text: as it came.

    Returns:
        The answer and the thoughts.
    """
    opened = text.lstrip()
    if not opened.startswith("<think>"):
        return text, ""
    thought, closed, answer = opened.removeprefix("<think>").partition("</think>")
    return (answer.lstrip("\n"), thought.strip()) if closed else ("", thought.strip())


def as_json(value: Any) -> str:
    """The arguments of a tool call as text, as they would have been written."""
    return json.dumps(value, ensure_ascii=False)


def count(value: Any) -> int:
    """A number of tokens; 0 for what is none."""
    return tokens(value) or 0


def tokens(value: Any) -> int | None:
    """A number of tokens that a reply must tell; None for what is none."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return value if is_number and 0 <= value <= _MOST_TOKENS else None


def dicts(value: Any) -> list[dict[str, Any]]:
    """The objects of a list; none of what is no list."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def plain_text(value: Any) -> str:
    """A text; empty for what is none."""
    return value if isinstance(value, str) else ""


def _token_bytes(entry: Mapping[str, Any]) -> bytes:
    told = entry.get("bytes")
    return bytes(told) if told is not None else str(entry["token"]).encode("utf-8")
