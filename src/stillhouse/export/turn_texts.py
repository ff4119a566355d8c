"""A chat template as the fixed texts around each turn, where it is no more than that.

Ollama does not read Jinja, but Go's templates. What most chat templates do can be said in both:
a text before and behind each role's content. It is found by looking at what the template writes,
and held against it on other conversations; a template that does more is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from stillhouse.core.errors import InputError, ModelError
from stillhouse.core.rows import Message
from stillhouse.tokens.template import Template

_MARKS = {"system": "QsysQ", "user": "QuserQ", "assistant": "QbotQ"}
_CONTENTS = ("a", 'zwei Zeilen\nund {{ .Content }} "q" \'', "漢字 🦊", "x" * 40)
_ROLES = ("user", "assistant")


@dataclass(frozen=True, slots=True)
class TurnTexts:
    """What a template writes around turns.

    Attributes:
        opening: of a conversation without a system turn.
        before: role -> text before its content.
        behind: role -> text behind it.
        answer: after which the model writes; ends every prompt.
        has_system: a system turn may open a conversation.
    """

    opening: str
    before: dict[str, str]
    behind: dict[str, str]
    answer: str
    has_system: bool

    def prompt(self, messages: Sequence[Message]) -> str:
        """A prompt, as the Go template of `go_template` writes it."""
        parts = [] if any(one.role == "system" for one in messages) else [self.opening]
        for message in messages:
            if message.role in self.before:
                parts += [self.before[message.role], message.content, self.behind[message.role]]
        return "".join([*parts, self.answer])

    def go_template(self) -> str:
        """The same as a template of Go over Ollama's `.System` and `.Messages`.

        Every text stands in it as a quoted one, so that nothing of it is taken for an action, and
        no white space of it is lost.
        """
        lines = []
        if self.opening:
            lines.append(f"{{{{- if not .System }}}}{_quoted(self.opening)}{{{{- end }}}}")
        lines.append("{{- range .Messages }}")
        for number, role in enumerate(self.before):
            word = "else if" if number else "if"
            lines.append(
                f'{{{{- {word} eq .Role "{role}" }}}}{_quoted(self.before[role])}'
                f"{{{{ .Content }}}}{_quoted(self.behind[role])}"
            )
        return "\n".join([*lines, "{{- end }}", "{{- end }}" + _quoted(self.answer)])


def turn_texts(template: Template, prompts: Iterable[Sequence[Message]], bos: str) -> TurnTexts:
    """The texts around turns, checked.

    Args:
        template: how conversations are written.
        prompts: of the recipe, which must come out the same.
        bos: what the server puts before every text by itself; left out here.

    Returns:
        Texts that write every checked prompt as the template does.

    Raises:
        ModelError: the template does more; names a conversation that would be written otherwise.
    """
    found = _find(template, bos)
    for messages in (*_conversations(found.has_system), *prompts):
        wanted, written = template.prompt_text(messages), bos + found.prompt(messages)
        if wanted != written:
            raise _irregular(messages, wanted, written)
    return found


def _find(template: Template, bos: str) -> TurnTexts:
    user, bot, system = (_MARKS[role] for role in ("user", "assistant", "system"))
    turn, answer = Message("user", user), Message("assistant", bot)
    opening, last = _split(template, [turn], [user])
    first, middle, between, end = _split(template, [turn, answer, turn], [user, bot, user])
    if (first, end) != (opening, last):
        raise _irregular([turn, answer, turn], opening + end, first + last)
    start = opening.removeprefix(bos)
    behind_user = _common_start([last, middle])
    ends = [start, between]
    opened: list[str] = []
    try:
        opened = _split(template, [Message("system", system), turn], [system, user])
        ends.append(opened[1])
    except InputError:
        pass  # a template without such turns
    before_user = _common_ending(ends)
    before = {"user": before_user, "assistant": middle.removeprefix(behind_user)}
    behind = {"user": behind_user, "assistant": between.removesuffix(before_user)}
    if opened:
        before = {"system": opened[0].removeprefix(bos), **before}
        behind["system"] = opened[1].removesuffix(before_user)
    return TurnTexts(
        start.removesuffix(before_user),
        before,
        behind,
        last.removeprefix(behind_user),
        bool(opened),
    )


def _split(template: Template, messages: Sequence[Message], marks: Sequence[str]) -> list[str]:
    """What stands around the contents of turns, one text more than there are turns."""
    rest, parts = template.prompt_text(messages), []
    for mark in marks:
        before, found, rest = rest.partition(mark)
        if not found:
            raise InputError(
                f"the template leaves out or changes the text of a {messages[0].role} turn",
                "leave modelfile out; llama.cpp's server reads the template itself",
            )
        parts.append(before)
    return [*parts, rest]


def _conversations(has_system: bool) -> list[list[Message]]:
    found = []
    for number in range(len(_CONTENTS)):
        contents = [_CONTENTS[(number + place) % len(_CONTENTS)] for place in range(6)]
        for length in (1, 3, 5):
            turns = [
                Message(_ROLES[place % 2], content)
                for place, content in enumerate(contents[:length])
            ]
            found.append(turns)
            if has_system:
                found.append([Message("system", contents[5]), *turns])
    return found


def _common_ending(texts: Sequence[str]) -> str:
    return _common_start([text[::-1] for text in texts])[::-1]


def _common_start(texts: Sequence[str]) -> str:
    shortest = min(texts, key=len)
    for place, character in enumerate(shortest):
        if any(text[place] != character for text in texts):
            return shortest[:place]
    return shortest


def _quoted(text: str) -> str:
    """A text as an action of Go that writes it; every character that is not ASCII is escaped.

    JSON's escapes are Go's, but for surrogate pairs, and Ollama drops what cannot be printed.
    """
    if not text:
        return ""
    inner = "".join(
        json.dumps(one)[1:-1] if one.isascii() else one if one.isprintable() else _escape(one)
        for one in text
    )
    return '{{ "' + inner.replace("\x7f", "\\x7f") + '" }}'


def _escape(character: str) -> str:
    number = ord(character)
    return f"\\u{number:04x}" if number < 1 << 16 else f"\\U{number:08x}"


def _irregular(messages: Sequence[Message], wanted: str, written: str) -> ModelError:
    roles = ", ".join(message.role for message in messages)
    place = len(_common_start([wanted, written]))
    return ModelError(
        "the chat template does more than write a text around each turn, which Ollama cannot be "
        f"told: for turns of {roles} it writes {wanted[place : place + 40]!r} at character "
        f"{place}, where {written[place : place + 40]!r} would come",
        "take modelfile out of export.formats, and ask the student through llama.cpp's server, "
        "which reads its own template",
    )
