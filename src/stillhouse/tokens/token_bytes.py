"""Which bytes of a text each token stands for. Legend: T tokens."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

_BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")


class TokenBytes:
    """The bytes behind token ids, for byte-level and for SentencePiece vocabularies.

    Args:
        backend: the tokenizer whose ids are asked about.
    """

    def __init__(self, backend: Tokenizer) -> None:
        self._backend = backend
        self._is_byte_level = "ByteLevel" in f"{backend.decoder}{backend.pre_tokenizer}"
        self._added = {
            number: token.content.encode()
            for number, token in backend.get_added_tokens_decoder().items()
        }
        self._known: dict[int, bytes] = {}

    def join(self, ids: NDArray[np.int32]) -> bytes:
        """The bytes of all tokens, (T,), one after the other."""
        return b"".join(self.each(ids))

    def offsets(self, ids: NDArray[np.int32], data: bytes) -> NDArray[np.int32] | None:
        """Where each token stands in a text, if the tokens' own bytes spell that text.

        Args:
            ids: (T,) the text's tokens.
            data: the text in UTF-8.

        Returns:
            (T, 2) half-open byte offsets; None when the bytes differ, because a normalizer
            changed the text or white space was swallowed.
        """
        each = self.each(ids)
        joined = b"".join(each)
        if joined not in (data, b" " + data):
            return None
        ends = np.cumsum([len(token) for token in each], dtype=np.int32) - (len(joined) - len(data))
        starts = np.concatenate([np.zeros(1, np.int32), ends[:-1]])[: len(ends)]
        spans: NDArray[np.int32] = np.stack([starts, ends], axis=1).clip(min=0).astype(np.int32)
        return spans

    def each(self, ids: NDArray[np.int32]) -> list[bytes]:
        """The bytes of each token, (T,)."""
        known = self._known
        listed = ids.tolist()
        for number in listed:
            if number not in known:
                known[number] = self._look_up(number)
        return [known[number] for number in listed]

    def _look_up(self, number: int) -> bytes:
        if number in self._added:
            return self._added[number]
        token: str = self._backend.id_to_token(number) or ""
        if self._is_byte_level:
            return b"".join(_BYTE_OF_CHAR.get(char, char.encode()) for char in token)
        if found := _BYTE_TOKEN.fullmatch(token):
            return bytes([int(found[1], 16)])
        return token.replace("\u2581", " ").encode()


def byte_positions(text: str) -> NDArray[np.int32]:
    """(characters + 1,) the byte at which each character starts, and the length at the end."""
    points = np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
    widths = 1 + (points >= 0x80) + (points >= 0x800) + (points >= 0x10000)
    return np.concatenate([[0], np.cumsum(widths)]).astype(np.int32)


def chars_to_bytes(text: str, char_offsets: NDArray[np.int32]) -> NDArray[np.int32]:
    """Character offsets as byte offsets.

    Args:
        text: the text that they point into.
        char_offsets: (T, 2) half-open.

    Returns:
        (T, 2) half-open, into the UTF-8 form of the text.
    """
    return byte_positions(text)[char_offsets]


def _bytes_of_chars() -> dict[str, bytes]:
    """GPT-2's alphabet: printable bytes are themselves, the others follow from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    table = {chr(byte): bytes([byte]) for byte in printable}
    table |= {chr(256 + place): bytes([byte]) for place, byte in enumerate(others)}
    return table


_BYTE_OF_CHAR = _bytes_of_chars()
