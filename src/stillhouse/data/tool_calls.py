"""The calls of tools in a row's conversation, in the form that OpenAI's chat API gave them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from stillhouse.core.errors import InputError
from stillhouse.core.rows import ToolCall

_FORM = (
    'a call is {"function": {"name": "...", "arguments": {...}}}, with the arguments as an object '
    "or as the JSON text of one"
)


def read_tool_calls(turn: Mapping[str, Any], role: str, at: str) -> tuple[ToolCall, ...]:
    """The calls of one turn.

    Args:
        turn: with `tool_calls` or without.
        role: of the turn.
        at: its place, for errors.

    Returns:
        In order; empty for a turn that calls nothing.

    Raises:
        InputError: a turn that is not the assistant's calls, or a call has another form.
    """
    if turn.get("function_call"):
        raise InputError(f"{at}: function_call is the old form of a call", f"tool_calls: {_FORM}")
    calls = turn.get("tool_calls") or ()
    if not isinstance(calls, Sequence) or isinstance(calls, str):
        raise InputError(f"{at}: tool_calls is no list", _FORM)
    if calls and role != "assistant":
        raise InputError(f"{at}: a turn of role {role} calls a tool", "only assistant turns do")
    return tuple(_read(call, f"{at}.tool_calls[{number}]") for number, call in enumerate(calls))


def require_results_in_order(turns: Sequence[Mapping[str, Any]], where: str) -> None:
    """Refuse a conversation whose tool turns answer its calls in another order.

    Args:
        turns: as the row holds them; ids may be missing, and then the order counts.
        where: their place, for errors.

    Raises:
        InputError: names the turn and the call that it should answer.
    """
    open_ids: list[Any] = []
    for index, turn in enumerate(turns):
        open_ids += [call.get("id") for call in turn.get("tool_calls") or ()]
        if "tool_call_id" not in turn:
            continue
        expected = open_ids.pop(0) if open_ids else None
        if expected is not None and turn["tool_call_id"] not in (None, expected):
            raise InputError(
                f"{where}[{index}] answers the call {turn['tool_call_id']!r}; next in order is "
                f"{expected!r}",
                "put the results of tools into the order of their calls",
            )


def _read(call: Any, at: str) -> ToolCall:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise InputError(f"{at} names no function", _FORM)
    arguments = function.get("arguments")
    if isinstance(arguments, dict):
        return ToolCall(function["name"], json.dumps(arguments, ensure_ascii=False))
    if not isinstance(arguments, str) or not _is_object(arguments):
        raise InputError(f"{at}: the arguments of {function['name']} are no JSON object", _FORM)
    return ToolCall(function["name"], arguments)


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
