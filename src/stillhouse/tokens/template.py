"""How a conversation is written as one text, and which of its characters are learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Protocol

import jinja2

from stillhouse.core.errors import InputError, ModelError
from stillhouse.core.hashing import digest_value
from stillhouse.core.rows import Message
from stillhouse.tokens.sandbox import compile_template, render_template
from stillhouse.tokens.spans import Ends, Written, mark_answers, usual_end
from stillhouse.tokens.thoughts import is_closed
from stillhouse.tokens.tokenizer import TextTokenizer
from stillhouse.tokens.turns import require_written, turns_for

_ROLES = ("system", "user", "assistant")
# What a template's own expressions raise on a message that it does not expect.
_TEMPLATE_FAULTS = (
    jinja2.TemplateError, TypeError, ValueError, LookupError, ArithmeticError, AttributeError,
    RecursionError, MemoryError,
)  # fmt: skip


class Template(Protocol):
    """Whoever writes a conversation as text."""

    @property
    def digest(self) -> str:
        """sha256 of all that decides the text, messages aside."""

    @property
    def ending(self) -> str:
        """The special token that ends an answer; empty where there is none."""

    def render(
        self, messages: Sequence[Message], *, add_generation_prompt: bool = False
    ) -> Written:
        """The conversation as text; with the header of an answer to come, if asked for."""

    def prompt_text(self, messages: Sequence[Message]) -> str:
        """The text after which the model writes its answer."""


@dataclass(frozen=True)
class PlainTemplate:
    """A fixed text around each role's content, for tokenizers without a chat template.

    Attributes:
        eos: follows each assistant turn, and is learned.
        system: how that role is written; `{content}` is the turn.
        user: likewise.
        assistant: likewise; what stands before `{content}` ends a prompt.
        bos: opens each conversation, once; for models that were trained with it.
    """

    eos: str
    system: str = "{content}\n"
    user: str = "{content}\n"
    assistant: str = "{content}"
    bos: str = ""

    @property
    def ending(self) -> str:
        """The end-of-text token."""
        return self.eos

    @property
    def digest(self) -> str:
        """sha256 of the three texts and the tokens that open and end a text."""
        return digest_value(["plain", self.bos, self.system, self.user, self.assistant, self.eos])

    def render(
        self, messages: Sequence[Message], *, add_generation_prompt: bool = False
    ) -> Written:
        """The conversation as text.

        Args:
            messages: turns of the roles system, user and assistant.
            add_generation_prompt: close with what stands before an answer.

        Returns:
            The text with the spans of its answers.

        Raises:
            InputError: another role.
        """
        parts = [self.bos]
        spans: list[tuple[int, int]] = []
        length = len(self.bos)
        for number, message in enumerate(messages):
            # An empty text would hide the call.
            role = "call of a tool" if message.tool_calls else message.role
            before, after = self._around(role, number)
            is_answer = message.role == "assistant"
            ending = after + (self.eos if is_answer else "")
            part = before + message.content + ending
            if is_answer:
                spans.append((length + len(before), length + len(part)))
            parts.append(part)
            length += len(part)
        if add_generation_prompt:
            parts.append(self._around("assistant", len(messages))[0])
        return Written("".join(parts), tuple(spans))

    def prompt_text(self, messages: Sequence[Message]) -> str:
        """The text after which the model writes its answer."""
        return self.render(messages, add_generation_prompt=True).text

    def _around(self, role: str, number: int) -> tuple[str, str]:
        if role not in _ROLES:
            raise InputError(
                f"turn {number} has the role {role!r}; a plain template knows {', '.join(_ROLES)}",
                'use the tokenizer\'s own template ("chat") for tool calls',
            )
        before, _, after = str(getattr(self, role)).partition("{content}")
        return before, after


@dataclass(frozen=True)
class SourceTemplate:
    """What an encoder reads: the last user turn as it is, and no other turn.

    Encoder-decoders such as T5 were trained on a source text and a target text, not on turns.

    Attributes:
        eos: ends the target, which is the answer.
        before: opens the source, as the tokenizer's own rules say.
        behind: closes it, likewise.
    """

    eos: str
    before: str = ""
    behind: str = ""

    @classmethod
    def of(cls, tokenizer: TextTokenizer) -> SourceTemplate:
        """The way in which a tokenizer wraps a source text."""
        return cls(tokenizer.eos_token, *tokenizer.wrapping)

    @property
    def ending(self) -> str:
        """The end-of-text token."""
        return self.eos

    @property
    def digest(self) -> str:
        """sha256 of the tokens around source and target."""
        return digest_value(["source", self.before, self.behind, self.eos])

    def render(
        self, messages: Sequence[Message], *, add_generation_prompt: bool = False
    ) -> Written:
        """Source and, where the last turn is an answer, target.

        Args:
            messages: the turns, of which at least one is the user's.
            add_generation_prompt: changes nothing; a decoder starts by itself.

        Returns:
            The text with the span of the answer.

        Raises:
            InputError: no turn is the user's.
        """
        sources = [message.content for message in messages if message.role == "user"]
        if not sources:
            raise InputError(
                "this conversation has no user turn, which is what an encoder reads",
                "write the source text as the last user turn",
            )
        source = self.before + sources[-1] + self.behind
        if messages[-1].role != "assistant" or add_generation_prompt:
            return Written(source, ())
        text = source + messages[-1].content + self.eos
        return Written(text, ((len(source), len(text)),))

    def prompt_text(self, messages: Sequence[Message]) -> str:
        """The source alone."""
        return self.render(messages, add_generation_prompt=True).text


@dataclass(frozen=True)
class ChatTemplate:
    """A tokenizer's own Jinja template, in a sandbox.

    Attributes:
        source: the Jinja text.
        specials: named special tokens that it may write, such as `eos_token`.
        now: the time that `strftime_now` tells. It is fixed, so that a text is the same
            tomorrow; Llama 3's own fallback date.
        special_tokens: all of the tokenizer's, of which one ends a turn.
    """

    source: str
    specials: tuple[tuple[str, str], ...] = ()
    now: datetime = datetime(2024, 7, 26)
    special_tokens: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _ = self._compiled

    @classmethod
    def of(cls, tokenizer: TextTokenizer) -> ChatTemplate:
        """The template of a tokenizer.

        Args:
            tokenizer: its specials are passed to the template.

        Returns:
            The template, telling the fixed date.

        Raises:
            ModelError: the tokenizer has no chat template, or a broken one.
        """
        if tokenizer.chat_template is None:
            raise ModelError(
                "the tokenizer has no chat template",
                "give the model a plain template in the recipe, "
                "or add chat_template.jinja to its folder",
            )
        return cls(
            tokenizer.chat_template,
            tuple(sorted(tokenizer.specials.items())),
            special_tokens=tuple(sorted(map(tokenizer.token_of, tokenizer.special_ids))),
        )

    @property
    def ending(self) -> str:
        """The special token that ends an answer in words; empty where there is none."""
        return self._ends.usual

    @cached_property
    def digest(self) -> str:
        """sha256 of the Jinja text and, where it tells the date, of the time that it is told."""
        tells_time = "strftime_now" in self.source
        return digest_value(["chat", self.source, self.now.isoformat() if tells_time else None])

    def render(
        self, messages: Sequence[Message], *, add_generation_prompt: bool = False
    ) -> Written:
        """The conversation as text, equal to `apply_chat_template(tokenize=False)`.

        Where the template drops the thought of the last answer (DeepSeek R1's does), the text is
        the prompt with that answer as the model writes it.

        Args:
            messages: the turns, in order.
            add_generation_prompt: close with the header of an answer to come.

        Returns:
            The text with the spans of its answers.

        Raises:
            InputError: the template refuses the conversation (its own words are quoted), leaves
                out a turn, or writes the last answer otherwise than the model would.
        """
        if add_generation_prompt:
            return Written(self.prompt_text(messages), ())
        require_written(messages, self._write)
        return mark_answers(messages, self._write, self._ends)

    def prompt_text(self, messages: Sequence[Message]) -> str:
        """The text after which the model writes its answer."""
        require_written(messages, self._write)
        return self._write(messages, True)

    @cached_property
    def is_silent(self) -> bool:
        """Whether its prompts tell the model not to think."""
        return is_closed(self._write((Message("user", "a"),), True))

    @property
    def has_channels(self) -> bool:
        """Whether its model writes thought and answer into channels, as gpt-oss does."""
        return "<|channel|>" in self.source

    @cached_property
    def _ends(self) -> Ends:
        return Ends(self.special_tokens, usual_end(self._write, self.special_tokens))

    @cached_property
    def _compiled(self) -> jinja2.Template:
        try:
            return compile_template(self.source, self.now)
        except jinja2.TemplateError as error:
            raise ModelError(f"the chat template is not valid Jinja: {error}") from error

    def _write(self, messages: Sequence[Message], add_generation_prompt: bool) -> str:
        values = {
            "messages": turns_for(messages, self.source),
            "tools": None,
            "documents": None,
            "add_generation_prompt": add_generation_prompt,
            **dict(self.specials),
        }
        try:
            return render_template(self._compiled, values)
        except _TEMPLATE_FAULTS as error:
            roles = ", ".join(message.role for message in messages)
            raise InputError(
                f"the chat template refuses this conversation: {error} (its roles: {roles})",
                "change the roles or their order where the rows become conversations",
            ) from error


def build_template(config: str | dict[str, Any], tokenizer: TextTokenizer) -> Template:
    """The template that a recipe's `template` value means for a tokenizer."""
    if isinstance(config, str):
        return ChatTemplate.of(tokenizer)
    return PlainTemplate(tokenizer.eos_token, bos=tokenizer.added_bos, **config)
