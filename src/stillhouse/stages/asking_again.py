"""The same examples asked again: several times, one by one, and in other words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stillhouse.core.errors import InputError
from stillhouse.core.protocols import Generator
from stillhouse.core.rows import Example, Message
from stillhouse.core.sampling import Sampling
from stillhouse.data.paths import MISSING, find
from stillhouse.evals.consistency import score_batch, score_paraphrases, score_repeats
from stillhouse.evals.scores import Column
from stillhouse.recipes.measuring import Evaluate
from stillhouse.stages.measured import Measured


@dataclass(frozen=True, slots=True)
class AskedAgain:
    """A candidate that is asked the same examples in other ways.

    Attributes:
        engine: completes prompts.
        measured: the examples.
        settings: the recipe's.
        sampling: of the answers that are compared with.
        as_objects: answers are JSON objects.
    """

    engine: Generator
    measured: Measured
    settings: Evaluate
    sampling: Sampling
    as_objects: bool

    def columns(self, said: Sequence[str]) -> dict[str, Column]:
        """What the recipe asks for; an example that is not asked again has zeros.

        Args:
            said: the answers to all examples, side by side.

        Returns:
            (N,) columns of repeats, of answers one by one, and of paraphrases.

        Raises:
            InputError: no row has the column of paraphrases.
        """
        return self._repeats() | self._alone(said) | self._paraphrases(said)

    def _repeats(self) -> dict[str, Column]:
        wanted = self.settings.repeats
        if wanted is None:
            return {}
        places = spread(len(self.measured.examples), wanted.examples)
        examples = [self.measured.examples[place] for place in places]
        repeats = []
        for index in range(wanted.times):
            # Index 0 is the answer that everything else is measured on.
            sampling = replace(
                self.sampling, temperature=wanted.temperature, sample_index=index + 1
            )
            repeats.append([one.text for one in self.engine.generate(examples, sampling)])
        found = score_repeats(self.settings.fields, repeats, as_objects=self.as_objects)
        return self._in_place(places, found)

    def _alone(self, said: Sequence[str]) -> dict[str, Column]:
        if not self.settings.alone:
            return {}
        places = spread(len(said), self.settings.alone)
        one_by_one = replace(self.sampling, batch_size=1)
        alone = [
            answer.text
            for place in places
            for answer in self.engine.generate([self.measured.examples[place]], one_by_one)
        ]
        found = score_batch(
            self.settings.fields,
            alone,
            [said[place] for place in places],
            as_objects=self.as_objects,
        )
        return self._in_place(places, found)

    def _in_place(self, places: Sequence[int], own: dict[str, Column]) -> dict[str, Column]:
        columns = {name: np.zeros(len(self.measured.examples)) for name in own}
        for name, values in own.items():
            columns[name][list(places)] = values
        return columns

    def _paraphrases(self, said: Sequence[str]) -> dict[str, Column]:
        column = self.settings.paraphrases
        if column is None:
            return {}
        others = paraphrases_of(self.measured, column)
        answers = self.engine.generate([example for _, example in others], self.sampling)
        texts = [*said, *(answer.text for answer in answers)]
        owners = [example.example_id for example in self.measured.examples]
        groups = [*owners, *(owners[place] for place, _ in others)]
        found = score_paraphrases(self.settings.fields, texts, groups, as_objects=self.as_objects)
        # A group stands at its first member, which is the example itself.
        return {name: values[: len(said)] for name, values in found.items()}


def paraphrases_of(measured: Measured, column: str) -> list[tuple[int, Example]]:
    """The examples with another wording of their last turn.

    Args:
        measured: the examples.
        column: of their rows: a text, or a list of them.

    Returns:
        The place of the example that each says in other words, and the paraphrase.

    Raises:
        InputError: no row has the column, or it holds something else.
    """
    found = []
    for place, (example, fields) in enumerate(zip(measured.examples, measured.fields, strict=True)):
        for number, text in enumerate(_wordings(find(fields, column), example, column), 1):
            prompt = (*example.prompt[:-1], Message(example.prompt[-1].role, text))
            name = f"{example.example_id}~{number}"
            found.append((place, replace(example, example_id=name, prompt=prompt)))
    if not found:
        raise InputError(
            f"evaluate.paraphrases: no example of the {measured.part} has a text in {column!r}",
            "name a column of the rows that holds another wording, or a list of them",
        )
    return found


def _wordings(value: Any, example: Example, column: str) -> list[str]:
    values = value if isinstance(value, list) else [] if value in (None, MISSING) else [value]
    if not all(isinstance(text, str) for text in values):
        raise InputError(
            f"evaluate.paraphrases: {column!r} of example {example.example_id} holds "
            f"{type(next(text for text in values if not isinstance(text, str))).__name__}",
            "a paraphrase is a text, or a list of texts",
        )
    return [text for text in values if text.strip()]


def spread(size: int, wanted: int) -> list[int]:
    """At most `wanted` places of `size`, at equal distances, so that no end is left out."""
    count = min(size, wanted)
    return [round(place) for place in np.linspace(0, size - 1, count).tolist()]
