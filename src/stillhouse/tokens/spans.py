"""Which characters of a written conversation are learned: what the model itself would have written.

An answer is learned where the text before it is, to the byte, the prompt that the model is given
when it is asked for this answer, and where it stands as the model would write it. A template
that rewrites earlier turns (Qwen 3 drops their thoughts) breaks that; such a turn is left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Message
from stillhouse.tokens.thoughts import (
    CLOSED,
    continue_thought,
    empty_thought,
    is_closed,
    is_open,
    part_thought,
)

Write = Callable[[Sequence[Message], bool], str]
"""(messages, add_generation_prompt) -> text."""

NEVER_ASKED = "the template writes no prompt that asks for it"
OTHER_PROMPT = "what stands before it here is not the prompt that the model is given"
REWRITTEN = "the template writes it otherwise here than the model would"
NOT_TO_THINK = "it holds a thought, and the prompt before it tells the model not to think"
NO_THOUGHT = f"it holds no {CLOSED}, and the prompt before it opens a thought"
NOT_ENDED = "the template does not end it as it ends other answers"

_SPLIT = "split the conversation so that this turn is the last, or take another template"
_MENDS = {
    NOT_TO_THINK: "say thinking: template, or take the thoughts out of the answers",
    NO_THOUGHT: f"this model always thinks: give it answers with their thought (text, {CLOSED}, "
    "answer), let a teacher that thinks write them, or take a model that need not think",
}


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An assistant turn that is not learned.

    Attributes:
        turn: its number.
        why: one of the reasons of this file.
    """

    turn: int
    why: str


@dataclass(frozen=True, slots=True)
class Written:
    """A conversation as text.

    Attributes:
        text: as the model reads it.
        trained: half-open character spans, one a learned turn, in order: what the model writes,
            the token that ends its turn included.
        left_out: the assistant turns that have no span.
        inserted: characters of an empty thought before the last answer that its prompt lacks.
    """

    text: str
    trained: tuple[tuple[int, int], ...]
    left_out: tuple[LeftOut, ...] = ()
    inserted: int = 0


@dataclass(frozen=True, slots=True)
class _Answer:
    """One assistant turn as the model would write it after its prompt.

    Attributes:
        prompt: what it is given.
        inserted: an empty thought that the template puts behind that.
        own: the answer.
        ending: the token that ends the turn; empty where the template writes none.
        rest: what the template writes after that.
    """

    prompt: str
    inserted: str
    own: str
    ending: str
    rest: str

    @property
    def text(self) -> str:
        """The conversation up to this turn."""
        return self.prompt + self.inserted + self.own + self.ending + self.rest


@dataclass(frozen=True, slots=True)
class Ends:
    """The tokens that may end a turn.

    Attributes:
        specials: the tokenizer's special tokens.
        usual: the one that ends an answer in words; empty where the template writes none.
    """

    specials: tuple[str, ...] = ()
    usual: str = ""

    def find(self, written: str) -> tuple[int, int] | None:
        """Where the token that ends a turn stands in the tail of special tokens and white space."""
        found = []
        end = len(written.rstrip())
        while special := next((one for one in self.specials if written.endswith(one, 0, end)), ""):
            found.append((end - len(special), end))
            end = len(written[: end - len(special)].rstrip())
        usual = [one for one in found if written[slice(*one)] == self.usual]
        # The first of its kind, else the last of all; they were found from the end.
        return usual[-1] if usual else found[0] if found else None


def usual_end(write: Write, specials: tuple[str, ...]) -> str:
    """The special token behind an answer in words; empty where the template writes none."""
    word = "Quartz"
    text = (
        _write_if_possible(write, (Message("user", "a"), Message("assistant", word)), False) or ""
    )
    behind = text[text.rfind(word) + len(word) :] if word in text else ""
    found = [(behind.find(one), -len(one), one) for one in specials if one in behind]
    return min(found)[2] if found else ""


def mark_answers(messages: Sequence[Message], write: Write, ends: Ends) -> Written:
    """The text of a conversation with what is learned of it.

    Args:
        messages: its turns.
        write: the template.
        ends: the tokens that may end a turn.

    Returns:
        The template's text; but where the template drops the thought of the last answer, the
        prompt with that answer as the model writes it.

    Raises:
        InputError: the last answer, or every answer, cannot be learned; names turn and reason.
    """
    asked = [turn for turn, message in enumerate(messages) if message.role == "assistant"]
    answers = {turn: _answer(turn, messages, write, ends) for turn in asked}
    last = answers.get(len(messages) - 1)
    text = last.text if isinstance(last, _Answer) else write(messages, False)
    spans, left_out = [], []
    for turn, answer in answers.items():
        found = _span(text, answer)
        if isinstance(found, str):
            left_out.append(LeftOut(turn, found))
        else:
            spans.append(found)
    if isinstance(last, str) or (left_out and not spans):
        one = left_out[-1]
        raise InputError(
            f"turn {one.turn} (assistant) cannot be learned: {one.why}: "
            f"{messages[one.turn].content[:60]!r}",
            _MENDS.get(one.why, _SPLIT),
        )
    inserted = len(last.inserted) if last else 0
    return Written(text, tuple(spans), tuple(left_out), inserted)


def _span(text: str, answer: _Answer | str) -> tuple[int, int] | str:
    """Where an answer stands in the text, or why it is not learned there."""
    if isinstance(answer, str):
        return answer
    if not text.startswith(answer.prompt):
        return OTHER_PROMPT
    # A history may lack the empty thought that the template puts before a last answer.
    with_empty = answer.prompt + answer.inserted
    start = len(with_empty if text.startswith(with_empty) else answer.prompt)
    if not text.startswith(answer.own, start):
        return REWRITTEN
    end = start + len(answer.own)
    # In a history harmony writes `<|end|>` for the `<|return|>` with which the model ends.
    return start, end + len(answer.ending) * text.startswith(answer.ending, end)


def _answer(turn: int, messages: Sequence[Message], write: Write, ends: Ends) -> _Answer | str:
    """An assistant turn as the model would write it, or why nobody knows."""
    prompt = _write_if_possible(write, messages[:turn], True)
    alone = _write_if_possible(write, messages[: turn + 1], False)
    if prompt is None or alone is None:
        return NEVER_ASKED
    message = messages[turn]
    if is_closed(prompt) and part_thought(message.content)[0]:
        return NOT_TO_THINK
    if is_open(prompt) and CLOSED not in message.content:
        return NO_THOUGHT
    is_kept = alone.startswith(prompt) and _holds(alone[len(prompt) :], message)
    written = alone[len(prompt) :] if is_kept else alone
    body, ending, rest = _part_ending(written, message.content, ends)
    if ends.usual and ending not in ends.specials:
        return NOT_ENDED
    if is_kept:
        inserted = 0 if part_thought(message.content)[0] else empty_thought(body)
        return _Answer(prompt, body[:inserted], body[inserted:], ending, rest)
    own, why = _own_words(prompt, alone, message)
    return why or _Answer(prompt, "", own, ending, rest)


def _own_words(prompt: str, alone: str, message: Message) -> tuple[str, str]:
    """An answer of which the template drops the thought; or why it cannot be learned."""
    if message.tool_calls:
        return "", REWRITTEN
    if is_open(prompt):
        return continue_thought(message.content), ""
    is_written = alone.startswith(prompt) and _holds(alone[len(prompt) :], message, thought=False)
    return message.content, "" if is_written else REWRITTEN


def _holds(written: str, message: Message, *, thought: bool = True) -> bool:
    """Whether all that an answer says stands in what the template wrote of it."""
    thinks, said = part_thought(message.content)
    parts = [said.strip(), *(call.name for call in message.tool_calls)]
    parts += [thinks.strip()] if thought else []
    return all(part in written or _escaped(part) in written for part in parts)


def _escaped(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _part_ending(written: str, content: str, ends: Ends) -> tuple[str, str, str]:
    """What the template wrote of an answer: the answer, what ends it, and what follows.

    Where no special token ends it, that is what stands behind the answer, without trailing white
    space.
    """
    found = ends.find(written)
    if found:
        return written[: found[0]], written[slice(*found)], written[found[1] :]
    said = part_thought(content)[1]
    for form in (content, content.strip(), said, said.strip()):
        at = written.rfind(form)
        if form.strip() and at >= 0:
            own = at + len(form)
            end = own + len(written[own:].rstrip())
            return written[:own], written[own:end], written[end:]
    own = len(written.rstrip())
    return written[:own], "", written[own:]


def _write_if_possible(write: Write, messages: Sequence[Message], prompt: bool) -> str | None:
    """The beginning of a conversation; None when the template refuses to write it alone."""
    try:
        return write(messages, prompt)
    except InputError:
        return None
