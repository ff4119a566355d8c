"""What an evaluation measures where the recipe names classes. Legend: N examples, C classes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Example
from stillhouse.evals.classes import CLASSED, score_classes
from stillhouse.evals.scores import Column
from stillhouse.evals.votes import score_votes
from stillhouse.stages.contract import StageRequest
from stillhouse.stages.corpus import VOTES, Corpus
from stillhouse.stages.evaluate_files import CLASSES
from stillhouse.stages.named_answers import NamedAnswers
from stillhouse.stages.voted import PeoplesVotes

if TYPE_CHECKING:
    from stillhouse.engines.transformers import TransformersEngine

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Classified:
    """The classes of an evaluation.

    Attributes:
        request: of the evaluation; its configuration names the classes.
        corpus: of the run.
        examples: N that are measured, each with a gold answer.
    """

    request: StageRequest
    corpus: Corpus
    examples: list[Example]

    def columns(self, engine: TransformersEngine) -> dict[str, Column]:
        """How near the candidate's classes are to its teacher's, and to people's votes.

        Args:
            engine: of the candidate.

        Returns:
            (N,) columns; none where the recipe names no classes. The teacher's own probabilities
            are written down for the others.

        Raises:
            InputError: there are votes, but not on every example.
        """
        if "named" not in self.request.config:
            return {}
        named = NamedAnswers.of_config(self.request.config["named"])
        has_room = np.array([named.has_room(example.answer) for example in self.examples])
        fitting = [one for one, fits in zip(self.examples, has_room, strict=True) if fits]
        if not fitting:
            return {}
        found = engine.classify(
            fitting, named.names, lambda example: named.answers(example.answer or "")
        )
        own_NC = np.stack([one.logprobs for one in found])
        return self._near_teacher(own_NC, has_room) | self._near_votes(named, own_NC, fitting)

    def _near_teacher(self, own_NC: Floats, has_room: NDArray[np.bool_]) -> dict[str, Column]:
        teacher = self.request.inputs.get("teacher")
        if teacher is None:
            write_logprobs(self.request.out / CLASSES, own_NC)
            taught_NC = own_NC
        elif (teacher / CLASSES).is_file():
            taught_NC = read_logprobs(teacher / CLASSES)
        else:
            return {}  # a teacher behind an API tells no probabilities
        columns: dict[str, Column] = {CLASSED: has_room.astype(np.float64)}
        for name, values in score_classes(taught_NC, own_NC).items():
            columns[name] = np.zeros(len(has_room))
            columns[name][has_room] = values
        return columns

    def _near_votes(
        self, named: NamedAnswers, own_NC: Floats, fitting: list[Example]
    ) -> dict[str, Column]:
        prepared = self.request.inputs["examples"]
        if not (prepared / VOTES).is_file():
            return {}
        votes = PeoplesVotes(prepared)
        lacking = len(self.examples) - len(votes.on(fitting))
        if lacking:
            raise InputError(
                f"{lacking} of {len(self.examples)} examples that are measured have no votes under "
                "prepare.votes",
                "leave such rows out, or remove prepare.votes",
            )
        counts = np.stack([votes.counts(example, named.names) for example in fitting])
        return score_votes(counts, np.exp(own_NC))


def write_logprobs(path: Path, logprobs_NC: Floats) -> None:
    """Keep a candidate's log-probabilities of the classes, in float64.

    Args:
        path: of the file.
        logprobs_NC: (N, C) nats.
    """
    with path.open("wb") as stream:
        np.save(stream, logprobs_NC, allow_pickle=False)


def read_logprobs(path: Path) -> Floats:
    """What `write_logprobs` wrote."""
    found: Floats = np.load(path, allow_pickle=False)
    return found
