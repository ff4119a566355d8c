"""A multiple choice question inside a text: its stem, and its options with their labels.

Options are found by their markers, which must follow each other from the first label on: `(a)`,
`a)`, `A.`, `a:` or digits, all of one kind, each on a line of its own or all in one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

FEWEST_OPTIONS = 2
_LETTERS = "abcdefghijklmnopqrstuvwxyz"

# A label follows a space or opens a line. In brackets it may follow anything: `(A)2(B)4` is how
# exams are printed.
_LABEL = r"(?P<label>[A-Za-z]|[0-9]{1,2})"
_MARKERS = (
    re.compile(rf"\({_LABEL}\)"),
    re.compile(rf"(?<!\S){_LABEL}\)"),
    re.compile(rf"(?<!\S){_LABEL}\.(?!\d)"),
    re.compile(rf"(?<!\S){_LABEL}:(?!\d)"),
)
_KINDS = ("upper", "lower", "digit")

_MENTIONED_AFTER = re.compile(
    r"(?:\b(?:and|or|both|either|neither|nor|than|options?|choices?|answers?|parts?|figures?|"
    r"equations?|steps?)|[,&/])\s*$",
    re.IGNORECASE,
)
_MENTIONED_BEFORE = re.compile(r"\s*(?:(?:and|or|nor|only)\b|[,&/;.)]|$)", re.IGNORECASE)
_NO_TEXT = re.compile(r"(?:\b(?:and|or|nor)\b|[\s,;.&/])*")
_LINE_START = re.compile(r"^[^\S\n]*", re.MULTILINE)
_BLANK_LINE = re.compile(r"\n[ \t]*\n")


@dataclass(frozen=True, slots=True)
class Option:
    """One option: its label as written, without brackets, and its text."""

    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Choices:
    """A multiple choice question.

    Attributes:
        stem: the question before its options.
        options: in order, at least two.
        rest: text behind the options, apart from them by a blank line.
    """

    stem: str
    options: tuple[Option, ...]
    rest: str = ""


@dataclass(frozen=True, slots=True)
class _Marker:
    """Where a label stands: `start` and `end` of the marker, `place` of the label in its row."""

    start: int
    end: int
    place: int
    label: str
    opens_line: bool


def find_choices(text: str) -> Choices | None:
    """The multiple choice question that a text holds.

    Args:
        text: any.

    Returns:
        None where no two markers follow each other, or there is no question before them.
    """
    openings = frozenset(match.end() for match in _LINE_START.finditer(text))
    found = [
        choices
        for pattern in _MARKERS
        for kind in _KINDS
        if (choices := _read(text, _markers(text, pattern, kind, openings))) is not None
    ]
    return max(found, key=lambda one: len(one.options), default=None)


def _markers(
    text: str, pattern: re.Pattern[str], kind: str, openings: frozenset[int]
) -> list[_Marker]:
    return [
        _Marker(*match.span(), _place(match["label"]), match["label"], match.start() in openings)
        for match in pattern.finditer(text)
        if _kind(match["label"]) == kind
    ]


def _kind(label: str) -> str:
    return "digit" if label.isdecimal() else "upper" if label.isupper() else "lower"


def _place(label: str) -> int:
    return int(label) - 1 if label.isdecimal() else _LETTERS.index(label.lower())


def _read(text: str, markers: Sequence[_Marker]) -> Choices | None:
    """The question that markers of one form make, if they make one."""
    opening = [marker for marker in markers if marker.opens_line]
    unmentioned = [one for one in markers if one.opens_line or not _is_mentioned(text, one)]
    for ways in ((opening,), (unmentioned, markers)):
        row = max((_longest_row(text, way) for way in ways), key=len)
        if len(row) >= FEWEST_OPTIONS:
            return _cut(text, row)
    return None


def _is_mentioned(text: str, marker: _Marker) -> bool:
    """Whether a label is spoken of, as in `both (a) and (b)`, and opens no option."""
    before = text[max(0, marker.start - 20) : marker.start]
    return bool(_MENTIONED_AFTER.search(before) or _MENTIONED_BEFORE.match(text, marker.end))


def _longest_row(text: str, markers: Sequence[_Marker]) -> list[_Marker]:
    """The longest row of labels from the first on; of equal ones that which starts last."""
    stem = len(text) - len(text.lstrip())
    rows: dict[int, list[_Marker]] = {}  # length to the row of that length which starts last
    best: list[_Marker] = []
    for marker in markers:
        row: list[_Marker] = []
        if marker.place:
            row = rows.get(marker.place, [])
            if not row or _NO_TEXT.fullmatch(text, row[-1].end, marker.start):
                continue
            del rows[marker.place]
        elif marker.start <= stem:
            continue
        row = [*row, marker]
        rows[len(row)] = row
        if len(row) >= len(best) and not _NO_TEXT.fullmatch(text, marker.end):
            best = row
    return best


def _cut(text: str, row: Sequence[_Marker]) -> Choices:
    ends = [marker.start for marker in row[1:]]
    last, _, rest = _split_once(_BLANK_LINE, text[row[-1].end :])
    pieces = [text[marker.end : end] for marker, end in zip(row, ends, strict=False)]
    options = tuple(
        Option(marker.label, piece.strip())
        for marker, piece in zip(row, [*pieces, last], strict=True)
    )
    return Choices(text[: row[0].start].rstrip(), options, rest.strip())


def _split_once(pattern: re.Pattern[str], text: str) -> tuple[str, str, str]:
    match = pattern.search(text)
    return (text[: match.start()], match[0], text[match.end() :]) if match else (text, "", "")
