"""Where a chat template put each answer, found by rendering the conversation's beginnings."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Message

Write = Callable[[Sequence[Message], bool], str]
"""(messages, add_generation_prompt) -> text."""


def trained_spans(
    text: str, messages: Sequence[Message], write: Write
) -> tuple[tuple[int, int], ...]:
    """The characters of each assistant turn that are learned.

    The text of `messages[:i]` with generation prompt ends where answer i starts, the text of
    `messages[:i + 1]` where it ends. A template that rewrites earlier turns (Qwen 3 drops their
    thinking) breaks this; there the content itself is looked for, right of what came before.

    Args:
        text: the whole conversation, rendered.
        messages: its turns.
        write: the template.

    Returns:
        Half-open spans, one an assistant turn, in order.

    Raises:
        InputError: an answer is not in the text; names the turn.
    """
    spans: list[tuple[int, int]] = []
    done = 0
    for number, message in enumerate(messages):
        if message.role != "assistant":
            continue
        previous_end = spans[-1][1] if spans else 0
        prompt = _write_if_possible(write, messages[:number], True)
        closed = _write_if_possible(write, messages[: number + 1], False)
        start = len(prompt) if prompt is not None and text.startswith(prompt) else None
        if start is not None and closed is not None and text.startswith(closed):
            end = max(start, len(closed))
            end = start + len(_without_trailing_space(text[start:end], message.content))
        else:
            floor = _skip(text, messages[done:number], previous_end)
            floor = max(floor, _num_shared(text, prompt or ""))
            start, end = _find(text, message.content, start, floor, closed or "", number)
        spans.append((start, end))
        done = number + 1
    return tuple(spans)


def _num_shared(one: str, other: str) -> int:
    """How many characters both begin with."""
    pairs = zip(one, other, strict=False)
    shorter = min(len(one), len(other))
    return next((at for at, (mine, its) in enumerate(pairs) if mine != its), shorter)


def _write_if_possible(write: Write, messages: Sequence[Message], prompt: bool) -> str | None:
    """The beginning of a conversation; None when the template refuses to write it alone."""
    try:
        return write(messages, prompt)
    except InputError:
        return None


def _forms(content: str) -> list[str]:
    """The shapes in which templates write an answer, the fullest first."""
    said = content.rsplit("</think>", 1)[-1]
    return [form for form in (content, content.strip(), said, said.strip()) if form.strip()]


def _without_trailing_space(written: str, content: str) -> str:
    """An answer without the white space that the template, not the answer, put at its end."""
    for form in _forms(content):
        at = written.rfind(form)
        if at >= 0:
            own = at + len(form)
            return written[:own] + written[own:].rstrip()
    return written.rstrip()


def _skip(text: str, messages: Sequence[Message], position: int) -> int:
    """The place right of all these turns, as far as they are written as they are."""
    for message in messages:
        said = message.content.strip()
        at = text.find(said, position)
        position = at + len(said) if at >= 0 else position
    return position


def _find(
    text: str, content: str, start: int | None, floor: int, closed: str, number: int
) -> tuple[int, int]:
    """The span of an answer by its content, with the end-of-turn token that `closed` shows."""
    for form in _forms(content):
        at = text.find(form, floor if start is None else start)
        if at < 0:
            continue
        own = at + len(form)
        last = closed.rfind(form)
        ending = closed[last + len(form) :].rstrip() if last >= 0 else ""
        end = own + len(ending) if text.startswith(ending, own) else own
        return (at if start is None else start), end
    raise InputError(
        f"turn {number} (assistant) is not to be found in what the chat template wrote: "
        f"{content[:60]!r}",
        "the template drops or rewrites this turn: split the conversation so that it is the last",
    )
