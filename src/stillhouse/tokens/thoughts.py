"""What a model thinks before it answers, as text: one form for all families.

It is that of Qwen 3 and DeepSeek: `<think>`, the thought, `</think>`, an empty line, the answer.
"""

from __future__ import annotations

import re

OPENED, CLOSED = "<think>", "</think>"

_EMPTY = re.compile(rf"\s*{OPENED}\s*{CLOSED}\n*")
_OPEN_END = re.compile(rf"{OPENED}\s*\Z")
_CLOSED_END = re.compile(rf"{CLOSED}\s*\Z")
_HARMONY = re.compile(
    r"<\|channel\|>(?P<channel>\w+)[^<]*<\|message\|>(?P<text>.*?)"
    r"(?:<\|(?:end|return|call)\|>|(?=<\|start\|>)|$)",
    re.DOTALL,
)


def part_thought(content: str) -> tuple[str, str]:
    """What an answer thinks, and what it says.

    Args:
        content: an answer; its `<think>` may stand in the prompt already.

    Returns:
        Thought and answer, without the line breaks between them; an empty thought where there
        is none.
    """
    thought, closed, said = content.rpartition(CLOSED)
    if not closed:
        return "", content
    return thought.rpartition(OPENED)[2].strip("\n"), said.lstrip("\n")


def join_thought(thought: str, said: str) -> str:
    """An answer with its thought in front, in the form that all families share."""
    return f"{OPENED}\n{thought}\n{CLOSED}\n\n{said}" if thought else said


def drop_thought(content: str) -> tuple[str, str]:
    """An answer without its thought, and the thought.

    Args:
        content: what was written; a thought that was cut short has no end.

    Returns:
        Answer and thought, either of them empty where there is none.
    """
    if CLOSED not in content and content.lstrip().startswith(OPENED):
        return "", content.lstrip().removeprefix(OPENED).strip("\n")
    thought, said = part_thought(content)
    return said, thought


def empty_thought(written: str) -> int:
    """How many characters an empty thought at the beginning takes, white space included."""
    found = _EMPTY.match(written)
    return found.end() if found else 0


def is_open(prompt: str) -> bool:
    """Whether a prompt ends inside a thought, so that the model's first words are one."""
    return _OPEN_END.search(prompt) is not None


def is_closed(prompt: str) -> bool:
    """Whether a prompt ends behind a thought, which tells the model to answer without one."""
    return _CLOSED_END.search(prompt) is not None


def read_channels(written: str) -> str:
    """The answer of a model that writes in harmony's channels, in the form that all share.

    Args:
        written: what it wrote after `<|start|>assistant`, special tokens included.

    Returns:
        The text of `final`, with that of `analysis` as its thought; the text as it is where it
        holds no channel.

    Source: the harmony response format, https://cookbook.openai.com/articles/openai-harmony.
    """
    found = [(one["channel"], one["text"]) for one in _HARMONY.finditer(written)]
    if not found:
        return written
    thought = "\n".join(text for channel, text in found if channel == "analysis")
    return join_thought(thought, "".join(text for channel, text in found if channel == "final"))


def continue_thought(content: str) -> str:
    """Thought and answer without the `<think>` that the prompt has already written."""
    return content.lstrip().removeprefix(OPENED).lstrip("\n")
