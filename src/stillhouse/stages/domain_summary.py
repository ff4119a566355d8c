"""How near each domain's student is to its teacher on validation examples, before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from stillhouse.models.distance import score_against
from stillhouse.models.domains import using
from stillhouse.models.score import score_batch
from stillhouse.models.scoring import Scoring
from stillhouse.students.class_examples import ClassExample
from stillhouse.students.examples import EncodedExample
from stillhouse.tokens.encode import EncodedConversation

if TYPE_CHECKING:
    from peft import PeftModel

Sums = dict[str, float]
_BATCH = 8
_ADDED = ("examples", "steps", "tokens_trained", "trainable_parameters")


def measure(
    model: PeftModel,
    domain: str,
    validation: Sequence[EncodedExample] | Sequence[ClassExample],
    vocab_size: int,
) -> dict[str, Sums]:
    """Sums over the trained tokens of one domain's validation examples.

    Args:
        model: of `put_domains`.
        domain: whose adapter is asked.
        validation: with the teacher's targets, or without; may be empty, and whoever learns classes
            is not measured here.
        vocab_size: ids of the tokenizer.

    Returns:
        `before` with the base alone, `after` with the adapter: `tokens`, `cross_entropy` in nats,
        and where targets hold the teacher's likeliest tokens `kl_to_teacher` in nats at
        temperature 1 and `top1_agreement`. Empty without examples.
    """
    lessons = [one for one in validation if isinstance(one, EncodedExample)]
    if not lessons:
        return {}
    before = _sums(model, lessons, vocab_size)
    with using(model, domain):
        return {"before": before, "after": _sums(model, lessons, vocab_size)}


def _sums(model: PeftModel, lessons: Sequence[EncodedExample], vocab_size: int) -> Sums:
    texts = [(str(place), _conversation(lesson)) for place, lesson in enumerate(lessons)]
    targets = [lesson.targets for lesson in lessons]
    known = [one for one in targets if one is not None and one.top_ids.shape[1]]
    if len(known) < len(lessons):
        scored = score_batch(model, texts, Scoring(vocab_size, top_k=1, batch_size=_BATCH))
        logprobs = np.concatenate([one.observed_logprobs for one in scored])
        return {"tokens": float(len(logprobs)), "cross_entropy": -float(logprobs.sum(dtype=float))}
    found = score_against(model, texts, known, vocab_size=vocab_size, batch_size=_BATCH)
    return {
        "tokens": float(sum(one.num_tokens for one in found)),
        "cross_entropy": sum(one.nll_sum for one in found),
        "kl_to_teacher": sum(one.kl_sum for one in found),
        "top1_agreement": float(sum(one.num_agreeing for one in found)),
    }


def _conversation(lesson: EncodedExample) -> EncodedConversation:
    """The ids as a conversation; that the targets are theirs was checked when they were read."""
    digest = lesson.targets.key.completion_digest if lesson.targets else ""
    # Copies: they lie in a file that may not be written, which torch warns of.
    ids, is_trained = lesson.ids.copy(), lesson.is_trained.copy()
    nowhere = np.zeros((len(ids), 2), np.int32)
    return EncodedConversation(ids, is_trained, nowhere, "", "", digest, 0)


def summarise(
    told: Mapping[str, Mapping[str, Any]], distances: Mapping[str, Mapping[str, Sums]]
) -> dict[str, Any]:
    """What `kd_summary.json` holds: each domain, and all of them together.

    Args:
        told: of each domain's training.
        distances: of each, as `measure` found them.

    Returns:
        Means over tokens, in nats, under `before` and `after`.
    """
    domains = {
        name: {**own, **{when: _means(sums) for when, sums in distances[name].items()}}
        for name, own in told.items()
    }
    overall: dict[str, Any] = {name: sum(own[name] for own in told.values()) for name in _ADDED}
    one = next(iter(told.values()))
    base = one["parameters"] - one["trainable_parameters"]
    overall["parameters"] = base + overall["trainable_parameters"]
    for when in ("before", "after"):
        sums = [own[when] for own in distances.values() if when in own]
        if sums:
            shared = set.intersection(*(set(own) for own in sums))
            overall[when] = _means({name: sum(own[name] for own in sums) for name in shared})
    return {"domains": domains, "overall": {"domains": len(domains), **overall}}


def _means(sums: Mapping[str, float]) -> Sums:
    tokens = sums["tokens"]
    means = {name: value / tokens for name, value in sums.items() if name != "tokens"}
    return {"tokens": tokens, **means}
