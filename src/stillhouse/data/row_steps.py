"""The steps that a recipe names, built from their settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stillhouse.core.errors import InputError, NotBuiltError
from stillhouse.core.rows import StepCount
from stillhouse.data.account import Step
from stillhouse.data.asking import NO_ENGINES, AskedEngine
from stillhouse.data.convert import ConvertBlanksStep, ConvertChoicesStep, DropWhereStep
from stillhouse.data.duplicate_classes import ReportDuplicatesStep
from stillhouse.data.merging import MergeStep
from stillhouse.data.option_match import Embed
from stillhouse.data.outlier_judge import OutlierJudge
from stillhouse.data.outlier_step import OutlierStep
from stillhouse.data.pairing import PairStep, Setting
from stillhouse.data.prompt_writing import WritePromptsStep
from stillhouse.data.rephrase import RephraseStep
from stillhouse.data.require import RequireStep
from stillhouse.data.semantic import MergeSemanticStep
from stillhouse.data.tfidf import tfidf
from stillhouse.data.translation import TranslateStep
from stillhouse.recipes.data_steps import (
    ConvertBlanks,
    ConvertChoices,
    DataStep,
    DropWhere,
    MergeNearDuplicates,
    PairWith,
)
from stillhouse.recipes.meaning_steps import DropOutliers, MergeSemanticDuplicates
from stillhouse.recipes.prompt_steps import Translate, WritePrompts
from stillhouse.recipes.rewording import Rephrase
from stillhouse.recipes.row_checks import ReportDuplicates, Require

_PLAIN: dict[type, Callable[[Any], Step]] = {
    Require: RequireStep,
    ReportDuplicates: ReportDuplicatesStep,
    DropWhere: DropWhereStep,
    MergeNearDuplicates: MergeStep,
}
"""Steps that need their settings and nothing else."""

_ASKING: dict[type, Callable[[Any, Sequence[AskedEngine]], Step]] = {
    ConvertBlanks: ConvertBlanksStep,
    WritePrompts: WritePromptsStep,
    Translate: TranslateStep,
}
"""Steps that need whom they ask beside their settings."""


def build_row_step(
    wanted: DataStep,
    paired: Sequence[Setting] = (),
    encode: Embed | None = None,
    engines: Mapping[str, AskedEngine] = NO_ENGINES,
) -> Step:
    """The step that its settings mean.

    Args:
        wanted: of `prepare.steps`.
        paired: what a `pair_with` step pairs with.
        encode: the model that the settings name; None where they name none.
        engines: that it asks, by their key below the step; a step that has none keeps to its rule.

    Returns:
        Picklable, so that other processes can do it, where no engine is asked.

    Raises:
        NotBuiltError: this version cannot do it.
    """
    plain = _PLAIN.get(type(wanted))
    if plain:
        return plain(wanted)
    asked = [*engines.values()]
    asking = _ASKING.get(type(wanted))
    if asking:
        return asking(wanted, asked)
    match wanted:
        case PairWith():
            return PairStep(wanted, paired)
        case ConvertChoices():
            return ConvertChoicesStep(wanted, encode, asked)
        case MergeSemanticDuplicates():
            return MergeSemanticStep(wanted, encode or tfidf)
        case DropOutliers():
            return OutlierStep(wanted, encode or tfidf, next(map(OutlierJudge, asked), None))
        case Rephrase():
            return RephraseStep(wanted, asked, encode)
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
