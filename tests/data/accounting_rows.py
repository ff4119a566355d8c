"""A spreadsheet of questions as one finds it, put together of real rows of the shared data.

Multiple choice (ARC, CommonsenseQA, MMLU with its accounting part, AQuA) in every marker style,
blanks (Winogrande, ParaRel), finance (TAT-QA), short questions (NQ). Marked rows, copies, second
answers and rows about a chapter are put among them.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from random import Random

from tests.data.exercises import FILES, LABELS, MARKERS, exercises_of

COLUMNS = ("Question", "Answer", "Classification", "Correction_Question")
Pair = tuple[str, str]


def pairs_of(data: Path) -> Iterator[Pair]:
    """Questions with their answers, file by file."""
    yield from _choices(data)
    yield from _blanks(data)
    yield from _finance(data)
    yield from _short(data)


def _choices(data: Path) -> Iterator[Pair]:
    markers = [*MARKERS]
    for number, name in enumerate(FILES[:4]):
        for at, one in enumerate(exercises_of(data / name)[:400]):
            marker = markers[(at + number) % len(markers)]
            letter, text = LABELS[one.right], one.options[one.right]
            if marker.startswith("1"):
                letter = str(one.right + 1)
            said = (letter, f"({letter.lower()})", text)[at % 3]
            yield one.printed(marker, on_lines=at % 2 == 0), said


def _blanks(data: Path) -> Iterator[Pair]:
    for line in (data / "cloze/winogrande_val_first.jsonl").read_text().splitlines()[:400]:
        one = json.loads(line)
        yield one["sentence"].replace("_", "____"), one[f"option{one['answer']}"]
    for line in (data / "cloze/pararel_a.jsonl").read_text().splitlines():
        one = json.loads(line)
        for subject, answer in one["facts"][:12]:
            yield one["patterns"][0].replace("[X]", subject).replace("[Y]", "______"), answer


def _finance(data: Path) -> Iterator[Pair]:
    for table in json.loads((data / "finance/tatqa_dev_half.json").read_text()):
        for one in table["questions"]:
            said = one["answer"]
            text = ", ".join(map(str, said)) if isinstance(said, list) else str(said)
            yield one["question"], f"{text} {one['scale']}".strip()


def _short(data: Path) -> Iterator[Pair]:
    lines = (data / "instruct/nq_open_val_0_1200.jsonl").read_text().splitlines()[:500]
    for at, line in enumerate(lines):
        one = json.loads(line)
        for said in one["answer"][: 1 + (at % 5 == 0)]:
            yield one["question"], said


def write_spreadsheet(data: Path, path: Path) -> dict[str, int]:
    """The CSV file, with what was put into it.

    Args:
        data: the shared data.
        path: of the file.

    Returns:
        Rows in all, and of each kind that is planted.
    """
    rng = Random(7)
    rows = [[question, answer, "yes", "valid"] for question, answer in pairs_of(data)]
    planted = {"no": 0, "invalid": 0, "copy": 0, "chapter": 0}
    for at, row in enumerate(rows):
        if at % 40 == 7:
            row[2], planted["no"] = rng.choice(("no", "No ")), planted["no"] + 1
        elif at % 90 == 11:
            row[3], planted["invalid"] = "invalid", planted["invalid"] + 1
    copies = [list(row) for at, row in enumerate(rows) if at % 50 == 3]
    chapters = [
        [f"{text} chapter {at} of the syllabus, exercise {at + 3}", "see there", "yes", "valid"]
        for at, text in enumerate(("Read", "Refer to", "Study", "Look up", "Summarise") * 4)
    ]
    planted |= {"copy": len(copies), "chapter": len(chapters)}
    rows += copies + chapters
    rng.shuffle(rows)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        writer.writerows(rows)
    return planted | {"rows": len(rows)}
