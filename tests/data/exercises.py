"""Multiple choice questions of the shared data, and the ways in which they are printed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

LABELS = "ABCDEFGH"
MARKERS: dict[str, Callable[[int], str]] = {
    "(a)": lambda place: f"({LABELS[place].lower()}) ",
    "(A)": lambda place: f"({LABELS[place]}) ",
    "a)": lambda place: f"{LABELS[place].lower()}) ",
    "A)": lambda place: f"{LABELS[place]}) ",
    "A.": lambda place: f"{LABELS[place]}. ",
    "a.": lambda place: f"{LABELS[place].lower()}. ",
    "A:": lambda place: f"{LABELS[place]}: ",
    "1.": lambda place: f"{place + 1}. ",
    "1)": lambda place: f"{place + 1}) ",
}
FILES = (
    "mcq/arc_challenge_val.jsonl",
    "mcq/commonsense_qa_val.jsonl",
    "mcq/mmlu_business_religion_history.jsonl",
    "mcq/aqua_dev.jsonl",
    "mcq/agieval_sat_math.jsonl",
)


@dataclass(frozen=True)
class Exercise:
    """One question with its options, and the place of the right one."""

    stem: str
    options: tuple[str, ...]
    right: int

    def printed(self, marker: str, *, on_lines: bool) -> str:
        """The text as an exam has it."""
        mark, space = MARKERS[marker], "\n" if on_lines else " "
        options = (f"{mark(place)}{text}" for place, text in enumerate(self.options))
        return space.join([self.stem, *options])


def exercises_of(path: Path) -> list[Exercise]:
    """The questions of one file, in whichever of the five forms it has."""
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [_exercise(record) for record in records if record.get("options", True)]


def _exercise(record: dict) -> Exercise:
    if "correct" in record:
        texts = tuple(option[2:] for option in record["options"])
        return Exercise(record["question"], texts, LABELS.index(record["correct"]))
    if "options" in record:
        stem = f"{record['passage']}\n{record['question']}".lstrip("\n")
        texts = tuple(option[3:] for option in record["options"])
        return Exercise(stem, texts, LABELS.index(record["label"]))
    if isinstance(record["choices"], list):
        return Exercise(record["question"], tuple(record["choices"]), record["answer"])
    choices = record["choices"]
    right = choices["label"].index(record["answerKey"])
    return Exercise(record["question"], tuple(choices["text"]), right)
