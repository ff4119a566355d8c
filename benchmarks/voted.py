"""Questions that several people answered, with their votes as class targets and their groups.

Rows go through the project's own `prepare`: it cleans the texts, and says which rows must stay on
one side of a split. Votes are shares of the people who answered, without any smoothing.

Legend: N questions, C classes.
"""

from __future__ import annotations

import csv
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.core.targets import ClassTargets
from stillhouse.data.prepare import prepare_rows
from stillhouse.data.readers import build_rows
from stillhouse.recipes.rows import Drop, Prepare, Split

Record = dict[str, Any]
"""`parts`: the texts of each candidate answer, or of the question alone; `votes`: class to count;
`same`: what a twin of the question shares with it."""

_NLI = ("entailment", "neutral", "contradiction")
_SCALE = ("1", "0", "-1", "-2", "-3")
_PLACES = ("ans_0", "ans_1", "ans_2")


@dataclass(frozen=True, slots=True)
class VoteSet:
    """One set of questions.

    Attributes:
        name: of the set.
        classes: C names.
        targets: N, the votes as the project's class targets.
        counts_NC: (N, C) votes.
        parts: N times the texts of each candidate; one candidate where all questions share their
            classes.
        group_N: (N,) int, equal where two questions must not be parted.
    """

    name: str
    classes: tuple[str, ...]
    targets: tuple[ClassTargets, ...]
    counts_NC: NDArray[np.float64]
    parts: tuple[tuple[tuple[str, ...], ...], ...]
    group_N: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def probs_NC(self) -> NDArray[np.float64]:
        """(N, C), what the targets say."""
        return np.exp(np.stack([target.logprobs for target in self.targets]))


def ambient(folder: Path) -> Iterator[Record]:
    """Premise and hypothesis, one of them ambiguous or made clear; 9 people, 3 classes.

    The ambiguous pair and its three clear readings share most of their words, so they stay
    together.
    """
    path = folder / "ambient_crowd9_even.jsonl"
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        given = {"premise": row["premise"], "hypothesis": row["hypothesis"]}
        readings = [{}, *({row["ambiguous_sent"]: text} for text in row["interpretations"])]
        for number, reading in enumerate(readings):
            pair = given | reading
            yield {
                "parts": [[pair["premise"], pair["hypothesis"]]],
                "votes": Counter(row[f"q{number}_gold"]),
                "same": str(row["id"]),
            }


def bbq(folder: Path) -> Iterator[Record]:
    """Context, question and three options; 5 people. The classes are places of the options.

    Questions of one category are made from few templates with other names in them, so a whole
    category stays together.
    """
    votes: dict[str, Counter[str]] = defaultdict(Counter)
    asked: dict[str, tuple[str, list[list[str]]]] = {}
    with (folder / "bbq_mcq_validation_round1_1.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            for number in range(1, 6):
                own = {key[3:]: text for key, text in row.items() if key.startswith(f"q{number}_")}
                votes[own["uid"]][row[f"Answer.q{number}"]] += 1
                options = [[own["input"], own["question"], own[place]] for place in _PLACES]
                asked[own["uid"]] = own["cat"], options
    for name, (category, options) in asked.items():
        yield {"parts": options, "votes": votes[name], "same": category}


def convabuse(folder: Path) -> Iterator[Record]:
    """The end of a conversation; up to 8 people on a scale from 1 (none) to -3 (strong abuse)."""
    with (folder / "convabuse_valid.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            votes = Counter(
                step
                for step in _SCALE
                for person in range(1, 9)
                if row[f"Annotator{person}_is_abuse.{step}"] == "1"
            )
            texts = [row[name] for name in ("prev_agent", "prev_user", "agent", "user")]
            yield {"parts": [texts], "votes": votes, "same": row["conv_id"]}


def goemotions(folder: Path) -> Iterator[Record]:
    """A comment with the emotions that at least two raters agreed on.

    No votes are told: every agreed label gets an equal share here, and what one rater alone saw
    is not there. Five comments of six have one label, and so no soft side at all.
    """
    names = (folder / "goemotions_labels.txt").read_text(encoding="utf-8").split()
    with (folder / "goemotions_dev.tsv").open(encoding="utf-8", newline="") as file:
        for text, ids, _ in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            votes = Counter(names[int(number)] for number in ids.split(","))
            yield {"parts": [[text]], "votes": votes, "same": ""}


SETS: dict[str, tuple[Callable[[Path], Iterator[Record]], tuple[str, ...]]] = {
    "AmbiEnt": (ambient, _NLI),
    "BBQ": (bbq, _PLACES),
    "ConvAbuse": (convabuse, _SCALE),
    "GoEmotions": (goemotions, ()),
}
"""Reader and classes; without classes, those that occur."""


def read_votes(name: str, folder: Path) -> VoteSet:
    """One of `SETS`.

    Args:
        name: of the set.
        folder: where its file is.

    Returns:
        Its questions in the order of the file; equal questions share a group.
    """
    reader, classes = SETS[name]
    records = list(reader(folder))
    classes = classes or tuple(sorted({vote for record in records for vote in record["votes"]}))
    rows = list(build_rows([(f"{name}:{at}", record) for at, record in enumerate(records)]))
    prepare = Prepare(
        user="{parts}",
        answer="votes",
        drop=Drop(duplicates=False),
        split=Split(parts={"holdout": "rest"}, group_by=("same",)),
    )
    groups = {one.example_id: one.group for one in prepare_rows(rows, prepare).examples}
    kept = [(row.row_id, row.fields) for row in rows if row.row_id in groups]
    counts_NC = np.array([[held["votes"].get(one, 0.0) for one in classes] for _, held in kept])
    _, group_N = np.unique([groups[row_id] for row_id, _ in kept], return_inverse=True)
    with np.errstate(divide="ignore"):
        logprobs_NC = np.log(counts_NC / counts_NC.sum(1, keepdims=True))
    return VoteSet(
        name=name,
        classes=classes,
        # A vote is for the whole answer, so both logs are one.
        targets=tuple(
            ClassTargets(row_id, classes, own, own)
            for (row_id, _), own in zip(kept, logprobs_NC, strict=True)
        ),
        counts_NC=counts_NC,
        parts=tuple(tuple(map(tuple, held["parts"])) for _, held in kept),
        group_N=group_N.astype(np.int64),
    )
