"""How many rows of each stratum each part gets: whole numbers, exact sums, fair to one row."""

from __future__ import annotations

import random
from collections import OrderedDict, defaultdict
from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import ceil

from stillhouse.core.errors import InputError
from stillhouse.core.rows import MEASURED
from stillhouse.recipes.measuring import Reference
from stillhouse.recipes.rows import PartSize

Cell = tuple[int, int]
UNLABELLED = "unlabelled"
"""The one part that takes rows without an answer where gold answers are measured against."""

TAKES_UNANSWERED: Mapping[Reference, tuple[str, ...]] = {
    "gold": (UNLABELLED,),
    "teacher": (UNLABELLED, *MEASURED),
}
"""The parts that take rows without an answer, by whose answers are measured against."""


def resolve_sizes(
    parts: Mapping[str, PartSize],
    num_answered: int,
    num_unanswered: int = 0,
    takers: Sequence[str] = TAKES_UNANSWERED["gold"],
) -> dict[str, int]:
    """The number of rows of each part.

    Args:
        parts: a count, a fraction, or `rest`: of all rows for a part that takes rows without an
            answer, else of those with one.
        num_answered: rows with an answer.
        num_unanswered: rows without one; only `takers` can use them, and take them first.
        takers: the parts that take rows without an answer.

    Returns:
        Counts that the rows suffice for; fractions are rounded so that their sum is right
        (largest remainder).

    Raises:
        InputError: the parts need more rows than there are, or more with an answer.
    """
    num_rows = num_answered + num_unanswered
    sizes = {name: size for name, size in parts.items() if isinstance(size, int)}
    sizes |= _round_shares_of(
        {
            # str() gives the decimal that was written, so that 0.7 + 0.2 + 0.1 is exactly 1.
            name: Fraction(str(size)) * (num_rows if name in takers else num_answered)
            for name, size in parts.items()
            if isinstance(size, float)
        },
        takers,
    )
    needed = sum(sizes.values())
    num_filled = min(sum(sizes.get(name, 0) for name in takers), num_unanswered)
    if needed > num_rows:
        stated = ", ".join(f"{name} {sizes[name]:,}" for name in parts if name in sizes)
        raise InputError(
            f"prepare.split.parts need {needed:,} rows ({stated}), but there are {num_rows:,}",
            "make the counts smaller, write fractions, or collect more rows",
        )
    if needed - num_filled > num_answered:
        others = {name: size for name, size in sizes.items() if name not in takers}
        stated = ", ".join(f"{name} {size:,}" for name, size in others.items())
        raise InputError(
            f"prepare.split.parts need {sum(others.values()):,} rows with an answer ({stated}), "
            f"but {num_answered:,} have one",
            f"make those parts smaller; {only(takers)} without an answer{_way(takers)}",
        )
    takes_rest = any(parts.get(name) == "rest" for name in takers)
    usable = num_rows if takes_rest else num_answered + num_filled
    return {name: sizes.get(name, usable - needed) for name in parts}


def only(takers: Sequence[str]) -> str:
    """That no other parts take rows, as words before "without an answer"."""
    *others, last = takers
    if not others:
        return f"only the part {last} takes rows"
    return f"only the parts {', '.join(others)} and {last} take rows"


def _way(takers: Sequence[str]) -> str:
    if "holdout" in takers:
        return ""
    return "; with evaluate.reference: teacher the measured parts do too"


def _round_shares_of(exact: Mapping[str, Fraction], takers: Sequence[str]) -> dict[str, int]:
    sizes = {name: int(share) for name, share in exact.items()}
    num_missing = int(sum(exact.values()) + Fraction(1, 2)) - sum(sizes.values())
    # Parts that need answers, rounded up with the others, may need one more than there are.
    answered = [name for name in exact if name not in takers]
    room = ceil(sum(exact[name] for name in answered)) - sum(sizes[name] for name in answered)
    by_remainder = sorted(exact, key=lambda name: sizes[name] - exact[name])
    kept = [name for name in by_remainder if name in answered][:room]
    raised = [name for name in by_remainder if name in takers or name in kept]
    return sizes | {name: sizes[name] + 1 for name in raised[:num_missing]}


def round_shares(
    stratum_sizes: Sequence[int], part_sizes: Sequence[int], seed: int
) -> list[list[int]]:
    """`stratum_size * part_size / all`, rounded up or down so that all sums stay exact.

    Rounding each stratum by itself would miss the part's size by up to one row a stratum; here
    rows and columns both add up, and no cell is a whole row away from its share.

    Args:
        stratum_sizes: rows in each stratum.
        part_sizes: rows for each part; the same sum.
        seed: decides which of two fair roundings is taken.

    Returns:
        One list per stratum with the number of rows for each part.

    Source: Cox 1987, A constructive procedure for unbiased controlled rounding, JASA 82(398).
    """
    whole = max(sum(stratum_sizes), 1)
    table = [[rows * part // whole for part in part_sizes] for rows in stratum_sizes]
    grid = _Remainders(
        {
            (s, p): rows * part % whole
            for s, rows in enumerate(stratum_sizes)
            for p, part in enumerate(part_sizes)
        }
    )
    chance = random.Random(seed)
    while cycle := grid.find_cycle():
        if chance.random() < 0.5:
            cycle = {cell: -sign for cell, sign in cycle.items()}
        for stratum, part in grid.shift(cycle, whole):
            table[stratum][part] += 1
    return table


class _Remainders:
    """What the floors left over, in units of 1/whole; every row and column sums to whole units."""

    def __init__(self, remainders: Mapping[Cell, int]) -> None:
        # An OrderedDict finds its first key at once; a dict first walks over all deleted ones.
        self._left = OrderedDict((cell, left) for cell, left in remainders.items() if left)
        self._parts_of: dict[int, OrderedDict[int, None]] = defaultdict(OrderedDict)
        self._strata_of: dict[int, OrderedDict[int, None]] = defaultdict(OrderedDict)
        for stratum, part in self._left:
            self._parts_of[stratum][part] = None
            self._strata_of[part][stratum] = None

    def find_cycle(self) -> dict[Cell, int]:
        """Cells with alternating signs along a closed walk, empty when nothing is left over."""
        if not self._left:
            return {}
        stratum, _ = next(iter(self._left))
        part_in, entered = -1, dict[int, int]()
        walk: list[tuple[Cell, Cell]] = []
        while stratum not in entered:
            entered[stratum] = len(walk)
            part = next(p for p in self._parts_of[stratum] if p != part_in)
            following = next(s for s in self._strata_of[part] if s != stratum)
            walk.append(((stratum, part), (following, part)))
            stratum, part_in = following, part
        signs: dict[Cell, int] = {}
        for plus, minus in walk[entered[stratum] :]:
            signs[plus] = signs.get(plus, 0) + 1
            signs[minus] = signs.get(minus, 0) - 1
        return {cell: sign for cell, sign in signs.items() if sign}

    def shift(self, cycle: Mapping[Cell, int], whole: int) -> list[Cell]:
        """Move along the cycle until a cell is whole; the cells that became one more."""
        step = min(
            whole - self._left[cell] if sign > 0 else self._left[cell]
            for cell, sign in cycle.items()
        )
        raised = []
        for cell, sign in cycle.items():
            self._left[cell] += sign * step
            if self._left[cell] == whole:
                raised.append(cell)
            if self._left[cell] in (0, whole):
                stratum, part = cell
                del self._left[cell], self._parts_of[stratum][part], self._strata_of[part][stratum]
        return raised
