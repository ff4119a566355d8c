"""What a text has word for word from texts that a model was trained on.

Two uses: answers of a candidate held against the training answers (did it learn by heart?), and
the holdout held against the training rows (was it seen?). A text shorter than the run that counts
can share none, so that it is not counted either way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rapidfuzz import fuzz, process

from stillhouse.core.errors import UsageError
from stillhouse.data.overlap import SharedRuns
from stillhouse.data.words import words_of
from stillhouse.evals.metric import Metric
from stillhouse.evals.scores import COUNT, Column

RUN_WORDS = 13
"""paper: Brown et al. 2020, arXiv:2005.14165, appendix C: runs of 13 words are not chance."""
RUN_TOKENS = 50
"""paper: Carlini et al. 2023, arXiv:2202.07646, section 3: 50 tokens said again are learned by
heart. For token ids, `SharedRuns(ids, RUN_TOKENS)`."""
NEAR_COPY = 0.9
"""assumption: one letter in twenty changed on each side is a copy for any reader."""


@dataclass(frozen=True, slots=True)
class Copied:
    """A text that shares a long run with a source, or nearly is one.

    Attributes:
        text: its number.
        source: the source's number.
        passage: what they share, as folded words; empty for a near copy without such a run.
        num_words: of the passage.
        likeness: of both texts whole, in [0, 1]; 0 where it is below what counts.
    """

    text: int
    source: int
    passage: str
    num_words: int
    likeness: float


@dataclass(frozen=True, slots=True)
class Memory:
    """What was found.

    Attributes:
        columns: `memorised` and `memorised_asked` (N,) 0 or 1; `longest_run` (N,) words of the
            longest shared run, 0 below the run that counts; `near_copy` (N,) 0 or 1.
        examples: every text that counts, the longest passage first.
    """

    columns: dict[str, Column]
    examples: tuple[Copied, ...]


def find_copied(
    texts: Sequence[str],
    sources: Sequence[str],
    *,
    run_words: int = RUN_WORDS,
    near_copy: float = NEAR_COPY,
) -> Memory:
    """What texts have from sources.

    Args:
        texts: a candidate's answers, or the prompts of the holdout.
        sources: the training answers, or the training prompts.
        run_words: the shortest shared run that counts, in words.
        near_copy: the likeness of whole texts from which on one is a near copy, in (0, 1].

    Returns:
        One row of the columns a text. The near copies cost time with texts times sources.

    Raises:
        UsageError: the run or the likeness is out of range.
    """
    if not 0.0 < near_copy <= 1.0:
        raise UsageError(f"near_copy is {near_copy}", "use a likeness above 0 and at most 1")
    spoken = [words_of(text) for text in texts]
    learned = [words_of(source) for source in sources]
    runs = SharedRuns(learned, run_words)
    nearest = _Nearest([" ".join(words) for words in learned], near_copy)
    found = []
    for number, words in enumerate(spoken):
        run = runs.longest(words)
        likeness, nearest_source = nearest.find(" ".join(words))
        passage = " ".join(words[run.start : run.start + run.length])
        source = run.source if run.length else nearest_source
        found.append(Copied(number, source, passage, run.length, likeness))
    columns = {
        "memorised": np.array([float(one.num_words > 0) for one in found]),
        "memorised_asked": np.array([float(len(words) >= run_words) for words in spoken]),
        "longest_run": np.array([float(one.num_words) for one in found]),
        "near_copy": np.array([float(one.likeness > 0) for one in found]),
    }
    copied = [one for one in found if one.num_words or one.likeness]
    return Memory(columns, tuple(sorted(copied, key=lambda one: (-one.num_words, -one.likeness))))


class _Nearest:
    def __init__(self, sources: Sequence[str], at_least: float) -> None:
        # By length, because texts of very different lengths cannot be alike.
        kept = [(len(source), number) for number, source in enumerate(sources) if source]
        self._order = sorted(kept)
        self._lengths = np.array([length for length, _ in self._order])
        self._texts = [sources[number] for _, number in self._order]
        self._at_least = at_least

    def find(self, text: str) -> tuple[float, int]:
        """Likeness and number of the likest source; 0 where none is alike enough."""
        if not text:
            return 0.0, 0
        # Likeness is 2 * shared / (sum of lengths), and the shared part is at most the shorter.
        narrow = self._at_least / (2.0 - self._at_least)
        first = int(np.searchsorted(self._lengths, len(text) * narrow - 1e-9))
        last = int(np.searchsorted(self._lengths, len(text) / narrow + 1e-9, side="right"))
        found = process.extractOne(
            text,
            self._texts[first:last],
            scorer=fuzz.ratio,
            score_cutoff=100.0 * self._at_least,
        )
        if found is None:
            return 0.0, 0
        _, likeness, place = found
        return likeness / 100.0, self._order[first + place][1]


METRICS = (
    Metric(
        "memorised_rate",
        "Learned by heart",
        "lower",
        f"Share of answers with a run of {RUN_WORDS} or more words that stands in a training "
        "answer, among answers that are as long.",
        ("memorised", "memorised_asked"),
        counted="memorised_asked",
        is_fraction=True,
        source="Brown et al. 2020, arXiv:2005.14165, appendix C",
    ),
    Metric(
        "near_copy_rate",
        "Near copies",
        "lower",
        f"Share of answers that are {NEAR_COPY:g} like a training answer, letter by letter.",
        ("near_copy", COUNT),
        is_fraction=True,
        source="rapidfuzz, fuzz.ratio",
    ),
)
