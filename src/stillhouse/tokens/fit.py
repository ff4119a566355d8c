"""A conversation cut to a model's context: on the left of its longest user message."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace

from stillhouse.core.rows import Message
from stillhouse.tokens.encode import encode_conversation, encode_prompt
from stillhouse.tokens.template import Template
from stillhouse.tokens.tokenizer import TextTokenizer

TOO_LONG = "longer than the context"
"""Why a row is dropped when `fit_to_context` returns None."""

# assumption: a shorter text has at most a few tokens more than one that is a little longer (a
# merge is lost at its new beginning), so the search looks this many characters back.
_LOOK_BACK = 8
_JOINERS = ("\u200d", "\ufe0e", "\ufe0f")


@dataclass(frozen=True, slots=True)
class Fitted:
    """A conversation that fits.

    Attributes:
        messages: the turns, one user message perhaps shortened.
        num_cut_chars: characters cut from its beginning; 0 when all fits.
        num_tokens: of the conversation as it is now.
    """

    messages: tuple[Message, ...]
    num_cut_chars: int
    num_tokens: int


def fit_to_context(
    messages: Sequence[Message],
    *,
    template: Template,
    tokenizer: TextTokenizer,
    max_tokens: int,
    room_for_answer: int = 0,
) -> Fitted | None:
    """The conversation with as much of its longest user message as fits, counted from its end.

    Args:
        messages: a whole conversation (ends with the assistant) or a prompt.
        template: how they are written.
        tokenizer: of the model that reads them.
        max_tokens: the model's context.
        room_for_answer: tokens kept free behind the prompt for an answer that a model will
            write, also where the conversation has one already; 0 when none is asked.

    Returns:
        None when it does not fit even with that message empty; the reason is `TOO_LONG`.

    Raises:
        InputError: the template refuses the conversation.
    """
    whole = tuple(messages)
    ruler = _Ruler(template, tokenizer, max_tokens, room_for_answer)
    num_tokens = ruler.measure(whole)
    if num_tokens is not None:
        return Fitted(whole, 0, num_tokens)
    users = [number for number, message in enumerate(whole) if message.role == "user"]
    if not users:
        return None
    longest = max(users, key=lambda number: len(whole[number].content))
    content = whole[longest].content
    cuts = [*(at for at in range(len(content)) if _may_start(content, at)), len(content)]

    def shortened(cut: int) -> tuple[Message, ...]:
        kept = replace(whole[longest], content=content[cut:])
        return (*whole[:longest], kept, *whole[longest + 1 :])

    def fits(number: int) -> bool:
        return ruler.measure(shortened(cuts[number])) is not None

    if not fits(len(cuts) - 1):
        return None
    low, high = 0, len(cuts) - 1  # cuts[high] fits; what is below low does not
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle + 1, high)
    best = next((at for at in range(max(0, high - _LOOK_BACK), high) if fits(at)), high)
    kept = shortened(cuts[best])
    return Fitted(kept, cuts[best], ruler.count(kept))


@dataclass(frozen=True, slots=True)
class _Ruler:
    """Counts the tokens of a conversation or a prompt."""

    template: Template
    tokenizer: TextTokenizer
    max_tokens: int
    room_for_answer: int

    def measure(self, turns: tuple[Message, ...]) -> int | None:
        """The tokens, None when they are too many or leave too little room for an answer."""
        prompt = turns[:-1] if _is_answered(turns) else turns
        room = self.room_for_answer
        if room and self.count(prompt) + room > self.max_tokens:
            return None
        num_tokens = self.count(turns)
        return num_tokens if num_tokens <= self.max_tokens else None

    def count(self, turns: tuple[Message, ...]) -> int:
        if _is_answered(turns):
            return len(encode_conversation(turns, self.template, self.tokenizer).ids)
        return len(encode_prompt(turns, self.template, self.tokenizer))


def _is_answered(turns: tuple[Message, ...]) -> bool:
    return bool(turns) and turns[-1].role == "assistant"


def _may_start(text: str, at: int) -> bool:
    """True when a text may begin here: not inside a letter with its accents, nor an emoji."""
    if at == 0:
        return True
    char = text[at]
    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Mc", "Me"):
        return False
    is_skin_tone = "\U0001f3fb" <= char <= "\U0001f3ff"
    return not (char in _JOINERS or is_skin_tone or text[at - 1] == "\u200d")
