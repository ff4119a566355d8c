"""The teacher's size and time over the student's, and what is claimed of a pair of models."""

from __future__ import annotations

from collections.abc import Iterator

from stillhouse.report.findings import ClaimRow, Ratio, SizeRow
from stillhouse.report.numbers import number_text

ENOUGH_REQUESTS = 20
"""assumption: of fewer the median is whatever the machine did besides."""

_SIZE, _TIME = ("smaller", "larger"), ("faster", "slower")

_GPT2_LARGE, _DISTILGPT2 = 774_030_080, 81_912_576
"""Parameters, by which the pair is known wherever its weights come from."""


def ratios_of(teacher: SizeRow, student: SizeRow) -> Iterator[Ratio]:
    """What is smaller and faster, and by how much.

    Args:
        teacher: its sizes and times.
        student: of the student, timed on the same machine.

    Yields:
        Parameters, bytes for each pair of dtypes, bytes on disk, and times; what is not known of
        both is left out.
    """
    yield from _ratio("parameters", teacher.parameters, student.parameters, _SIZE)
    for dtype, size in teacher.bytes_by_dtype.items():
        for own, own_size in student.bytes_by_dtype.items():
            for ratio in _ratio(f"{dtype} to {own}", size, own_size, _SIZE):
                yield ratio.model_copy(update={"is_pair": True})
    yield from _ratio("bytes on disk", teacher.disk_bytes, student.disk_bytes, _SIZE)
    name = _latency_name(teacher, student)
    yield from _ratio(name, teacher.latency_p50_s, student.latency_p50_s, _TIME)
    yield from _ratio("time an answer, side by side", _pace(teacher), _pace(student), _TIME)


def claims_of(teacher: SizeRow, student: SizeRow) -> Iterator[ClaimRow]:
    """What is claimed of these two models, beside what was measured.

    Args:
        teacher: its sizes and times.
        student: of the student.

    Yields:
        Nothing for pairs of which nothing is claimed.
    """
    if (teacher.parameters, student.parameters) != (_GPT2_LARGE, _DISTILGPT2):
        return
    found = {ratio.name: ratio for ratio in ratios_of(teacher, student)}
    fewer = 1 - 1 / found["parameters"].value
    yield ClaimRow(claim="89 % fewer parameters", measured=f"{100 * fewer:.1f} % fewer")
    mixed, same = found.get("bfloat16 to float32"), found.get("float32 to float32")
    yield ClaimRow(
        claim="about 4.7 times smaller on disk",
        measured=f"{number_text(mixed.value)} times" if mixed else "",
        note="a teacher of 16 bits and a student of 32"
        + (f"; of the same dtype {number_text(same.value)} times" if same else ""),
    )
    latency = next((one for name, one in found.items() if name.startswith("latency")), None)
    yield ClaimRow(
        claim="6 to 8 times faster",
        measured=latency.words if latency else "",
        note=f"{latency.name} of single requests, medians, the answers as long as each model "
        "writes them"
        if latency
        else "add evaluate.latency: {examples: 20}",
    )


def _latency_name(teacher: SizeRow, student: SizeRow) -> str:
    """Which latency it is: of how few requests, and in which dtypes where they differ."""
    name = "latency"
    count = min(teacher.latency_n, student.latency_n)
    if count < ENOUGH_REQUESTS:
        name += f" of {count} requests"
    if teacher.dtype and student.dtype and teacher.dtype != student.dtype:
        name += f", {teacher.dtype} to {student.dtype}"
    return name


def _pace(row: SizeRow) -> float | None:
    return 60.0 / row.per_minute if row.per_minute else None


def _ratio(
    name: str, teacher: float | None, student: float | None, words: tuple[str, str]
) -> Iterator[Ratio]:
    if not teacher or not student:
        return
    value = teacher / student
    if value == 1:
        said = "the same"
    else:
        said = f"{number_text(max(value, 1 / value))} times {words[value < 1]}"
    yield Ratio(name=name, value=value, words=said)
