"""A tokenizer as GGUF writes one: tokens by id with their kinds, merges or scores, special ids.

Two ways of cutting text are written: bytes merged by rank, as in GPT-2, and characters merged by
score, as in SentencePiece. Legend: V rows of the model's embedding.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from stillhouse.core.errors import ModelError
from stillhouse.core.rows import Message
from stillhouse.export.gguf_cutting import ROUTE, cutting_name, is_byte_level
from stillhouse.export.gguf_pieces import PieceRules, piece_rules
from stillhouse.tokens.template import Template
from stillhouse.tokens.tokenizer import TextTokenizer

_BYTE_TOKEN = re.compile(r"<0x[0-9A-F]{2}>")


class Kind(IntEnum):
    """What a token is. paper: llama.h, `llama_token_type`."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True)
class Vocabulary:
    """What a GGUF file says of its tokenizer.

    Attributes:
        model: `gpt2` for bytes merged by rank, `llama` for characters merged by score.
        cutting: the name of how texts are cut first.
        tokens: (V,) their texts.
        kinds: (V,).
        merges: two tokens each, in the order of their ranks; none where scores say it.
        scores: (V,), the highest merged first; none where ranks say it.
        special_ids: `bos`, `eos`, `eot`, `pad`, `unk` -> id.
        adds_bos: whether a server puts `bos` before what it is told.
        adds_space: whether a space is put before a text; None where the model has no such rule.
        composes: texts are brought into Unicode's composed form (NFC) by Hugging Face's tokenizer,
            which llama.cpp leaves out.
    """

    model: str
    cutting: str
    tokens: list[str]
    kinds: list[Kind]
    merges: list[str] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    special_ids: dict[str, int] = field(default_factory=dict)
    adds_bos: bool = False
    adds_space: bool | None = None
    composes: bool = False


def vocabulary_of(tokenizer: TextTokenizer, template: Template, num_rows: int) -> Vocabulary:
    """A tokenizer for llama.cpp.

    Args:
        tokenizer: of a Hugging Face folder.
        template: how its conversations are written; says what ends an answer.
        num_rows: of the embedding; ids above the tokenizer's are padding.

    Returns:
        What the file has to say, so that llama.cpp gives every text the same ids; where `composes`
        is set, every composed text.

    Raises:
        ModelError: llama.cpp has no such tokenizer, and what to ship instead.
    """
    state = tokenizer.state()
    if state["model"].get("type") != "BPE":
        raise ModelError(
            f"this is a {state['model'].get('type')} tokenizer; llama.cpp gives its ids to BPE "
            "tokenizers alone",
            ROUTE,
        )
    _refuse_options(state["model"])
    byte_level = is_byte_level(state["pre_tokenizer"])
    return (_of_bytes if byte_level else _of_pieces)(state, tokenizer, template, num_rows)


def _of_bytes(
    state: dict[str, Any], tokenizer: TextTokenizer, template: Template, num_rows: int
) -> Vocabulary:
    model = state["model"]
    name = cutting_name(state["pre_tokenizer"], ignores_merges=bool(model.get("ignore_merges")))
    composes = _composes(state["normalizer"])
    missing = sum(1 for token in _BYTES if token not in model["vocab"])
    if missing:
        raise ModelError(f"the vocabulary lacks {missing} of the 256 bytes", ROUTE)
    tokens, kinds = _tokens(state, num_rows)
    return Vocabulary(
        "gpt2",
        name,
        tokens,
        kinds,
        merges=[" ".join(_pair(merge)) for merge in model["merges"]],
        composes=composes,
        **_common(tokenizer, template),
    )


def _of_pieces(
    state: dict[str, Any], tokenizer: TextTokenizer, template: Template, num_rows: int
) -> Vocabulary:
    tokens, kinds = _tokens(state, num_rows)
    kinds = [
        Kind.BYTE if kind == Kind.NORMAL and _BYTE_TOKEN.fullmatch(token) else kind
        for token, kind in zip(tokens, kinds, strict=True)
    ]
    rules: PieceRules = piece_rules(state)
    common = _common(tokenizer, template)
    unknown = state["model"].get("unk_token")
    if unknown is not None and unknown in tokens:
        number = tokens.index(unknown)
        kinds[number] = Kind.UNKNOWN
        common["special_ids"]["unk"] = number
    lowest = -float(len(tokens))
    return Vocabulary(
        "llama",
        "default",
        tokens,
        kinds,
        scores=[rules.scores.get(token, lowest) for token in tokens],
        adds_space=rules.adds_space,
        **common,
    )


def _common(tokenizer: TextTokenizer, template: Template) -> dict[str, Any]:
    """What is said of special tokens, whatever the model."""
    ids = {"pad": tokenizer.pad_id, "eos": tokenizer.eos_id}
    # Without one llama.cpp takes id 11 of a byte-level vocabulary.
    ids["bos"] = tokenizer.id_of(tokenizer.bos_token) if tokenizer.bos_token else ids["pad"]
    if template.ending and template.ending != tokenizer.eos_token:
        ids["eot"] = tokenizer.id_of(template.ending)
    return {"special_ids": ids, "adds_bos": _opens_with_bos(tokenizer, template)}


def _opens_with_bos(tokenizer: TextTokenizer, template: Template) -> bool:
    """Whether texts open with the token that the tokenizer's own rules put there.

    Students learn from what their template writes. A server that put a token before it that no
    training text opens with would ask another question.
    """
    bos = tokenizer.added_bos
    return bool(bos) and template.prompt_text([Message("user", "a")]).startswith(bos)


def _tokens(state: dict[str, Any], num_rows: int) -> tuple[list[str], list[Kind]]:
    by_id = {number: (token, Kind.NORMAL) for token, number in state["model"]["vocab"].items()}
    for added in state["added_tokens"]:
        _refuse_flags(added)
        kind = Kind.CONTROL if added["special"] else Kind.USER_DEFINED
        by_id[added["id"]] = (added["content"], kind)
    if max(by_id) >= num_rows:
        raise ModelError(
            f"the tokenizer's highest id is {max(by_id)}, the model has {num_rows} rows",
            "take tokenizer and weights from one place",
        )
    found = [by_id.get(number, (f"[PAD{number}]", Kind.UNUSED)) for number in range(num_rows)]
    tokens = [token for token, _ in found]
    twice = [token for token, count in Counter(tokens).items() if count > 1]
    if twice or "" in tokens:
        what = f"{twice[0]!r} stands for two ids" if twice else "a token is empty"
        raise ModelError(f"{what}, which ends llama.cpp's process", ROUTE)
    return tokens, [kind for _, kind in found]


def _refuse_flags(added: dict[str, Any]) -> None:
    """An added token that also takes the white space around it, or only stands alone."""
    found = [name for name in ("single_word", "lstrip", "rstrip") if added.get(name)]
    if found:
        raise ModelError(
            f"the added token {added['content']!r} has {' and '.join(found)}, which llama.cpp "
            "does not look at: texts with it would have other ids",
            ROUTE,
        )


def _refuse_options(model: dict[str, Any]) -> None:
    for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(key):
            raise ModelError(f"the tokenizer's {key} is {model[key]!r}: llama.cpp has none", ROUTE)


def _composes(normalizer: dict[str, Any] | None) -> bool:
    if normalizer is None:
        return False
    parts = normalizer.get("normalizers", [normalizer])
    kinds = {part["type"] for part in parts}
    if kinds - {"NFC"}:
        raise ModelError(
            f"the tokenizer changes texts by {', '.join(sorted(kinds))}; llama.cpp does not", ROUTE
        )
    return bool(kinds)


def _pair(merge: str | list[str]) -> list[str]:
    return merge.split(" ", 1) if isinstance(merge, str) else merge


def _byte_characters() -> tuple[str, ...]:
    """How GPT-2 writes each byte: itself where it can be seen, else a letter above 255."""
    seen = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in seen]
    names = {byte: chr(byte) for byte in seen}
    names |= {byte: chr(256 + place) for place, byte in enumerate(hidden)}
    return tuple(names[byte] for byte in range(256))


_BYTES = _byte_characters()
