"""The steps that a recipe names, built from their settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from stillhouse.core.errors import InputError, NotBuiltError
from stillhouse.core.rows import StepCount
from stillhouse.data.account import Step
from stillhouse.data.convert import ConvertBlanksStep, ConvertChoicesStep, DropWhereStep
from stillhouse.data.decontamination import DecontaminateStep
from stillhouse.data.merging import MergeStep
from stillhouse.data.pairing import PairStep, Setting
from stillhouse.data.text_checks import InstructionStep, ScrubStep, StyleStep
from stillhouse.recipes.data_steps import (
    ConvertBlanks,
    ConvertChoices,
    DataStep,
    DropWhere,
    MergeNearDuplicates,
    PairWith,
)
from stillhouse.recipes.text_steps import (
    Decontaminate,
    DropStyleReferences,
    FindInstructions,
    ScrubPersonal,
)

_PLAIN: dict[type, Callable[[Any], Step]] = {
    DropWhere: DropWhereStep,
    ConvertBlanks: ConvertBlanksStep,
    ConvertChoices: ConvertChoicesStep,
    MergeNearDuplicates: MergeStep,
    ScrubPersonal: ScrubStep,
    DropStyleReferences: StyleStep,
    FindInstructions: InstructionStep,
}
"""Steps that need their settings and nothing else."""


def build_row_step(
    wanted: DataStep, paired: Sequence[Setting] = (), base: str = "", against: str = ""
) -> Step:
    """The step that its settings mean.

    Args:
        wanted: of `prepare.steps`.
        paired: what a `pair_with` step pairs with.
        base: what the path of a file that a step names is relative to.
        against: digest of the file that a `decontaminate` step names.

    Returns:
        Picklable, so that other processes can do it.

    Raises:
        NotBuiltError: this version cannot do it.
    """
    plain = _PLAIN.get(type(wanted))
    if plain:
        return plain(wanted)
    match wanted:
        case PairWith():
            return PairStep(wanted, paired)
        case Decontaminate():
            return DecontaminateStep(wanted, base, against)
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
