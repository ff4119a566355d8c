"""Examples as lines of a chat file: one JSON object a line, as OpenAI's fine-tuning takes them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

from stillhouse.core.files import sync_folder, temporary_beside
from stillhouse.core.rows import Example, Message


def chat_line(messages: Sequence[Message]) -> str:
    """A conversation as one line, without the line end.

    Args:
        messages: in order.

    Returns:
        `{"messages": [{"role": ..., "content": ...}, ...]}`; letters of every script as they are.
    """
    return json.dumps({"messages": _turns(messages)}, ensure_ascii=False)


def _turns(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """The turns; calls of tools get numbers, which their results name."""
    turns: list[dict[str, Any]] = []
    called = answered = 0
    for message in messages:
        turn: dict[str, Any] = {"role": message.role, "content": message.content}
        if message.tool_calls:
            turn["tool_calls"] = [
                {
                    "id": f"call_{called + number}",
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                }
                for number, call in enumerate(message.tool_calls)
            ]
            called += len(message.tool_calls)
        elif message.role == "tool" and answered < called:
            turn["tool_call_id"] = f"call_{answered}"
            answered += 1
        turns.append(turn)
    return turns


def write_chat_files(
    folder: Path, examples: Iterable[Example], files: Mapping[str, Sequence[str]]
) -> dict[str, int]:
    """Write examples to files, each under its own name when it is whole.

    Args:
        folder: for the files; made where it is missing.
        examples: of every part, in order; one at a time in memory.
        files: name without suffix to the parts that go into it; a part goes into one file.

    Returns:
        Name to lines; a file without a line is not written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file_of = {part: name for name, parts in files.items() for part in parts}
    lines = dict.fromkeys(files, 0)
    written: dict[str, Path] = {}
    streams: dict[str, BinaryIO] = {}
    try:
        with ExitStack() as stack:
            for example in examples:
                name = file_of.get(example.part)
                if name is None:
                    continue
                if name not in streams:
                    written[name] = temporary_beside(folder / f"{name}.jsonl")
                    streams[name] = stack.enter_context(written[name].open("wb"))
                streams[name].write((chat_line(example.messages()) + "\n").encode())
                lines[name] += 1
            for stream in streams.values():
                stream.flush()
                os.fsync(stream.fileno())
        for name, temporary in written.items():
            temporary.replace(folder / f"{name}.jsonl")
    finally:
        for temporary in written.values():
            temporary.unlink(missing_ok=True)
    sync_folder(folder)
    return lines
