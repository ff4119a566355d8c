"""An audit of a corpus or of a candidate's answers by declared probes, with intervals.

Rows of one prompt are one example: they are resampled together. Two candidates are compared
prompt by prompt.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stillhouse.core.errors import InputError
from stillhouse.data.words import words_of
from stillhouse.evals import self_bleu, spread, styles
from stillhouse.evals.bootstrap import Estimate, Resampling
from stillhouse.evals.compare import compare
from stillhouse.evals.diversity import score_units, word_metrics
from stillhouse.evals.estimates import estimate_metric
from stillhouse.evals.metric import Metric
from stillhouse.evals.probe_file import Probe
from stillhouse.evals.scores import Column, Scores
from stillhouse.evals.tags import (
    CLASS,
    TEXTS,
    TRADITION,
    TagFinder,
    distance_metric,
    score_tags,
    share_metric,
    tag_metrics,
)

Row = Mapping[str, Any]
MOST_SHARES = 12
"""assumption: a list of more shares is no longer read; top, least and evenness tell of them."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One figure of a probe.

    Attributes:
        probe: that it is of.
        metric: with its definition.
        estimate: on prompts drawn with replacement; its n is of texts.
        num_prompts: that were drawn from.
    """

    probe: Probe
    metric: Metric
    estimate: Estimate
    num_prompts: int


@dataclass(frozen=True, slots=True)
class Shift:
    """One figure of a probe before and after, or of a base and its student.

    Attributes:
        probe: that it is of.
        metric: with its definition.
        before: the base's.
        after: the student's.
        difference: after minus before, paired by prompt.
        num_prompts: that were drawn from.
    """

    probe: Probe
    metric: Metric
    before: Estimate
    after: Estimate
    difference: Estimate
    num_prompts: int


def audit(rows: Sequence[Row], probes: Iterable[Probe], resampling: Resampling) -> list[Finding]:
    """Every figure of every probe.

    Args:
        rows: with the fields that the probes read.
        probes: what is looked for.
        resampling: how the intervals are made.

    Returns:
        In the order of the probes; a figure that is not defined on these rows is left out.

    Raises:
        InputError: a row lacks a field, or a probe finds no row to look into.
    """
    found = []
    for probe in probes:
        texts = _texts_by_prompt(probe, rows)
        scores = _measure(probe, texts, _most(texts))
        for metric in _metrics(probe, scores):
            estimate = _estimate(metric, scores, resampling)
            if math.isfinite(estimate.value):
                found.append(Finding(probe, metric, estimate, len(scores)))
    return found


def compare_audits(
    before: Sequence[Row], after: Sequence[Row], probes: Iterable[Probe], resampling: Resampling
) -> list[Shift]:
    """What changed between two sets of answers to the same prompts.

    Args:
        before: answers of the base.
        after: answers of the student.
        probes: what is looked for; each names its `prompt`.
        resampling: equal seeds draw the same prompts for both.

    Returns:
        In the order of the probes; a figure that is not defined on either side is left out.

    Raises:
        InputError: the prompts differ, a probe names none, or as for `audit`.
    """
    shifts = []
    for probe in probes:
        first, second = (_texts_by_prompt(probe, rows) for rows in (before, after))
        _refuse_other_prompts(probe, first, second)
        second = {name: second[name] for name in first}
        most = max(_most(first), _most(second))
        own, other = (_measure(probe, texts, most) for texts in (second, first))
        for metric in _metrics(probe, own):
            shift = Shift(
                probe,
                metric,
                _estimate(metric, other, resampling),
                _estimate(metric, own, resampling),
                compare(metric, own, other, "difference", resampling),
                len(own),
            )
            if math.isfinite(shift.difference.value):
                shifts.append(shift)
    return shifts


def _estimate(metric: Metric, scores: Scores, resampling: Resampling) -> Estimate:
    """Within its scale, though a resample in which nothing is counted may lie anywhere."""
    found = estimate_metric(metric, scores, resampling)
    if metric.bounds is None:
        return found
    least, greatest = metric.bounds
    return dataclasses.replace(found, low=max(found.low, least), high=min(found.high, greatest))


def _refuse_other_prompts(probe: Probe, first: Iterable[str], second: Iterable[str]) -> None:
    if probe.prompt is None:
        raise InputError(
            f"the probe {probe.name} cannot be compared: it names no prompt",
            "give the field that names the prompt under prompt",
        )
    alone = sorted(set(first) ^ set(second))
    if alone:
        raise InputError(
            f"the probe {probe.name}: {len(alone)} prompts were answered by one side alone, such "
            f"as {alone[0]!r}",
            "compare answers to the same prompts",
        )


def _texts_by_prompt(probe: Probe, rows: Sequence[Row]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for number, row in enumerate(rows):
        if any(str(_value(probe, row, field, number)) not in wanted
               for field, wanted in probe.only.items()):  # fmt: skip
            continue
        value = _value(probe, row, probe.text, number)
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise InputError(
                f"row {number}: {probe.text} is {value!r:.60}, not a text or a list of texts"
            )
        named = None if probe.prompt is None else _value(probe, row, probe.prompt, number)
        # Rows that name no prompt are not answers to one.
        found.setdefault(f"row {number}" if named is None else str(named), []).extend(texts)
    if not any(found.values()):
        raise InputError(
            f"the probe {probe.name} finds no text in {len(rows)} rows",
            f"look at its text ({probe.text}) and only ({dict(probe.only)})",
        )
    return found


def _value(probe: Probe, row: Row, field: str, number: int) -> Any:
    if field not in row:
        raise InputError(
            f"row {number} has no field {field!r}, which the probe {probe.name} reads",
            f"its fields: {', '.join(row)}",
        )
    return row[field]


def _most(texts: Mapping[str, list[str]]) -> int:
    return max(map(len, texts.values()))


def _measure(probe: Probe, texts: Mapping[str, list[str]], most: int) -> Scores:
    """Columns of a probe, one row a prompt; as if each prompt had `most` answers."""
    answers = list(texts.values())
    if probe.kind == "words":
        columns = _word_columns(answers, most)
    elif probe.kind == "contexts":
        columns = spread.score_spread(answers)
    elif probe.kind == "style":
        columns = _summed(styles.score_styles([t for own in answers for t in own]), answers)
    else:
        columns = tag_columns(probe, answers)
    return Scores(tuple(texts), columns)


def _word_columns(answers: Sequence[Sequence[str]], most: int) -> dict[str, Column]:
    units = [[words_of(text) for text in own] + [[]] * (most - len(own)) for own in answers]
    flat = [text for own in answers for text in own]
    return score_units(units) | _summed(self_bleu.score_self_bleu(flat), answers)


def _summed(columns: Mapping[str, Column], answers: Sequence[Sequence[str]]) -> dict[str, Column]:
    """Columns of texts, summed for each prompt, and how many texts it has."""
    counts = np.array([len(own) for own in answers])
    owner = np.repeat(np.arange(len(answers)), counts)
    summed = {
        name: np.bincount(owner, values, minlength=len(answers)).astype(np.float64)
        for name, values in columns.items()
    }
    return summed | {TEXTS: counts.astype(np.float64)}


def tag_columns(
    probe: Probe, answers: Sequence[Sequence[str]], name: str = ""
) -> dict[str, Column]:
    """The columns of a probe that counts tags or values.

    Args:
        probe: of the kind `classes` or `traditions`.
        answers: of each prompt its texts.
        name: as in `score_tags`.

    Returns:
        (N,) columns, one row a prompt.
    """
    finder = TagFinder(probe.tags) if probe.tags else None
    names = set(probe.values)
    found = [[finder.find(text) if finder else {text} & names for text in own] for own in answers]
    return score_tags(found, probe.names, _prefix(probe), name)


def _prefix(probe: Probe) -> str:
    return TRADITION if probe.kind == "traditions" else CLASS


def _metrics(probe: Probe, scores: Scores) -> Iterator[Metric]:
    if probe.kind == "words":
        yield from word_metrics(scores)
        yield from self_bleu.METRICS
    elif probe.kind == "contexts":
        yield from spread.METRICS
    elif probe.kind == "style":
        (rate,) = styles.METRICS
        yield dataclasses.replace(rate, needs=("style_reference", TEXTS), counted=TEXTS)
    else:
        yield from tag_metrics(scores)
        prefix = _prefix(probe)
        needs = tuple(f"{prefix}{name}" for name in probe.names)
        if len(needs) <= MOST_SHARES:
            yield from (share_metric(name, prefix, needs) for name in probe.names)
        if probe.reference:
            yield distance_metric(probe.reference, prefix)
