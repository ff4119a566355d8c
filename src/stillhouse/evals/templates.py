"""Metrics that every field of a kind has, written once with the field left open."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from stillhouse.evals.metric import Metric
from stillhouse.evals.scores import Scores

FIELD = "{field}"
"""Stands for the field's name in a template's name, texts and columns."""


def fill(template: Metric, field: str) -> Metric:
    """The metric of that field."""

    def filled(text: str) -> str:
        return text.replace(FIELD, field)

    return replace(
        template,
        name=filled(template.name),
        title=filled(template.title),
        definition=filled(template.definition),
        needs=tuple(map(filled, template.needs)),
        counted=filled(template.counted),
    )


def of_fields(templates: Sequence[Metric]) -> Callable[[Scores], Iterator[Metric]]:
    """A family: each template for every field that the scores have all its columns for.

    Args:
        templates: whose first column holds the field's place at its end.

    Returns:
        From scores to their metrics, template by template, fields in the order of the columns.
    """

    def family(scores: Scores) -> Iterator[Metric]:
        for template in templates:
            prefix = template.needs[0].removesuffix(FIELD)
            for column in scores.columns:
                if not column.startswith(prefix):
                    continue
                metric = fill(template, column.removeprefix(prefix))
                if all(map(scores.has, metric.needs)):
                    yield metric

    return family
