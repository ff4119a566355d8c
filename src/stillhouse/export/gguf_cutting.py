"""How a tokenizer cuts a text before it merges bytes, by the name that llama.cpp has for it.

llama.cpp has each way of cutting compiled in, under names of well-known tokenizers. A student with
a vocabulary of its own has the name of whoever cuts by the same expressions; where nobody does, its
ids would be others there, so it is refused.
"""

from __future__ import annotations

from typing import Any

from stillhouse.core.errors import ModelError

_GPT2 = (
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
)  # fmt: skip
_QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_LLAMA3 = _QWEN2.replace(r"|\p{N}| ?", r"|\p{N}{1,3}| ?")

CUTTINGS = {
    ((_GPT2,), False): "gpt-2",
    ((_QWEN2,), False): "qwen2",
    ((_LLAMA3,), True): "llama-bpe",
    ((_LLAMA3,), False): "smaug-bpe",
    ((r"\p{N}", _GPT2), False): "smollm",
}
"""Expressions, one after the other, and whether whole words skip the merges -> name.

measured: each name gave the ids of `tokenizers` on 10,000 texts; llama.cpp only comes near some
others, such as gpt-4o's.
"""

_ISOLATING = {("Isolated", False), ("Removed", True)}
"""How a Split cuts without losing a character, where its expression matches everything."""

ROUTE = (
    "ship the formats merged or adapter, which transformers and vLLM read with the tokenizer's own "
    "rules"
)
"""What to do about a tokenizer that llama.cpp does not have."""


class _UnknownPartError(Exception):
    """A pre-tokenizer that is no expression."""


def cutting_name(pre_tokenizer: dict[str, Any] | None, *, ignores_merges: bool) -> str:
    """The name in `tokenizer.ggml.pre` for a byte-level tokenizer.

    Args:
        pre_tokenizer: of its `tokenizer.json`.
        ignores_merges: its model's `ignore_merges`.

    Returns:
        A name that llama.cpp knows.

    Raises:
        ModelError: it knows none that cuts alike.
    """
    try:
        expressions = tuple(_expressions(pre_tokenizer or {}))
    except _UnknownPartError as error:
        raise _refusal(str(error)) from None
    name = CUTTINGS.get((expressions, ignores_merges))
    if name is None:
        how = " then ".join(expressions) or "nothing at all"
        raise _refusal(f"{how}{', whole words unmerged' if ignores_merges else ''}")
    return name


def is_byte_level(pre_tokenizer: dict[str, Any] | None) -> bool:
    """Whether a tokenizer writes bytes as characters before it merges them."""
    return any(part.get("type") == "ByteLevel" for part in _parts(pre_tokenizer or {}))


def _refusal(how: str) -> ModelError:
    names = ", ".join(sorted(CUTTINGS.values()))
    return ModelError(
        f"this tokenizer cuts texts by {how}, which llama.cpp has no exact name for (those of "
        f"{names} are known)",
        ROUTE,
    )


def _parts(pre_tokenizer: dict[str, Any]) -> list[dict[str, Any]]:
    if pre_tokenizer.get("type") == "Sequence":
        return list(pre_tokenizer["pretokenizers"])
    return [pre_tokenizer]


def _expressions(pre_tokenizer: dict[str, Any]) -> list[str]:
    found: list[str] = []
    for part in _parts(pre_tokenizer):
        found += _expression(part)
    return found


def _expression(part: dict[str, Any]) -> list[str]:
    kind = part.get("type")
    if kind == "ByteLevel" and not part.get("add_prefix_space", True):
        return [_GPT2] if part.get("use_regex", True) else []
    if kind == "Digits" and part.get("individual_digits"):
        return [r"\p{N}"]
    how = part.get("behavior"), bool(part.get("invert"))
    if kind == "Split" and "Regex" in part["pattern"] and how in _ISOLATING:
        return [str(part["pattern"]["Regex"])]
    raise _UnknownPartError(f"the part {kind}{_settings(part)}")


def _settings(part: dict[str, Any]) -> str:
    told = [f"{key} {value}" for key, value in sorted(part.items()) if key != "type"]
    return f" ({', '.join(told)})" if told else ""
