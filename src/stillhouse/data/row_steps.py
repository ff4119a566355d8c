"""The steps that a recipe names, built from their settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stillhouse.core.errors import InputError, NotBuiltError
from stillhouse.core.rows import StepCount
from stillhouse.data.account import Step
from stillhouse.data.annotating import AnnotateStep
from stillhouse.data.asking import AskedEngine
from stillhouse.data.convert import ConvertBlanksStep, ConvertChoicesStep, DropWhereStep
from stillhouse.data.decontamination import DecontaminateStep
from stillhouse.data.duplicate_classes import ReportDuplicatesStep
from stillhouse.data.joining import JoinStep
from stillhouse.data.merging import MergeStep
from stillhouse.data.option_match import Embed
from stillhouse.data.outlier_judge import OutlierJudge
from stillhouse.data.outlier_step import OutlierStep
from stillhouse.data.pairing import PairStep, Setting
from stillhouse.data.prompt_writing import WritePromptsStep
from stillhouse.data.rephrase import RephraseStep
from stillhouse.data.require import RequireStep
from stillhouse.data.rescaling import RescaleStep
from stillhouse.data.semantic import MergeSemanticStep
from stillhouse.data.text_checks import InstructionStep, ScrubStep, StyleStep
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
from stillhouse.recipes.field_steps import Annotate, Join, Rescale
from stillhouse.recipes.meaning_steps import DropOutliers, MergeSemanticDuplicates
from stillhouse.recipes.prompt_steps import Translate, WritePrompts
from stillhouse.recipes.rewording import Rephrase
from stillhouse.recipes.row_checks import ReportDuplicates, Require
from stillhouse.recipes.text_steps import (
    Decontaminate,
    DropStyleReferences,
    FindInstructions,
    ScrubPersonal,
)


@dataclass(frozen=True, slots=True)
class Aids:
    """What a step may need besides its settings.

    Attributes:
        paired: what a `pair_with` step pairs with.
        against: digest of the file that the step names, as `decontaminate` does.
        encode: the model that compares texts; None where the settings name none.
        engines: that it asks, by their key below it; a step that has none keeps to its rule.
    """

    paired: Sequence[Setting] = ()
    against: str = ""
    encode: Embed | None = None
    engines: Mapping[str, AskedEngine] = field(default_factory=dict)


NO_AIDS = Aids()

_PLAIN: dict[type, Callable[[Any], Step]] = {
    DropWhere: DropWhereStep,
    MergeNearDuplicates: MergeStep,
    Require: RequireStep,
    ReportDuplicates: ReportDuplicatesStep,
    ScrubPersonal: ScrubStep,
    DropStyleReferences: StyleStep,
    FindInstructions: InstructionStep,
    Rescale: RescaleStep,
}
"""Steps that need their settings and nothing else."""

_ASKING: dict[type, Callable[[Any, Aids], Step]] = {
    ConvertBlanks: lambda wanted, aids: ConvertBlanksStep(wanted, [*aids.engines.values()]),
    ConvertChoices: lambda wanted, aids: ConvertChoicesStep(
        wanted, aids.encode, [*aids.engines.values()]
    ),
    DropOutliers: lambda wanted, aids: OutlierStep(
        wanted, aids.encode or tfidf, next(map(OutlierJudge, aids.engines.values()), None)
    ),
    Rephrase: lambda wanted, aids: RephraseStep(wanted, [*aids.engines.values()], aids.encode),
    WritePrompts: lambda wanted, aids: WritePromptsStep(wanted, [*aids.engines.values()]),
    Translate: lambda wanted, aids: TranslateStep(wanted, [*aids.engines.values()]),
    Annotate: lambda wanted, aids: AnnotateStep(wanted, aids.engines["engine"]),
}
"""Steps that may ask engines."""


def build_row_step(wanted: DataStep, aids: Aids = NO_AIDS) -> Step:
    """The step that its settings mean.

    Args:
        wanted: of `prepare.steps`.
        aids: what it may need besides.

    Returns:
        Picklable, so that other processes can do it, where no engine is asked.

    Raises:
        NotBuiltError: this version cannot do it.
    """
    plain = _PLAIN.get(type(wanted))
    if plain:
        return plain(wanted)
    asking = _ASKING.get(type(wanted))
    if asking:
        return asking(wanted, aids)
    match wanted:
        case PairWith():
            return PairStep(wanted, aids.paired)
        case Join():
            return JoinStep(wanted, aids.against)
        case Decontaminate():
            return DecontaminateStep(wanted, aids.against)
        case MergeSemanticDuplicates():
            return MergeSemanticStep(wanted, aids.encode or tfidf)
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
