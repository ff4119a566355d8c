"""How far apart the answers to one prompt are, when it was asked in several contexts or times."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from stillhouse.data.words import words_of
from stillhouse.evals.metric import SHARE, Metric
from stillhouse.evals.scores import Column

PROMPT = "spread_prompt"
"""The column that says which answers are to one prompt."""


def score_spread(answers: Sequence[Sequence[str]]) -> dict[str, Column]:
    """The columns of the spread, one prompt an example.

    Args:
        answers: of each prompt, such as one for each cultural context that it was asked in.

    Returns:
        `spread`: (N,) the distances of all pairs of its answers, summed; the distance of two is
        the share of their different words that only one of them has. `spread_pairs`: (N,) pairs.
    """
    distances = [
        [_distance(*pair) for pair in combinations([set(words_of(text)) for text in own], 2)]
        for own in answers
    ]
    return {
        "spread": np.array([float(sum(own)) for own in distances]),
        "spread_pairs": np.array([float(len(own)) for own in distances]),
    }


def spread_of_answers(texts: Sequence[str], prompts: Sequence[str]) -> dict[str, Column]:
    """The columns of the spread, one answer an example: each has half of its pairs.

    Args:
        texts: an answer each.
        prompts: what each is an answer to; answers to one prompt are pairs.

    Returns:
        As `score_spread`, with the same sums, whatever the order; and `spread_prompt`: (N,) a
        number for each prompt, whose answers are drawn together.
    """
    members: dict[str, list[int]] = defaultdict(list)
    for place, prompt in enumerate(prompts):
        members[prompt].append(place)
    words = [set(words_of(text)) for text in texts]
    spread, pairs = np.zeros(len(texts)), np.zeros(len(texts))
    for own in members.values():
        for one, other in combinations(own, 2):
            half = _distance(words[one], words[other]) / 2.0
            spread[[one, other]] += half
            pairs[[one, other]] += 0.5
    places = {prompt: float(place) for place, prompt in enumerate(members)}
    codes = np.array([places[prompt] for prompt in prompts])
    return {"spread": spread, "spread_pairs": pairs, PROMPT: codes}


def _distance(one: set[str], other: set[str]) -> float:
    every = one | other
    return 1.0 - len(one & other) / len(every) if every else 0.0


METRICS = (
    Metric(
        "context_spread",
        "Answers to one prompt lie apart",
        "higher",
        "Mean distance of two answers to one prompt: the share of their different words that only "
        "one of them has; 0 where every context gets the same words.",
        ("spread", "spread_pairs"),
        counted="spread_pairs",
        scale=SHARE,
        source="Jaccard 1901, as a distance",
        together=PROMPT,
    ),
)
