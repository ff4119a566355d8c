"""A tokenizer as a folder holds it: text to ids with the place of each, and back.

`tokenizer.json` is the truth, completed by tokens that only `tokenizer_config.json` names.
Legend: T tokens.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import AddedToken, Tokenizer

from stillhouse.core.errors import InputError, ModelError
from stillhouse.core.hashing import digest_text, digest_value
from stillhouse.tokens.token_bytes import TokenBytes, chars_to_bytes

_NAMED = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")
_NO_IDS = ("truncation", "padding", "post_processor", "decoder")
"""Parts of tokenizer.json that change no id while no special tokens are added around a text."""


class TextTokenizer:
    """Text to token ids and back, never truncated, padded or wrapped in special tokens.

    Args:
        backend: the tokenizer; its truncation and padding are switched off.
        specials: text of the named special tokens, such as `{"eos_token": "</s>"}`.
        chat_template: Jinja text, None when the folder has none.
        source: the folder, for messages.
    """

    def __init__(
        self,
        backend: Tokenizer,
        specials: dict[str, str],
        chat_template: str | None,
        source: str = "this tokenizer",
    ) -> None:
        backend.no_truncation()
        backend.no_padding()
        self._backend = backend
        self._source = source
        self._bytes = TokenBytes(backend)
        self._opening: tuple[str, NDArray[np.int32]] = ("", np.zeros(0, np.int32))
        self.specials = dict(specials)
        self.chat_template = chat_template

    def with_template(self, chat_template: str) -> TextTokenizer:
        """The same tokenizer with another chat template."""
        return TextTokenizer(self._backend, self.specials, chat_template, self._source)

    @cached_property
    def vocab_size(self) -> int:
        """The highest id plus one, added tokens included."""
        return max(self._backend.get_vocab(with_added_tokens=True).values()) + 1

    @property
    def bos_token(self) -> str | None:
        """The token that opens a text, None when there is none."""
        return self.specials.get("bos_token")

    @cached_property
    def added_bos(self) -> str:
        """The `bos_token` where the tokenizer's own rules put it before every text, else empty.

        `encode` never adds it, so a template has to write it.
        """
        bos = self.bos_token
        if not bos:
            return ""
        wrapped: list[int] = self._backend.encode("", add_special_tokens=True).ids
        return bos if wrapped[:1] == [self.id_of(bos)] else ""

    @cached_property
    def wrapping(self) -> tuple[str, str]:
        """What the tokenizer's own rules put before and behind every text, such as `</s>` after it.

        `encode` adds neither, so a template has to write them.
        """
        bare: list[int] = self._backend.encode("a", add_special_tokens=False).ids
        wrapped: list[int] = self._backend.encode("a", add_special_tokens=True).ids
        starts = range(len(wrapped) - len(bare) + 1)
        start = next(at for at in starts if wrapped[at : at + len(bare)] == bare)
        around = wrapped[:start], wrapped[start + len(bare) :]
        before, behind = ("".join(map(self.token_of, ids)) for ids in around)
        return before, behind

    @property
    def eos_token(self) -> str:
        """The token that ends a text.

        Raises:
            ModelError: the tokenizer names none.
        """
        token = self.specials.get("eos_token")
        if token is None:
            raise ModelError(
                f"{self._source} names no end-of-text token",
                'set "eos_token" in its tokenizer_config.json',
            )
        return token

    @property
    def eos_id(self) -> int:
        """The id of `eos_token`."""
        return self.id_of(self.eos_token)

    @property
    def pad_id(self) -> int:
        """The id that fills a batch: the pad token, else the end-of-text token."""
        return self.id_of(self.specials.get("pad_token") or self.eos_token)

    @cached_property
    def digest(self) -> str:
        """sha256 of all that decides which ids a text has; equal after a save and a load."""
        kept = {key: value for key, value in self.state().items() if key not in _NO_IDS}
        named = {key: self.specials.get(key) for key in ("bos_token", "eos_token")}
        return digest_value([_without_defaults(kept), named])

    def state(self) -> dict[str, Any]:
        """All of it as `tokenizer.json` says it, with the tokens that only the config names."""
        told: dict[str, Any] = json.loads(self._backend.to_str())
        return told

    @property
    def template_digest(self) -> str:
        """sha256 of the chat template's text, of the empty text when there is none."""
        return digest_text(self.chat_template or "")

    def encode(self, text: str) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """The ids of a text, and where each token stands in it.

        Args:
            text: any Unicode text.

        Returns:
            ids (T,) and character offsets (T, 2), half-open. Tokens that share one character
            all have its span; a tokenizer may leave white space out of a span.

        Raises:
            InputError: the text holds half of a surrogate pair, so it has no UTF-8 form.
        """
        _refuse_surrogates(text)
        found = self._backend.encode(text, add_special_tokens=False)
        offsets = np.array(found.offsets, dtype=np.int32).reshape(-1, 2)
        return np.array(found.ids, dtype=np.int32), offsets

    def encode_opening(self, text: str) -> NDArray[np.int32]:
        """The ids (T,) of what comes before an answer, kept until another is asked for.

        The named answers to one prompt are encoded one after the other, each behind the same text.
        """
        known = self._opening
        if text != known[0]:
            known = self._opening = text, self.encode(text)[0]
        return known[1]

    def encode_spans(
        self, text: str, *, continues: bool = False
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """The ids of a text, and the bytes that each token stands for.

        Args:
            text: any Unicode text.
            continues: the text follows other text, so a tokenizer that puts a space before
                every text puts none here.

        Returns:
            ids (T,) and byte offsets (T, 2) into the UTF-8 text, half-open. They are exact, also
            inside a character, where the tokens' own bytes join to the text; otherwise (a
            normalizer changed it) they are the bytes of the characters of `encode`.
        """
        if continues and self._adds_prefix:
            before, _ = self.encode("\n")
            ids, offsets = self.encode_spans("\n" + text)
            if np.array_equal(ids[: len(before)], before):
                return ids[len(before) :], np.maximum(offsets[len(before) :] - 1, 0)
        ids, char_offsets = self.encode(text)
        exact = self._bytes.offsets(ids, text.encode())
        return ids, chars_to_bytes(text, char_offsets) if exact is None else exact

    def byte_spans(self, ids: NDArray[np.int32]) -> NDArray[np.int32]:
        """Where tokens stand in the text that their own bytes spell.

        Args:
            ids: (T,) token ids.

        Returns:
            (T, 2) half-open byte offsets, without a gap.
        """
        ends = np.cumsum([0, *map(len, self._bytes.each(ids))], dtype=np.int32)
        return np.stack([ends[:-1], ends[1:]], axis=1)

    def decode(self, ids: Sequence[int] | NDArray[np.int32], *, skip_special: bool = True) -> str:
        """The text of token ids, without repairing the spaces around punctuation.

        Args:
            ids: (T,) token ids.
            skip_special: leave special tokens out.

        Returns:
            The text; bytes that are no UTF-8 become U+FFFD.
        """
        listed = [int(token) for token in ids]
        return str(self._backend.decode(listed, skip_special_tokens=skip_special))

    def token_bytes(self, ids: NDArray[np.int32]) -> list[bytes]:
        """The bytes that each token, (T,), stands for; one may be part of a character."""
        return self._bytes.each(ids)

    @cached_property
    def special_ids(self) -> frozenset[int]:
        """Ids of tokens that are no text, such as the end of a turn; `decode` leaves them out."""
        added = self._backend.get_added_tokens_decoder()
        return frozenset(number for number, token in added.items() if token.special)

    def token_of(self, token_id: int) -> str:
        """How the vocabulary writes a token; empty for an id that it does not have."""
        return self._backend.id_to_token(token_id) or ""

    @cached_property
    def _adds_prefix(self) -> bool:
        ids, _ = self.encode("a")
        return self._bytes.join(ids) == b" a"

    def id_of(self, token: str) -> int:
        """The id of a token; a `ModelError` where it has none."""
        found: int | None = self._backend.token_to_id(token)
        if found is None:
            raise ModelError(
                f"{self._source} names {token!r} as a special token but has no id for it"
            )
        return found


def load_tokenizer(folder: Path) -> TextTokenizer:
    """The tokenizer of an ordinary Hugging Face folder.

    Args:
        folder: holds `tokenizer.json`, and perhaps `tokenizer_config.json`,
            `special_tokens_map.json` and `chat_template.jinja`.

    Returns:
        A tokenizer with the ids of `AutoTokenizer(text, add_special_tokens=False)`.

    Raises:
        ModelError: a file is missing or cannot be read.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise ModelError(
            f"the folder {folder} has no tokenizer.json",
            "load it once with transformers' AutoTokenizer and save_pretrained",
        )
    try:
        backend = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises plain Exception
        raise ModelError(f"{path} is not a tokenizer: {error}") from error
    config = {
        **_read_json(folder / "special_tokens_map.json"),
        **_read_json(folder / "tokenizer_config.json"),
    }
    specials = {
        f"{name}_token": _as_text(config[f"{name}_token"])
        for name in _NAMED
        if config.get(f"{name}_token")
    }
    _add_missing(backend, config, specials)
    return TextTokenizer(backend, specials, _find_template(folder, config), str(folder))


def digest_ids(ids: NDArray[np.int32]) -> str:
    """sha256 of token ids, (T,), as little-endian 32-bit integers."""
    return hashlib.sha256(np.ascontiguousarray(ids, dtype="<i4").tobytes()).hexdigest()


def _refuse_surrogates(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"the text holds half of a surrogate pair at character {error.start}: "
            f"{text[max(0, error.start - 20) : error.start + 20]!r}",
            "mend it where the rows are read; such a text has no UTF-8 form",
        ) from error


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path} holds no JSON object")
    return value


def _as_text(token: str | dict[str, Any]) -> str:
    return token if isinstance(token, str) else str(token["content"])


def _as_added(token: dict[str, Any]) -> AddedToken:
    flags = {name: bool(token[name]) for name in _FLAGS if name in token}
    return AddedToken(token["content"], **flags)


def _add_missing(backend: Tokenizer, config: dict[str, Any], specials: dict[str, str]) -> None:
    """Add what only the config names, in the order in which transformers does."""
    known = backend.get_added_tokens_decoder()
    listed = sorted(config.get("added_tokens_decoder", {}).items(), key=lambda item: int(item[0]))
    drawn = {repr(token) for token in known.values()}
    missing = [token for _, entry in listed if repr(token := _as_added(entry)) not in drawn]
    names = {token.content for token in (*known.values(), *missing)}
    extra = config.get("additional_special_tokens") or config.get("extra_special_tokens") or []
    more = [
        *specials.values(),
        *map(_as_text, extra if isinstance(extra, list) else extra.values()),
    ]
    for text in dict.fromkeys(more):
        if text not in names:
            missing.append(AddedToken(text, special=True))
    backend.add_tokens(missing)


def _find_template(folder: Path, config: dict[str, Any]) -> str | None:
    path = folder / "chat_template.jinja"
    if path.is_file():
        return path.read_text(encoding="utf-8")
    found = config.get("chat_template")
    if not isinstance(found, list):
        return None if found is None else str(found)
    named = {entry["name"]: entry["template"] for entry in found}
    if "default" not in named:
        raise ModelError(
            f"{folder} has several chat templates and none is called default: {sorted(named)}",
            "write the one to use to chat_template.jinja in that folder",
        )
    return str(named["default"])


def _without_defaults(value: Any) -> Any:
    """The value without entries that are null, false or empty.

    A newer library writes new options with such values into a file that means the same.
    """
    if isinstance(value, dict):
        pruned = {key: _without_defaults(entry) for key, entry in value.items()}
        return {
            key: entry
            for key, entry in pruned.items()
            if entry not in (None, "", [], {}) and entry is not False
        }
    if isinstance(value, list):
        return [_without_defaults(entry) for entry in value]
    return value
