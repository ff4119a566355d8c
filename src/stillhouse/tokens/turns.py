"""Messages in the form that chat templates read, which is that of OpenAI's chat API."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Message
from stillhouse.tokens.thoughts import part_thought

# A template takes the thought out of an answer itself (Qwen 3, DeepSeek), or is given it apart:
# gpt-oss's as `thinking`, Qwen 3.8's as `reasoning_content`.
_PARTS_THOUGHTS = re.compile(r"split\([\"']</think>")
_THOUGHT_APART = re.compile(
    r"message(?:\.|\[[\"'])(thinking|reasoning_content)\b|[\"'](thinking)[\"'] in message"
)
# DeepSeek V3's writes the calls only of a turn that says nothing at all; others fail on a null.
_ASKS_FOR_NULL = re.compile(r"and \w+\[[\"']content[\"']\] is none")


class _Arguments(dict[str, Any]):
    """Arguments of a call as an object, and as their JSON text where a template joins texts.

    DeepSeek's and Kimi's templates join them to text; all others write the object by `tojson`.
    """

    def __init__(self, text: str) -> None:
        super().__init__(json.loads(text))
        self._text = text

    def __radd__(self, before: str) -> str:
        return before + self._text

    def __str__(self) -> str:
        return self._text


def turns_for(messages: Sequence[Message], source: str) -> list[dict[str, Any]]:
    """Messages as a chat template reads them.

    Args:
        messages: a conversation; the tool turns answer its calls in order.
        source: the template, whose form of a thought is followed.

    Returns:
        Role and content; calls with ids of nine letters and digits, which Mistral's asks for; the
        results with id and name of their call.
    """
    apart = None if _PARTS_THOUGHTS.search(source) else _THOUGHT_APART.search(source)
    takes_null = _ASKS_FOR_NULL.search(source) is not None
    turns, calls, num_calls = [], [], 0
    for message in messages:
        turn: dict[str, Any] = {"role": message.role, "content": message.content}
        if message.role == "assistant" and apart:
            turn |= _thought_apart(message.content, apart[1] or apart[2])
        if message.tool_calls:
            turn["content"] = message.content or (None if takes_null else "")
            turn["tool_calls"] = [
                {
                    "id": f"call{num_calls + number:05d}",
                    "type": "function",
                    "function": {"name": call.name, "arguments": _Arguments(call.arguments)},
                }
                for number, call in enumerate(message.tool_calls)
            ]
            num_calls += len(message.tool_calls)
            calls += turn["tool_calls"]
        if message.role == "tool" and calls:
            answered = calls.pop(0)
            turn |= {"tool_call_id": answered["id"], "name": answered["function"]["name"]}
        turns.append(turn)
    return turns


def require_written(messages: Sequence[Message], write: Callable[..., str]) -> None:
    """Refuse a conversation of which the template leaves out a turn without a word.

    Phi-3's leaves out results of tools, DeepSeek R1's the calls.

    Args:
        messages: the conversation.
        write: the template.

    Raises:
        InputError: names the turn.
    """
    text = write(messages, False)
    marks = [_mark(number, text) for number in range(len(messages))]
    marked = _marked_text(messages, marks, write)
    for number, message in enumerate(messages):
        if message.role == "assistant" and not message.tool_calls:
            continue
        said = message.content.strip()
        parts = [call.name for call in message.tool_calls] or [said]
        # What stands there may be another turn's, or the template's own; the mark is of this one.
        if all(part in text for part in parts) and marks[number] in marked:
            continue
        if _text_of(_with_mark(messages, number, marks[number]), write) != text:
            continue
        raise InputError(
            f"the chat template leaves out turn {number} ({message.role}): "
            f"{(said or parts[0])[:60]!r}",
            "take a model whose template writes such turns, or drop these conversations in prepare",
        )


def _mark(number: int, text: str) -> str:
    """A word that stands nowhere in a text, and within no other mark."""
    ends = "Q"
    while f"{ends}{number}{ends}" in text:
        ends += "Q"
    return f"{ends}{number}{ends}"


def _marked_text(
    messages: Sequence[Message], marks: Sequence[str], write: Callable[..., str]
) -> str:
    """The conversation as every turn but an answer in words says its mark."""
    for number, message in enumerate(messages):
        if message.role != "assistant" or message.tool_calls:
            messages = _with_mark(messages, number, marks[number])
    return _text_of(messages, write)


def _text_of(messages: Sequence[Message], write: Callable[..., str]) -> str:
    """The conversation; empty where the template refuses it."""
    try:
        return write(messages, False)
    except InputError:
        return ""


def _with_mark(messages: Sequence[Message], number: int, mark: str) -> list[Message]:
    told = messages[number]
    other = replace(
        told,
        content=told.content if told.tool_calls else mark,
        tool_calls=tuple(replace(call, name=mark) for call in told.tool_calls),
    )
    return [*messages[:number], other, *messages[number + 1 :]]


def _thought_apart(content: str, name: str) -> dict[str, str]:
    thought, said = part_thought(content)
    return {"content": said, **({name: thought} if thought else {})}
