"""The steps that a recipe names, built from their settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from stillhouse.core.errors import InputError, NotBuiltError
from stillhouse.core.rows import StepCount
from stillhouse.data.account import Step
from stillhouse.data.asking import NO_ENGINES, AskedEngine
from stillhouse.data.convert import ConvertBlanksStep, ConvertChoicesStep, DropWhereStep
from stillhouse.data.duplicate_classes import ReportDuplicatesStep
from stillhouse.data.merging import MergeStep
from stillhouse.data.pairing import PairStep, Setting
from stillhouse.data.rephrase import RephraseStep
from stillhouse.data.require import RequireStep
from stillhouse.recipes.data_steps import (
    ConvertBlanks,
    ConvertChoices,
    DataStep,
    DropWhere,
    MergeNearDuplicates,
    PairWith,
)
from stillhouse.recipes.rewording import Rephrase
from stillhouse.recipes.row_checks import ReportDuplicates, Require
from stillhouse.recipes.row_step import Step as Settings

_BY_SETTINGS_ALONE: Mapping[type[Settings], Callable[[Any], Step]] = MappingProxyType(
    {
        DropWhere: DropWhereStep,
        MergeNearDuplicates: MergeStep,
        ReportDuplicates: ReportDuplicatesStep,
        Require: RequireStep,
    }
)
"""Settings to the step that needs nothing else."""


def build_row_step(
    wanted: DataStep,
    paired: Sequence[Setting] = (),
    engines: Mapping[str, AskedEngine] = NO_ENGINES,
) -> Step:
    """The step that its settings mean.

    Args:
        wanted: of `prepare.steps`.
        paired: what a `pair_with` step pairs with.
        engines: that it asks, by their key below the step; a step that has none keeps to its rule.

    Returns:
        Picklable, so that other processes can do it, where no engine is asked.

    Raises:
        NotBuiltError: this version cannot do it.
    """
    if type(wanted) in _BY_SETTINGS_ALONE:
        return _BY_SETTINGS_ALONE[type(wanted)](wanted)
    match wanted:
        case PairWith():
            return PairStep(wanted, paired)
        case ConvertBlanks():
            return ConvertBlanksStep(wanted, [*engines.values()])
        case ConvertChoices():
            return ConvertChoicesStep(wanted, engines=[*engines.values()])
        case Rephrase():
            return RephraseStep(wanted, [*engines.values()])
        case _:
            raise NotBuiltError(
                f"prepare.steps asks for {wanted.name!r}, which is not built yet",
                "remove the step",
            )


def require_rows(count: StepCount) -> None:
    """Make sure that a step left something to go on with.

    Args:
        count: of the step, over all rows.

    Raises:
        InputError: no row is left; names the reasons.
    """
    if count.rows_out:
        return
    reasons = (
        "there were none"
        if not count.dropped
        else ", ".join(f"{reason} ({number:,})" for reason, number in count.dropped.items())
    )
    raise InputError(
        f"the step {count.step} left none of {count.rows_in:,} rows: {reasons}",
        "look at its settings in prepare.steps, and whether the fields that it names hold text",
    )
