"""How large a recipe's stored targets will be, in each codec, before anything is scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from stillhouse.core.errors import InputError
from stillhouse.recipes.sizes import sizes_of
from stillhouse.runner.check import check
from stillhouse.runner.resolve import Resolved
from stillhouse.runner.run import Place
from stillhouse.targets.forecast import TokenBytes, bytes_per_token, store_bytes
from stillhouse.targets.header import Codec

_KEPT = (16, 64, 256)
"""Kept entries that are shown beside the recipe's own."""
_DRAWS = 50
"""paper: Anshumann et al. 2025, arXiv:2503.16870: so many draws do as well as all logits."""
_HALF_BYTES = 2
"""Of a logit in 16 bits."""


@dataclass(frozen=True, slots=True)
class ForecastLine:
    """One way to store the same targets.

    Attributes:
        words: of the codec and its settings.
        is_chosen: the recipe says so.
        low_bytes_per_token: at least about so many.
        high_bytes_per_token: at most about so many.
        num_bytes: of all examples, in the middle of the range.
    """

    words: str
    is_chosen: bool
    low_bytes_per_token: float
    high_bytes_per_token: float
    num_bytes: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """How large a recipe's stored targets will be.

    Attributes:
        name: of the run.
        examples: that are labelled.
        tokens: their answer tokens, counted or estimated as `check` does.
        vocab_size: of the teacher.
        lines: the recipe's codec first, then others, then all logits.
        free_disk_bytes: where the run's files go.
    """

    name: str
    examples: int
    tokens: int
    vocab_size: int
    lines: tuple[ForecastLine, ...]
    free_disk_bytes: int

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Way:
    """A way to store targets."""

    codec: Codec
    top_k: int
    num_draws: int = 0
    is_chosen: bool = False

    @property
    def words(self) -> str:
        kept = f"{self.top_k} kept" if self.top_k else ""
        drawn = f"{self.num_draws} drawn" if self.num_draws else ""
        return f"{self.codec}, {' and '.join(part for part in (kept, drawn) if part)}"

    def bytes_per_token(self, vocab_size: int, kd_temperatures: Sequence[float]) -> TokenBytes:
        """With its range."""
        return bytes_per_token(
            codec=self.codec,
            top_k=self.top_k,
            num_draws=self.num_draws,
            vocab_size=vocab_size,
            kd_temperatures=kd_temperatures,
        )


def _others(vocab_size: int) -> list[_Way]:
    kept = [top_k for top_k in _KEPT if top_k < vocab_size]
    return [
        *(_Way("top_k", top_k) for top_k in kept),
        _Way("sampled", 0, _DRAWS),
        *(_Way("top_k_sampled", top_k, _DRAWS) for top_k in kept[:1]),
        _Way("full", vocab_size),
    ]


def _all_logits(vocab_size: int, tokens: int) -> ForecastLine:
    size = vocab_size * _HALF_BYTES
    return ForecastLine("all logits in 16 bits", False, size, size, size * tokens)


def _vocab_size(resolved: Resolved) -> int:
    """Rows of the teacher's head; a tokenizer that is still to be learned may stay below it."""
    if resolved.teacher:
        return sizes_of(resolved.teacher.config).vocab
    scratch = resolved.recipe.teacher.scratch
    assert scratch is not None
    assert scratch.tokenizer is not None
    return scratch.tokenizer.vocab_size


def forecast(resolved: Resolved, place: Place) -> Forecast:
    """The size of a recipe's targets, before anything is scored.

    Args:
        resolved: the recipe; its answer tokens are counted or estimated as `check` does.
        place: where it would run.

    Returns:
        The recipe's own way to store them, and others.

    Raises:
        InputError: the recipe stores no targets.
    """
    label = resolved.recipe.label
    vocab_size = _vocab_size(resolved)
    store = label.token_store(vocab_size)
    if store is None:
        raise InputError(
            f"the recipe stores no targets for tokens: label.targets is {label.targets}",
            "--set label.targets=top_k",
        )
    found = check(resolved, place)
    cost = next(item.cost for item in found.instances if item.key == "label")
    parts = {*label.parts, "validation"}
    examples = sum(count for name, count in found.parts.items() if name in parts)
    chosen = _Way(store.codec, store.top_k, store.num_draws, is_chosen=True)
    ways = [chosen, *(way for way in _others(vocab_size) if way.words != chosen.words)]
    lines = []
    for way in ways:
        each = way.bytes_per_token(vocab_size, label.temperatures)
        total = store_bytes(
            each.middle,
            tokens=cost.answer_tokens,
            examples=examples,
            shard_examples=label.shard_examples,
        )
        lines.append(ForecastLine(way.words, way.is_chosen, each.low, each.high, int(total)))
    return Forecast(
        name=found.name,
        examples=examples,
        tokens=cost.answer_tokens,
        vocab_size=vocab_size,
        lines=(*lines, _all_logits(vocab_size, cost.answer_tokens)),
        free_disk_bytes=found.free_disk_bytes,
    )
