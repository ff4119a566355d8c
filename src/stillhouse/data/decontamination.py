"""The step that ends rows which share a long run of words with an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Drop, Keep, Outcome, Row
from stillhouse.data.overlap import SharedRuns
from stillhouse.data.readers import read_rows, require_unchanged
from stillhouse.data.row_texts import texts_of
from stillhouse.data.words import words_of
from stillhouse.recipes.rows import Source
from stillhouse.recipes.text_steps import Decontaminate

IN_EVALUATION = "stands in the evaluation"

_SHOWN_WORDS = 13


class Evaluation:
    """The words of texts that nothing may be learned from.

    Args:
        texts: (where a person finds it, text) of each.
        words: of the shortest run that counts; a shorter text counts as a whole.
    """

    def __init__(self, texts: Sequence[tuple[str, str]], words: int) -> None:
        cut = [(where, words_of(text)) for where, text in texts]
        self._long = [(where, units) for where, units in cut if len(units) >= words]
        self._short = {
            tuple(units): where for where, units in reversed(cut) if 0 < len(units) < words
        }
        self._runs = SharedRuns([units for _, units in self._long], words)

    def evidence(self, text: str) -> str:
        """What a text shares with one of them; empty where it shares nothing."""
        units = words_of(text)
        short = self._short.get(tuple(units))
        if short:
            return f"all {len(units)} words of {short}: {' '.join(units)!r}"
        if not self._runs.may_share(units):
            return ""
        run = self._runs.longest(units)
        if not run.length:
            return ""
        where, _ = self._long[run.source]
        shown = " ".join(units[run.start : run.start + min(run.length, _SHOWN_WORDS)])
        return f"{run.length} words of {where}: {shown!r}"


@dataclass(frozen=True, slots=True)
class DecontaminateStep:
    """Ends the rows that share a run of words with the rows of a file.

    Attributes:
        wanted: the recipe's settings, with where the file lies.
        digest: of the file's content.
    """

    wanted: Decontaminate
    digest: str
    name: str = "decontaminate"
    version: int = 1
    kind: str = "map"

    def process(self, batch: Sequence[Row]) -> list[Outcome]:
        """Keep the rows that share none."""
        evaluation = read_evaluation(self.wanted, self.digest)
        return [self._judge(row, evaluation) for row in batch]

    def _judge(self, row: Row, evaluation: Evaluation) -> Outcome:
        for field, text in texts_of(row.fields, self.wanted.fields):
            evidence = evaluation.evidence(text)
            if evidence:
                return Drop(row, IN_EVALUATION, f"{field}: {evidence}")
        return Keep(row)


@lru_cache(maxsize=4)  # a process works on many shards; an evaluation is read and sorted once
def read_evaluation(wanted: Decontaminate, digest: str) -> Evaluation:
    """The texts of an evaluation's file.

    Args:
        wanted: file, fields and words.
        digest: of the file's content.

    Returns:
        The same object for the same arguments, as long as the process lives.

    Raises:
        InputError: it cannot be read, is another file by now, or has no text in these fields.
    """
    require_unchanged(Path(wanted.file), digest)
    rows = read_rows(Source(file=wanted.file), Path())
    texts = [(row.provenance, text) for row in rows for _, text in texts_of(row.fields, wanted.of)]
    if not any(text.strip() for _, text in texts):
        raise InputError(
            f"{wanted.file} has no text in {', '.join(wanted.of) or 'any field'} to hold the rows "
            "against",
            "name its fields in the step's `of`",
        )
    return Evaluation(texts, wanted.words)
