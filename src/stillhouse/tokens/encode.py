"""A conversation as token ids with the mask of what is learned. Legend: T tokens."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from stillhouse.core.errors import InputError
from stillhouse.core.hashing import digest_value
from stillhouse.core.rows import Message
from stillhouse.tokens.spans import LeftOut, Written
from stillhouse.tokens.template import Template
from stillhouse.tokens.token_bytes import byte_positions
from stillhouse.tokens.tokenizer import TextTokenizer, digest_ids


@dataclass(frozen=True, slots=True, eq=False)
class EncodedConversation:
    """One conversation, ready to be scored or trained on.

    Attributes:
        ids: (T,) int32.
        is_trained: (T,) bool, true where the token itself is predicted and counted; never at
            position 0, which nothing predicts.
        byte_offsets: (T, 2) int32, half-open, into the UTF-8 bytes of `text`.
        text: the rendered conversation.
        view_digest: of messages, template and tokenizer.
        completion_digest: of the trained token ids.
        seams: bytes of `text` at which it had to be encoded in pieces, because a token reached
            over the border of an answer.
        left_out: the assistant turns that are not learned.
        inserted: bytes of an empty thought that the template put before the last answer, and that
            a model which is asked does not get.
    """

    ids: NDArray[np.int32]
    is_trained: NDArray[np.bool_]
    byte_offsets: NDArray[np.int32]
    text: str
    view_digest: str
    completion_digest: str
    seams: tuple[int, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    inserted: int = 0

    @property
    def num_trained(self) -> int:
        """How many tokens are learned."""
        return int(self.is_trained.sum())

    @property
    def last_answer(self) -> slice:
        """Where the last answer stands, its end of turn included."""
        end = int(np.flatnonzero(self.is_trained)[-1]) + 1
        return slice(int(np.flatnonzero(~self.is_trained[:end])[-1]) + 1, end)


def encode_conversation(
    messages: Sequence[Message], template: Template, tokenizer: TextTokenizer
) -> EncodedConversation:
    """A conversation's token ids, with the tokens of its answers marked.

    The text is encoded at once, so the ids are those of `apply_chat_template(tokenize=True)`.
    Only where that differs from the prompt that the model meets when it answers (a token reaches
    over the border of an answer, or the prompt alone has other tokens) is it cut there.

    Args:
        messages: the turns.
        template: how they are written.
        tokenizer: of the model that reads them.

    Returns:
        Ids, mask, byte offsets and digests.

    Raises:
        InputError: the template refuses the conversation, or an answer has no token to learn.
    """
    rendered = template.render(messages)
    ids, offsets = tokenizer.encode_spans(rendered.text)
    positions = byte_positions(rendered.text)
    spans = positions[np.array(rendered.trained, dtype=np.int64).reshape(-1, 2)]
    seams = _broken_seams(rendered, spans, ids, offsets, tokenizer)
    if seams:
        ids, offsets = _encode_pieces(rendered.text, seams, positions, tokenizer)
    is_trained = _mask(offsets, spans)
    if spans.size and not is_trained.any():
        raise InputError(
            "no token of this conversation is learned: its answers are empty "
            f"({rendered.text[-80:]!r})",
            "drop rows without an answer in prepare",
        )
    return EncodedConversation(
        ids=ids,
        is_trained=is_trained,
        byte_offsets=offsets,
        text=rendered.text,
        view_digest=digest_view(messages, template, tokenizer),
        completion_digest=digest_ids(ids[is_trained]),
        seams=tuple(positions[seams].tolist()),
        left_out=rendered.left_out,
        inserted=rendered.inserted,
    )


def encode_prompt(
    messages: Sequence[Message], template: Template, tokenizer: TextTokenizer
) -> NDArray[np.int32]:
    """The ids after which the model writes its answer.

    Args:
        messages: the turns before the answer.
        template: how they are written.
        tokenizer: of the model that answers.

    Returns:
        (T,) int32, generation prompt included.

    Raises:
        InputError: the template refuses the conversation.
    """
    ids, _ = tokenizer.encode(template.prompt_text(messages))
    return ids


def cut_answer(conversation: EncodedConversation, answer: str, end: int) -> EncodedConversation:
    """The conversation up to the token that tells the last of an answer's first characters.

    The whole text is encoded, and its tokens are cut: cut text would have other tokens at its end
    than those that a model meets.

    Args:
        conversation: whose last answer it is.
        answer: as it was said.
        end: how many of its characters are told, in [1, length].

    Returns:
        Without what follows that token, and without the end of the turn.

    Raises:
        InputError: the template writes the answer in other words.
    """
    blanks = len(answer) - len(answer.lstrip())
    for write in (str, _escaped):
        place = conversation.text.rfind(write(answer.strip()))
        if place >= 0:
            told = conversation.text[: place + len(write(answer[blanks:end]))]
            break
    else:
        raise InputError(
            f"the chat template writes an answer otherwise than it was said: {answer[:60]!r}",
            "take a template that writes answers as they are",
        )
    last = conversation.last_answer.stop
    kept = int((conversation.byte_offsets[:last, 0] < len(told.encode())).sum())
    ids, is_trained = conversation.ids[:kept], conversation.is_trained[:kept]
    return replace(
        conversation,
        ids=ids,
        is_trained=is_trained,
        byte_offsets=conversation.byte_offsets[:kept],
        completion_digest=digest_ids(ids[is_trained]),
    )


def _escaped(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _broken_seams(
    rendered: Written,
    spans: NDArray[np.int32],
    ids: NDArray[np.int32],
    offsets: NDArray[np.int32],
    tokenizer: TextTokenizer,
) -> list[int]:
    """The characters at which the text must be cut, in order."""
    seams: set[int] = set()
    for (start, end), (start_byte, end_byte) in zip(rendered.trained, spans.tolist(), strict=True):
        before = int((offsets[:, 1] <= start_byte).sum())
        if not np.array_equal(tokenizer.encode_opening(rendered.text[:start]), ids[:before]):
            seams.add(start)
        if ((offsets[:, 0] < end_byte) & (end_byte < offsets[:, 1])).any():
            seams.add(end)
    return sorted(seams)


def _encode_pieces(
    text: str, seams: list[int], positions: NDArray[np.int32], tokenizer: TextTokenizer
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    borders = [0, *seams, len(text)]
    pieces = [
        tokenizer.encode_spans(text[start:end], continues=start > 0)
        for start, end in pairwise(borders)
    ]
    moved = [
        offsets + positions[start] for (_, offsets), start in zip(pieces, borders, strict=False)
    ]
    return np.concatenate([ids for ids, _ in pieces]), np.concatenate(moved)


def _mask(offsets: NDArray[np.int32], spans: NDArray[np.int32]) -> NDArray[np.bool_]:
    """(T,) true for tokens that lie in a span; a token without width lies where it starts."""
    is_trained = np.zeros(len(offsets), dtype=np.bool_)
    starts, ends = offsets[:, 0], np.maximum(offsets[:, 1], offsets[:, 0] + 1)
    for start, end in spans.tolist():
        is_trained |= (starts < end) & (ends > start)
    is_trained[:1] = False
    return is_trained


def digest_view(messages: Sequence[Message], template: Template, tokenizer: TextTokenizer) -> str:
    """sha256 of what a model reads: the messages, the template and the tokenizer."""
    turns = [message.as_list() for message in messages]
    return digest_value([turns, template.digest, tokenizer.digest])
