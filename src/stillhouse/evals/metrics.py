"""The metrics that scores have columns for: a fixed list, and families with one a field."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from stillhouse.core.errors import InputError
from stillhouse.evals import memorised, preference, rubric, self_bleu, styles
from stillhouse.evals.bootstrap import Sums, of_sums, ratio
from stillhouse.evals.diversity import word_metrics
from stillhouse.evals.embeddings import embedding_metrics
from stillhouse.evals.metric import Metric
from stillhouse.evals.scores import COUNT, Scores
from stillhouse.evals.tags import tag_metrics


def _exp_of_ratio(sums: Sums) -> NDArray[np.float64]:
    grown: NDArray[np.float64] = np.exp(ratio(sums))
    return grown


_GOLD = "the holdout's own answers"

FIXED = (
    Metric(
        "exact_match",
        "Exact match",
        "higher",
        "Share of answers that are the reference; JSON whatever the order of its keys.",
        ("exact", COUNT),
        is_fraction=True,
    ),
    Metric(
        "field_accuracy",
        "Field accuracy",
        "higher",
        "Share of the references' JSON fields that are right.",
        ("fields_right", "fields"),
        counted="fields",
    ),
    Metric(
        "kl_to_teacher",
        "KL to the teacher",
        "lower",
        f"KL(teacher || student) a token, on {_GOLD}.",
        ("kl", "tokens"),
        unit="nats per token",
        source="Hinton, Vinyals & Dean 2015, arXiv:1503.02531, section 2",
    ),
    Metric(
        "cross_entropy",
        "Cross-entropy",
        "lower",
        f"Negative log-likelihood a token, on {_GOLD}.",
        ("nll", "tokens"),
        unit="nats per token",
    ),
    Metric(
        "agreement",
        "Same answer as the teacher",
        "higher",
        "Share of answers that are the teacher's.",
        ("agreement", COUNT),
        is_fraction=True,
    ),
    Metric(
        "top1_agreement",
        "Most likely token as the teacher's",
        "higher",
        f"Share of tokens where both find the same token likeliest, on {_GOLD}.",
        ("top1", "tokens"),
    ),
    Metric(
        "valid_json",
        "Valid JSON",
        "higher",
        "Share of answers that are one JSON object.",
        ("valid_json", COUNT),
        is_fraction=True,
    ),
    Metric(
        "perplexity",
        "Perplexity",
        "lower",
        "exp of the cross-entropy; comparable within one tokenizer only.",
        ("nll", "tokens"),
        of_sums(_exp_of_ratio),
    ),
    *styles.METRICS,
    *self_bleu.METRICS,
    *memorised.METRICS,
    *preference.METRICS,
    *rubric.METRICS,
)
"""The metrics in the order in which people read them."""

_FIELD = "field:"


def _field_metrics(scores: Scores) -> Iterator[Metric]:
    for column in scores.columns:
        field = column.removeprefix(_FIELD)
        if field != column:
            yield Metric(
                f"field_accuracy.{field}",
                f"Field {field}",
                "higher",
                f"Share of answers whose field {field} is the reference's.",
                (column, "fields_asked"),
                counted="fields_asked",
                is_fraction=True,
            )


FAMILIES: tuple[Callable[[Scores], Iterable[Metric]], ...] = (
    _field_metrics,
    word_metrics,
    embedding_metrics,
    tag_metrics,
)
"""What measures one thing for each field, class or kind that the scores have columns for."""


def metrics_of(scores: Scores) -> list[Metric]:
    """The metrics that these scores have columns for, in a fixed order."""
    fixed = [metric for metric in FIXED if all(map(scores.has, metric.needs))]
    return fixed + [metric for family in FAMILIES for metric in family(scores)]


def in_reading_order(names: Iterable[str]) -> list[str]:
    """Metric names as people read them, what counts most first; single fields last."""
    places = {metric.name: place for place, metric in enumerate(FIXED)}
    return sorted(dict.fromkeys(names), key=lambda name: (places.get(name, len(places)), name))


def metric_by_name(name: str, scores: Scores) -> Metric:
    """The metric of that name.

    Args:
        name: as rules call it.
        scores: whose columns it needs.

    Returns:
        The metric.

    Raises:
        InputError: no such metric for these scores; names the nearest.
    """
    known = {metric.name: metric for metric in metrics_of(scores)}
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1)
    guess = f'did you mean "{near[0]}"? ' if near else ""
    raise InputError(f"no metric {name!r} was measured", f"{guess}measured: {', '.join(known)}")
