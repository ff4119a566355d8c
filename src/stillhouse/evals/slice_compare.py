"""Two candidates on each part of the holdout, with p values corrected for asking of many parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from stillhouse.evals.bootstrap import Estimate, Resampling
from stillhouse.evals.compare import Asking, Comparison, compare_candidates
from stillhouse.evals.estimates import estimate_metric
from stillhouse.evals.metrics import metric_by_name
from stillhouse.evals.scores import Scores
from stillhouse.evals.significance import benjamini_hochberg, holm
from stillhouse.evals.slices import Slice, on_slice, slice_names

_CORRECTIONS = {"holm": holm, "benjamini-hochberg": benjamini_hochberg}
_ASKING = Asking()


@dataclass(frozen=True, slots=True)
class SliceComparison:
    """Two candidates on one part.

    Attributes:
        name: of the part.
        num_examples: in it.
        own: the first candidate's metric there.
        other: the second's.
        comparison: of both there; its word is `not enough data` where the part is too small.
        p_adjusted: its p value, corrected over all parts and metrics that were asked together.
    """

    name: str
    num_examples: int
    own: Estimate
    other: Estimate
    comparison: Comparison
    p_adjusted: float


def compare_on_slices(
    metric_names: Sequence[str],
    candidates: Mapping[str, Scores],
    names: tuple[str, str],
    kind: str,
    resampling: Resampling,
    asking: Asking = _ASKING,
) -> list[SliceComparison]:
    """How two candidates differ on every part.

    Args:
        metric_names: what is compared on each.
        candidates: name to scores with columns of parts.
        names: the candidate, and whom it is compared with.
        kind: what the holdout was cut by.
        resampling: how the intervals are made.
        asking: difference or ratio, the margin, the correction, and the least n: a smaller part
            is named and not judged, and costs the others nothing.

    Returns:
        One record a part and metric.

    Raises:
        InputError: a candidate, a metric or such parts are not there.
    """
    found = []
    for name in slice_names(candidates[names[0]], kind):
        here = {who: on_slice(candidates[who], Slice(kind, name)) for who in names}
        for metric_name in metric_names:
            comparison = compare_candidates(metric_name, here, names, resampling, asking)
            own, other = (
                estimate_metric(metric_by_name(metric_name, here[who]), here[who], resampling)
                for who in names
            )
            num_examples = len(here[names[0]])
            found.append(SliceComparison(name, num_examples, own, other, comparison, float("nan")))
    adjusted = _CORRECTIONS[asking.correction]([one.comparison.p_value for one in found])
    return [replace(one, p_adjusted=p) for one, p in zip(found, adjusted, strict=True)]
