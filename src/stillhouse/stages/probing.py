"""Declared probes asked of a candidate's answers: what they name, and how far apart they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stillhouse.data.paths import MISSING, find
from stillhouse.evals.answers import parse_object
from stillhouse.evals.audit import tag_columns
from stillhouse.evals.probe_file import Probe
from stillhouse.evals.scores import Column, Scores
from stillhouse.evals.spread import spread_of_answers
from stillhouse.evals.tags import tag_metrics
from stillhouse.stages.comparing import Answers

ANSWER = ("answer", "text")
"""What a probe calls a whole answer; `text` is what audits of plain texts call it."""
FIELD_OF_ANSWER = "answer."
COUNTED = ("classes", "traditions")
"""The kinds of probes that count tags, of which an evaluation has columns for each."""
CONTEXTS, SPREAD = "contexts", "context_spread"
"""The kind that compares the answers to one prompt, and its metric."""
_WHOLE = "Prompts are drawn whole, with all of their answers."


def score_probes(
    probes: Sequence[Probe], answers: Answers
) -> tuple[dict[str, Column], dict[str, str]]:
    """The columns of the probes that count tags or compare contexts, and what they mean.

    Args:
        probes: of any kind.
        answers: of the candidate.

    Returns:
        (N,) columns, and a note for each metric.
    """
    columns: dict[str, Column] = {}
    notes: dict[str, str] = {}
    for probe in probes:
        if probe.kind in COUNTED:
            columns |= tag_columns(probe, texts_of_probe(probe, answers), probe.name)
        elif probe.kind == CONTEXTS:
            columns |= _spread(probe, answers)
            notes[SPREAD] = f"{probe.means} {probe.does_not_mean} {_WHOLE}"
    for name, probe in metrics_of_probes(probes).items():
        notes[name] = f"{probe.means} {probe.does_not_mean}"
    return columns, notes


def metrics_of_probes(probes: Sequence[Probe]) -> dict[str, Probe]:
    """The metrics that an evaluation has of probes, each with the probe that it is of."""
    found: dict[str, Probe] = {}
    columns: dict[str, Column] = {}
    counted = {probe.name: probe for probe in probes if probe.kind in COUNTED}
    for probe in counted.values():
        columns |= tag_columns(probe, [], probe.name)
    for metric in tag_metrics(Scores((), columns)):
        _, _, name = metric.counted.rpartition("@")
        found[metric.name] = counted[name]
    return found


def texts_of_probe(probe: Probe, answers: Answers) -> list[list[str]]:
    """Of each example the texts that a probe looks into; none where it is not of that kind.

    Args:
        probe: with `text` the answer, or a field of it, and `only` columns of the rows.
        answers: of the candidate.

    Returns:
        (N,) lists; an answer that cannot be read has no text.
    """
    return [
        _texts(probe, text) if _is_looked_into(probe, fields) else []
        for text, fields in zip(answers.texts, answers.measured.fields, strict=True)
    ]


def _spread(probe: Probe, answers: Answers) -> dict[str, Column]:
    """Of answers that are looked into, those whose rows name the same prompt."""
    names = [_prompt(probe, fields, at) for at, fields in enumerate(answers.measured.fields)]
    texts = [" ".join(own) for own in texts_of_probe(probe, answers)]
    return spread_of_answers(texts, names)


def _prompt(probe: Probe, fields: Mapping[str, Any], place: int) -> str:
    """The prompt that a row names; one of its own where it names none, or is not looked into."""
    named = find(fields, probe.prompt or "")
    is_alone = named is MISSING or named is None or not _is_looked_into(probe, fields)
    return f"alone {place}" if is_alone else str(named)


def _is_looked_into(probe: Probe, fields: Mapping[str, Any]) -> bool:
    return all(str(find(fields, column)) in wanted for column, wanted in probe.only.items())


def _texts(probe: Probe, answer: str) -> list[str]:
    if probe.text in ANSWER:
        return [answer]
    value = find(parse_object(answer) or {}, probe.text.removeprefix(FIELD_OF_ANSWER))
    values = value if isinstance(value, list) else [value]
    return [one for one in values if isinstance(one, str)]
