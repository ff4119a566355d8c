"""Several answers to one prompt as a tree of tokens, in which what they share stands once.

Conversations are compared as token ids, so a token that reaches over the border of prompt and
answer is the one that the model would meet. Tokens stand in depth-first order: token i may look at
token j exactly when j <= i < ends[j].

Legend: W tokens of a tree, C answers, N scored tokens, M pairs of an answer and a token of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stillhouse.tokens.encode import EncodedConversation

Ints = NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class AnswerTree:
    """The answers to one prompt.

    Attributes:
        ids: (W,) int32, the tokens after which another one stands.
        depths: (W,) int32, the position of each in its conversations, from 0.
        ends: (W,) int32, one behind the last token that follows it.
        predictors: (N,) int32, ascending, the place in `ids` that each scored token follows.
        scored: (N,) int32, the scored tokens, those of the answers with their end of turn.
        answer_of: (M,) int32, ascending, whose likelihood a token is part of.
        token_of: (M,) int32, which scored token that is.
        num_answers: C.
    """

    ids: Ints
    depths: Ints
    ends: Ints
    predictors: Ints
    scored: Ints
    answer_of: Ints
    token_of: Ints
    num_answers: int

    def tokens_of(self, answer: int) -> Ints:
        """Which scored tokens an answer is made of, in their order."""
        start, stop = np.searchsorted(self.answer_of, (answer, answer + 1))
        return self.token_of[start:stop]


def grow_tree(conversations: Sequence[EncodedConversation]) -> AnswerTree:
    """The tree of the last answers of some conversations.

    Args:
        conversations: at least one, which differ in their last answer alone.

    Returns:
        Their tokens, each once, up to the end of turn of the last answer.
    """
    spans = [one.last_answer for one in conversations]
    paths = [one.ids[: own.stop].tolist() for one, own in zip(conversations, spans, strict=True)]
    grown = _Growing()
    nodes: list[list[int]] = [[] for _ in paths]
    for answer in sorted(range(len(paths)), key=paths.__getitem__):
        nodes[answer] = grown.follow(paths[answer])[spans[answer].start :]
    return grown.cut(nodes)


@dataclass(slots=True)
class _Growing:
    """Nodes in depth-first order, because paths come sorted."""

    tokens: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    depths: list[int] = field(default_factory=list)
    path: list[int] = field(default_factory=list)

    def follow(self, ids: Sequence[int]) -> list[int]:
        """The nodes of a path, of which what the path before did not have is new."""
        shared = 0
        while shared < min(len(ids), len(self.path)) and (
            self.tokens[self.path[shared]] == ids[shared]
        ):
            shared += 1
        del self.path[shared:]
        for depth in range(shared, len(ids)):
            self.parents.append(self.path[-1] if self.path else -1)
            self.tokens.append(ids[depth])
            self.depths.append(depth)
            self.path.append(len(self.tokens) - 1)
        return list(self.path)

    def cut(self, nodes: Sequence[Sequence[int]]) -> AnswerTree:
        """The tree without its leaves, which nothing follows and which are only predicted."""
        tokens, parents, depths = (
            np.array(own, np.int32) for own in (self.tokens, self.parents, self.depths)
        )
        stays = np.zeros(len(tokens), np.bool_)
        stays[parents[parents >= 0]] = True
        place = np.cumsum(stays, dtype=np.int32) - 1
        ends = np.arange(1, len(tokens) + 1)
        for node in range(len(tokens) - 1, 0, -1):
            if parents[node] >= 0:
                ends[parents[node]] = max(ends[parents[node]], ends[node])
        token_of = np.concatenate([np.array(own, np.int64) for own in nodes])
        scored = np.unique(token_of)
        # By their predictors, so that what one hidden state predicts stands together.
        scored = scored[np.argsort(place[parents[scored]], kind="stable")]
        found = np.zeros(len(tokens), np.int32)
        found[scored] = np.arange(len(scored))
        return AnswerTree(
            ids=tokens[stays],
            depths=depths[stays],
            ends=np.concatenate([[0], np.cumsum(stays)])[ends[stays]].astype(np.int32),
            predictors=place[parents[scored]],
            scored=tokens[scored],
            answer_of=np.repeat(np.arange(len(nodes), dtype=np.int32), [len(n) for n in nodes]),
            token_of=found[token_of],
            num_answers=len(nodes),
        )
