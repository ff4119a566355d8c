"""The loss mask, token by token, for people to read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from stillhouse.core.rows import Message
from stillhouse.tokens.encode import encode_conversation
from stillhouse.tokens.template import Template
from stillhouse.tokens.token_bytes import byte_positions
from stillhouse.tokens.tokenizer import TextTokenizer

# assumption: a character of Unicode's private use area, which no conversation holds.
_OTHER = "\ue000"


@dataclass(frozen=True, slots=True)
class TokenView:
    r"""One token of a conversation.

    Attributes:
        position: its place, from 0.
        token_id: its id.
        token: how the vocabulary writes it.
        text: the characters it stands for; half a character is written as `\xf0\x9f`.
        is_trained: whether it is learned.
        byte_span: half-open, into the UTF-8 bytes of the conversation.
        role: whose words it is part of; empty for what the template itself writes.
        is_special: whether it is no text, such as the end of a turn.
        is_cut: whether the text was cut before it, because a token reached over the border of an
            answer.
    """

    position: int
    token_id: int
    token: str
    text: str
    is_trained: bool
    byte_span: tuple[int, int]
    role: str
    is_special: bool
    is_cut: bool


@dataclass(frozen=True, slots=True)
class MaskView:
    """A conversation token by token.

    Attributes:
        tokens: in order.
        notes: what is not learned and why, in sentences.
    """

    tokens: tuple[TokenView, ...]
    notes: tuple[str, ...]


def explain_mask(
    messages: Sequence[Message], template: Template, tokenizer: TextTokenizer
) -> MaskView:
    """Every token of a conversation with whether it is learned.

    Args:
        messages: the turns.
        template: how they are written.
        tokenizer: of the model that reads them.

    Returns:
        One view a token, in order, and what there is to say about them.

    Raises:
        InputError: the template refuses the conversation, or an answer has no token to learn.
    """
    encoded = encode_conversation(messages, template, tokenizer)
    data = encoded.text.encode()
    words = list(_words(messages, template, encoded.text))
    columns = zip(
        encoded.ids.tolist(),
        encoded.is_trained.tolist(),
        encoded.byte_offsets.tolist(),
        strict=True,
    )
    tokens = tuple(
        TokenView(
            position=position,
            token_id=token_id,
            token=tokenizer.token_of(token_id),
            text=data[start:end].decode(errors="backslashreplace"),
            is_trained=is_trained,
            byte_span=(start, end),
            role="assistant" if is_trained else _role(words, start, end),
            is_special=token_id in tokenizer.special_ids,
            is_cut=start in encoded.seams,
        )
        for position, (token_id, is_trained, (start, end)) in enumerate(columns)
    )
    notes = [f"turn {one.turn} is not learned: {one.why}" for one in encoded.left_out]
    if encoded.inserted:
        notes.append(
            "the template puts an empty thought before the last answer, which a model that is "
            "asked does not get; say thinking: off to ask with it"
        )
    if not template.ending:
        notes.append("no special token ends an answer, so the model does not learn where to stop")
    return MaskView(tokens, tuple(notes))


_Words = tuple[int, int, str]
"""First byte, last byte plus one, role."""


def _words(messages: Sequence[Message], template: Template, text: str) -> Iterator[_Words]:
    """Where the words of each turn but the last stand: where others would change the text."""
    positions = byte_positions(text)
    for turn, message in enumerate(messages):
        if not message.content.strip() or turn == len(messages) - 1:
            continue
        changed = replace(message, content=_OTHER)
        others = [*messages[:turn], changed, *messages[turn + 1 :]]
        other = template.render(others).text
        start = _num_shared(text, other)
        behind = _num_shared(text[start:][::-1], other[start:][::-1])
        yield int(positions[start]), int(positions[len(text) - behind]), message.role


def _num_shared(one: str, other: str) -> int:
    """How many characters both begin with."""
    pairs = zip(one, other, strict=False)
    shorter = min(len(one), len(other))
    return next((at for at, (mine, its) in enumerate(pairs) if mine != its), shorter)


def _role(words: Sequence[_Words], start: int, end: int) -> str:
    return next((role for first, last, role in words if start < last and end > first), "")
