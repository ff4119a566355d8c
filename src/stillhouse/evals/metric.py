"""What a metric is: a statistic of score columns, with its definition, unit, direction and source.

Legend: N examples, S columns, R resamples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stillhouse.evals.bootstrap import Statistic, of_sums, ratio
from stillhouse.evals.scores import COUNT, Scores
from stillhouse.recipes.metric_names import scale_of

RATIO = of_sums(ratio)
SHARE = (0.0, 1.0)
"""The scale of a share that is no fraction of counted units."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One number of a candidate.

    Attributes:
        name: as rules call it.
        title: as people read it.
        better: which direction is good.
        definition: what it is, in one sentence.
        needs: the score columns that it is computed from, in the order of `statistic`.
        statistic: from columns (N, S) and weights (R, N) to values (R,).
        counted: the column whose sum is the n that is shown; `count` is 1 an example.
        unit: of the value; empty for a fraction.
        is_fraction: the first column holds 0 or 1 for each unit that the second counts, so that
            the interval can be exact.
        scale: the least and the greatest value that it can have; None for a fraction, and for a
            name whose scale `recipes/metric_names.py` knows.
        source: of the definition: a paper with its section, or a library.
        possible: where examples together cannot give the whole scale: what they can give. One of
            three shares is the largest, and never below a third.
        together: the column that says which examples are drawn together, because they are not
            independent, such as answers to one prompt; where scores lack it each is drawn alone.
    """

    name: str
    title: str
    better: Literal["lower", "higher"]
    definition: str
    needs: tuple[str, ...]
    statistic: Statistic = RATIO
    counted: str = COUNT
    unit: str = ""
    is_fraction: bool = False
    source: str = ""
    scale: tuple[float, float] | None = None
    possible: tuple[float, float] | None = None
    together: str = ""

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Both ends of its scale, where it has both."""
        return self.reach if all(map(math.isfinite, self.reach)) else None

    @property
    def reach(self) -> tuple[float, float]:
        """The least and the greatest value: its own scale, else its name's; else infinite."""
        scale = self.scale or (SHARE if self.is_fraction else scale_of(self.name))
        return scale or (-math.inf, math.inf)

    def columns(self, scores: Scores) -> NDArray[np.float64]:
        """(N, S), the columns that it needs; those that are drawn together on their first row."""
        columns_NS = np.stack([scores.column(name) for name in self.needs], axis=1)
        if not self.together or not scores.has(self.together):
            return columns_NS
        _, first, group = np.unique(
            scores.column(self.together), return_index=True, return_inverse=True
        )
        # A row of zeros tells nothing, so that resampling draws whole groups.
        summed_NS = np.zeros_like(columns_NS)
        np.add.at(summed_NS, first[group], columns_NS)
        return summed_NS

    def num_counted(self, scores: Scores) -> int:
        """How many units the number rests on."""
        return round(float(scores.column(self.counted).sum()))
