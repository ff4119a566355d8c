"""The refusal of targets that cannot be stored as their header says.

Legend: P answer tokens of one example, K kept teacher entries, D declared kd_temperatures,
S distinct drawn tokens of the widest position.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stillhouse.core.errors import ShapeError, StillhouseError
from stillhouse.core.targets import Draws, TokenTargets
from stillhouse.targets.header import TargetHeader
from stillhouse.targets.models import MAX_NUMBER

_MOST_BYTES = MAX_NUMBER // 2
_MASS_ERROR = 0.02
"""assumption: a softmax in half precision misses 1 by less."""


def check(targets: TokenTargets, header: TargetHeader) -> None:
    """Say nothing when targets can be stored under a header.

    Args:
        targets: of one example.
        header: of the store.

    Raises:
        ShapeError: an array has not the shape that the header demands.
        StillhouseError: NaN, an id outside the vocabulary or twice in a row, probabilities that
            do not sum to 1, draws that do not sum to their number, or an impossible byte span.
    """
    where = f"of example {targets.key.example_id}"
    if (targets.draws is not None) != (header.num_draws > 0):
        have = "draws" if targets.draws is not None else "no draws"
        raise ShapeError(
            f"the targets {where} hold {have}; the header's num_draws is {header.num_draws}"
        )
    for name, (values, wanted) in _arrays(targets, header).items():
        if values.shape != wanted:
            raise ShapeError(f"{name} {where} has the shape {values.shape}; {wanted} is wanted")
        if np.isnan(values).any():
            raise StillhouseError(
                f"{name} {where} holds NaN",
                "the teacher overflowed: score it in float32 or bfloat16",
            )
    for name in ("token_ids", "top_ids"):
        _check_ids(name, getattr(targets, name), header.vocab_size, where)
    _refuse_twice("top_ids", targets.top_ids, where)
    _check_mass(targets, header, where)
    _check_spans(targets.byte_offsets, where)
    if targets.draws is not None:
        _check_draws(targets.draws, targets.top_ids, header, where)


def _arrays(
    targets: TokenTargets, header: TargetHeader
) -> dict[str, tuple[NDArray[np.generic], tuple[int, ...]]]:
    """Name to array and the shape that is wanted."""
    num_tokens = len(targets.token_ids)
    found: dict[str, tuple[NDArray[np.generic], tuple[int, ...]]] = {
        "token_ids": (targets.token_ids, (num_tokens,)),
        "byte_offsets": (targets.byte_offsets, (num_tokens, 2)),
        "observed_logprobs": (targets.observed_logprobs, (num_tokens,)),
        "top_ids": (targets.top_ids, (num_tokens, header.top_k)),
        "top_logprobs": (targets.top_logprobs, (num_tokens, header.top_k)),
        "log_z": (targets.log_z, (num_tokens, len(header.kd_temperatures))),
    }
    if targets.draws is not None:
        width = targets.draws.ids.shape[-1]
        found["draws.ids"] = (targets.draws.ids, (num_tokens, width))
        found["draws.counts"] = (targets.draws.counts, (num_tokens, width))
        found["draws.entropy"] = (targets.draws.entropy, (num_tokens,))
    return found


def _check_ids(name: str, ids: NDArray[np.int32], vocab_size: int, where: str) -> None:
    if ids.size and (ids.min() < 0 or ids.max() >= vocab_size):
        raise StillhouseError(
            f"{name} {where} hold {int(ids.min())} to {int(ids.max())}; the vocabulary has "
            f"{vocab_size}",
            "the header and the teacher belong to different tokenizers",
        )


def _refuse_twice(name: str, ids: NDArray[np.int32], where: str) -> None:
    ordered = np.sort(ids, axis=1)
    twice = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)
    if twice.any():
        token_id = int(ordered[:, 1:][twice][0])
        raise StillhouseError(f"{name} {where} hold the token {token_id} twice in one row")


def _check_mass(targets: TokenTargets, header: TargetHeader, where: str) -> None:
    mass = np.exp(targets.top_logprobs.astype(np.float64)).sum(axis=1)
    least = 1.0 - _MASS_ERROR if header.codec == "full" else 0.0
    wrong = (mass > 1.0 + _MASS_ERROR) | (mass < least)
    if wrong.any():
        raise StillhouseError(
            f"top_logprobs {where} hold the probability {mass[wrong][0]:.4g} in one row",
            "log-probabilities are normalised over the whole vocabulary, at temperature 1",
        )


def _check_spans(spans: NDArray[np.int32], where: str) -> None:
    if not len(spans):
        return
    if spans.min() < 0 or (spans[:, 1] < spans[:, 0]).any():
        raise StillhouseError(f"byte_offsets {where} hold a span that ends before it starts")
    if spans.max() > _MOST_BYTES:
        raise StillhouseError(
            f"byte_offsets {where} reach {int(spans.max())}; {_MOST_BYTES} is the most",
            "split the conversation",
        )


def _check_draws(
    draws: Draws, top_ids: NDArray[np.int32], header: TargetHeader, where: str
) -> None:
    sums = draws.counts.sum(axis=1)
    # The kept entries may leave nothing to draw from; the whole vocabulary always has something.
    wanted = (0, header.num_draws) if header.top_k else (header.num_draws,)
    if draws.counts.min(initial=0) < 0 or not np.isin(sums, wanted).all():
        raise StillhouseError(
            f"draws {where} sum to {sorted(set(sums.tolist()))}; each row has to sum to "
            f"{' or '.join(map(str, wanted))}"
        )
    used = np.where(draws.counts > 0, draws.ids, -1)
    _check_ids("draws", np.maximum(used, 0), header.vocab_size, where)
    unused = -1 - np.arange(used.shape[1], dtype=np.int32)
    both = np.concatenate([top_ids, np.where(used < 0, unused, used)], axis=1)
    _refuse_twice("draws", both, where)
