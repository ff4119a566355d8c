"""Merges of characters as scores, as llama.cpp reads SentencePiece's vocabularies.

A list of merges says which two tokens may join, and in which order. llama.cpp asks less: any two
tokens join whose text is a token, the one with the highest score first. Both are the same exactly
where every way to write a token as two others is a merge, which is checked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stillhouse.core.errors import ModelError
from stillhouse.export.gguf_cutting import ROUTE

_SPACE = "\u2581"


@dataclass(frozen=True, slots=True)
class PieceRules:
    """How pieces join.

    Attributes:
        scores: token -> at most 0, the higher the sooner; tokens that are no merge are absent.
        adds_space: whether a space is put before every text, and after every special token.
    """

    scores: dict[str, float]
    adds_space: bool


def piece_rules(state: dict[str, Any]) -> PieceRules:
    """The rules of a tokenizer that merges characters, with bytes for what it does not know.

    Args:
        state: its `tokenizer.json`.

    Returns:
        Scores that give the same ids.

    Raises:
        ModelError: no scores do.
    """
    model = state["model"]
    if not model.get("byte_fallback"):
        raise ModelError(
            "this tokenizer merges characters and has no bytes for those that it does not know; "
            "llama.cpp needs them",
            ROUTE,
        )
    return PieceRules(_scores(model), _adds_space(state))


def _scores(model: dict[str, Any]) -> dict[str, float]:
    merges = [tuple(one.split(" ", 1) if isinstance(one, str) else one) for one in model["merges"]]
    scores: dict[str, float] = {}
    last = ""
    for left, right in merges:
        token = left + right
        if token != last and token in scores:
            raise _refusal(f"{token!r} is merged early and late")
        scores.setdefault(token, -float(len(scores)))
        last = token
    known, vocab = set(merges), model["vocab"]
    for token in scores:
        splits = ((token[:cut], token[cut:]) for cut in range(1, len(token)))
        for pair in splits:
            if pair not in known and pair[0] in vocab and pair[1] in vocab:
                raise _refusal(f"{pair[0]!r} and {pair[1]!r} make {token!r}, but are no merge")
    return scores


def _adds_space(state: dict[str, Any]) -> bool:
    normalizer, cutting = state["normalizer"], state["pre_tokenizer"]
    if normalizer is None and cutting and cutting["type"] == "Metaspace":
        scheme = cutting.get("prepend_scheme", "always")
        if cutting["replacement"] == _SPACE and not cutting.get("split", True):
            if scheme == "first":
                raise _refusal(
                    "a space is put before the first text and none after a special token"
                )
            return bool(scheme == "always")
    if normalizer is not None and cutting is None:
        parts = [_part(one) for one in normalizer.get("normalizers", [normalizer])]
        if parts in (["space"], ["prepend", "space"], ["space", "prepend"]):
            return len(parts) == 2
    raise _refusal("white space is treated in a way of its own")


def _part(normalizer: dict[str, Any]) -> str:
    kind = normalizer["type"]
    if kind == "Prepend" and normalizer["prepend"] == _SPACE:
        return "prepend"
    replaces = kind == "Replace" and normalizer["pattern"] == {"String": " "}
    return "space" if replaces and normalizer["content"] == _SPACE else str(kind)


def _refusal(what: str) -> ModelError:
    return ModelError(f"llama.cpp would give this tokenizer's texts other ids: {what}", ROUTE)
