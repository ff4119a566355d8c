"""What an evaluation measures where the recipe names classes.

Where the whole answer is the class, every candidate is asked behind the same prompt. A field of a
JSON answer is read in the answer that each candidate wrote itself: behind the gold one, the other
fields would tell the class.

Legend: N examples, C classes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Completion, Example
from stillhouse.evals.calibration import score_field_confidence
from stillhouse.evals.classes import (
    CLASSED,
    certain_of_least,
    is_read,
    score_classes,
    score_written_classes,
    unread,
)
from stillhouse.evals.scores import Column, Scores
from stillhouse.evals.votes import score_votes
from stillhouse.recipes.metric_names import OF_CLASSES
from stillhouse.stages.comparing import Answers, refuse_not_numbers
from stillhouse.stages.contract import StageRequest
from stillhouse.stages.corpus import VOTES, Corpus
from stillhouse.stages.evaluate_files import CLASSES
from stillhouse.stages.looked_for import LookedFor
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
        answers: N that the candidate gave.
        context: tokens that it can read; None for any.
    """

    request: StageRequest
    corpus: Corpus
    answers: Answers
    context: int | None = None

    def look(self, engine: TransformersEngine) -> LookedFor:
        """How near the candidate's classes are to its teacher's, and to people's votes.

        Args:
            engine: of the candidate.

        Returns:
            Nothing where the recipe names no classes. The teacher's own probabilities are written
            down for the others.

        Raises:
            InputError: there are votes, but not on every example.
        """
        if "named" not in self.request.config:
            return LookedFor({}, {})
        named = NamedAnswers.of_config(self.request.config["named"])
        if named.field is None:
            found = engine.classify(self._examples, named.names)
            own_NC = np.stack([one.logprobs for one in found])
            near = self._near_teacher(own_NC, _of_plain_answers)
            return LookedFor(near | self._near_votes(named, own_NC), {})
        own_NC = self._read(engine, named)
        near = self._near_teacher(own_NC, score_written_classes)
        columns = near | self._near_votes(named, own_NC) | unread(own_NC)
        if not self.answers.by_teacher:
            columns |= self._calibrated(named, own_NC)
        return LookedFor(columns, _without_teacher(near))

    @property
    def _examples(self) -> list[Example]:
        return self.answers.measured.examples

    def _read(self, engine: TransformersEngine, named: NamedAnswers) -> Floats:
        """(N, C) nats, behind what the candidate wrote before the class; NaN where it names none.

        What it wrote after the class counts for nothing: it was written to go with that class.
        """
        own_NC = np.full((len(self._examples), len(named.classes)), np.nan)
        written = {
            place: replace(example, answer=said.text)
            for place, (example, said) in enumerate(
                zip(self._examples, self.answers.said, strict=True)
            )
            if named.place_in(said.text) is not None and self._fits(named, example, said)
        }
        answers = engine.classify(
            written.values(),
            named.names,
            lambda example: named.answers(example.answer or ""),
            lambda example: named.ends(example.answer or ""),
        )
        found = list(answers)
        # A model that gives no numbers is no answer without a class.
        sums = np.array([one.logprobs.sum() for one in found])
        refuse_not_numbers(Scores(tuple(one.example_id for one in found), {"class_logprob": sums}))
        for place, one in zip(written, found, strict=True):
            own_NC[place] = one.logprobs
        return own_NC

    def _fits(self, named: NamedAnswers, example: Example, said: Completion) -> bool:
        """Whether the candidate could read the answer with every class in its place."""
        # A token has at least a byte, so that most need no look.
        longest = max(len(json.dumps(one).encode()) for one in named.classes)
        if not self.context or said.num_tokens + longest <= self.request.config["max_new_tokens"]:
            return True
        family = named.encode(self.corpus, example, said.text)
        return max(len(one.ids) for one in family) <= self.context

    def _near_teacher(
        self, own_NC: Floats, score: Callable[[Floats, Floats], dict[str, Column]]
    ) -> dict[str, Column]:
        teacher = self.request.inputs.get("teacher")
        if teacher is None:
            write_logprobs(self.request.out / CLASSES, own_NC)
            return score(own_NC, own_NC)
        if (teacher / CLASSES).is_file():
            return score(read_logprobs(teacher / CLASSES), own_NC)
        return {}  # a teacher behind an API tells no probabilities

    def _near_votes(self, named: NamedAnswers, own_NC: Floats) -> dict[str, Column]:
        prepared = self.request.inputs["examples"]
        if not (prepared / VOTES).is_file():
            return {}
        votes = PeoplesVotes(prepared)
        lacking = len(self._examples) - len(votes.on(self._examples))
        if lacking:
            raise InputError(
                f"{lacking} of {len(self._examples)} examples that are measured have no votes "
                "under prepare.votes",
                "leave such rows out, or remove prepare.votes",
            )
        counts = np.stack([votes.counts(example, named.names) for example in self._examples])
        is_read_N = is_read(own_NC)
        said_NC = np.where(is_read_N[:, None], np.exp(own_NC), certain_of_least(counts))
        columns = score_votes(counts, said_NC)
        return columns | {"majority_right": columns["majority_right"] * is_read_N}

    def _calibrated(self, named: NamedAnswers, own_NC: Floats) -> dict[str, Column]:
        """How sure it is of the class that it wrote, where the reference names one."""
        assert named.field is not None
        wanted = [named.place_in(text) for text in self.answers.measured.references()]
        if all(place is None for place in wanted):
            return {}
        places = [named.place_in(said.text) for said in self.answers.said]
        sure, right = [], []
        for place, want, logprobs_C, is_told in zip(
            places, wanted, own_NC, is_read(own_NC), strict=True
        ):
            # What cannot be read is as wrong as it may be.
            tells = place if is_told else None
            sure.append(1.0 if tells is None else min(1.0, float(np.exp(logprobs_C[tells]))))
            right.append(float(tells is not None and tells == want))
        asked = [place is not None for place in wanted]
        return score_field_confidence(named.field, sure, right, asked)


def _of_plain_answers(teacher_NC: Floats, own_NC: Floats) -> dict[str, Column]:
    return {CLASSED: np.ones(len(own_NC))} | score_classes(teacher_NC, own_NC)


def _without_teacher(columns: dict[str, Column]) -> dict[str, str]:
    """What people should know where the teacher's own answers name no class."""
    told = columns.get(CLASSED, np.ones(0))
    lacking = int((told == 0.0).sum())
    if not lacking:
        return {}
    why = f"{lacking} of {len(told)} examples are left out: the teacher's answer names no class"
    return dict.fromkeys(OF_CLASSES, why)


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
