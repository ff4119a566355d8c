"""The loss mask, token by token, for people to read."""

from __future__ import annotations

from dataclasses import dataclass

from stillhouse.tokens.encode import EncodedConversation
from stillhouse.tokens.tokenizer import TextTokenizer


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
    """

    position: int
    token_id: int
    token: str
    text: str
    is_trained: bool
    byte_span: tuple[int, int]


def explain_mask(encoded: EncodedConversation, tokenizer: TextTokenizer) -> list[TokenView]:
    """Every token of a conversation with whether it is learned.

    Args:
        encoded: the conversation.
        tokenizer: the one that encoded it.

    Returns:
        One view a token, in order.
    """
    data = encoded.text.encode()
    columns = zip(
        encoded.ids.tolist(),
        encoded.is_trained.tolist(),
        encoded.byte_offsets.tolist(),
        strict=True,
    )
    return [
        TokenView(
            position=position,
            token_id=token_id,
            token=tokenizer.token_of(token_id),
            text=data[start:end].decode(errors="backslashreplace"),
            is_trained=is_trained,
            byte_span=(start, end),
        )
        for position, (token_id, is_trained, (start, end)) in enumerate(columns)
    ]
