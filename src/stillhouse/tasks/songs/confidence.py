"""How sure a model is of what it decided: the probability of the tokens that say it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from stillhouse.core.rows import OwnLogprob

DECIDED = ("verdict", "score", "concern_level")
"""Fields that decide; themes and rationale may be said in many ways."""

_VALUE = rb'"(?:%s)"\s*:\s*("(?:[^"\\]|\\.)*"|[^,}\]\s]+)'


def decision_confidence(said: Sequence[OwnLogprob], fields: Sequence[str] = DECIDED) -> float:
    """The probability of the tokens that write the values of some fields.

    Args:
        said: the tokens of an answer with their log-probabilities, in order; empty where the
            engine does not tell.
        fields: of the JSON object that they write.

    Returns:
        In [0, 1]; 0 where none of the fields is there. What a grammar allows alone has
        probability 1.
    """
    text = b"".join(one.token for one in said)
    pattern = re.compile(_VALUE % b"|".join(name.encode() for name in fields))
    spans = [match.span(1) for match in pattern.finditer(text)]
    if not spans:
        return 0.0
    total, end = 0.0, 0
    for one in said:
        start, end = end, end + len(one.token)
        if any(start < last and end > first for first, last in spans):
            total += one.logprob
    return math.exp(min(0.0, total))
