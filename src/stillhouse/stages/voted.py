"""People's votes as class targets. Legend: C classes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Example
from stillhouse.core.targets import ClassTargets
from stillhouse.data.storage import read_votes
from stillhouse.data.votes import Votes
from stillhouse.stages.corpus import VOTES
from stillhouse.stages.named_answers import NamedAnswers

_SHOWN = 5


class PeoplesVotes:
    """The votes that `prepare` read off the rows.

    Args:
        prepared: the folder of its artifact.
    """

    def __init__(self, prepared: Path) -> None:
        self._votes = read_votes(prepared / VOTES)

    def on(self, examples: Iterable[Example]) -> list[Example]:
        """Those that somebody voted on."""
        return [example for example in examples if example.example_id in self._votes]

    def counts(self, example: Example, names: Sequence[str]) -> NDArray[np.float64]:
        """(C,) the votes of each class.

        Args:
            example: that somebody voted on.
            names: of the classes.

        Returns:
            Counts or shares, as the row has them.

        Raises:
            InputError: votes for what is none of the classes.
        """
        votes: Votes = self._votes[example.example_id]
        odd = sorted(set(votes) - set(names))
        if odd:
            raise InputError(
                f"example {example.example_id} has votes for {odd[0]!r}, which is none of "
                "label.classes",
                f"label.classes has {', '.join(map(repr, names[:_SHOWN]))}: name every class that "
                "people chose",
            )
        return np.array([votes.get(name, 0.0) for name in names])

    def classify(self, examples: Iterable[Example], named: NamedAnswers) -> Iterator[ClassTargets]:
        """The shares of the votes.

        Args:
            examples: that somebody voted on.
            named: the classes.

        Yields:
            Targets; a vote is for the whole answer, so both of its logs are one.
        """
        for example in examples:
            counts = self.counts(example, named.names)
            with np.errstate(divide="ignore"):
                logs = np.log(counts / counts.sum())
            yield ClassTargets(example.example_id, named.names, logs, logs)
