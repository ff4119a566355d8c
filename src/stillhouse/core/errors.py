"""The one tree of errors; each says what happened, where, and what to do.

StillhouseError            1   anything that went wrong while running
|-- UsageError             2   the recipe, the rows or the call are wrong; nothing was started
|   |-- RecipeError            every problem of a recipe at once
|   |-- InputError             rows or a file that cannot be read as told
|   |-- ModelError             a model folder or hub id that cannot be used
|   |   `-- HubUnreachableError  the hub does not answer, and the cache does not have it
|   |-- CapacityError          it does not fit this machine
|   |-- BusyError              another process works in this folder
|   `-- NotBuiltError          the recipe asks for what this version does not have
|-- ArtifactError          1   a stored artifact is torn or does not match its manifest
|-- DiskFullError          1   no space left; what was whole before is whole still
|-- NetworkRefusedError    1   the recipe's network policy forbids this address
|-- AccountingError        1   rows in and rows out do not balance
|-- TrainingError          1   NaN, missing or zero gradients; names the step
|-- ShapeError             1   arrays that should match do not
|-- EngineDiedError        1   the process that runs a model ended, or fell silent
|-- GateRefusedError       3   the gate said no, or had too little data
`-- InterruptedRunError  130   Ctrl-C
"""

from __future__ import annotations


class StillhouseError(Exception):
    """A failure with its mend.

    Args:
        message: what happened and where, with the value that was wrong.
        hint: what to do about it; empty when the message says it all.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  -> {self.hint}" if self.hint else self.message


class UsageError(StillhouseError):
    """The recipe, the rows or the call are wrong; nothing was started."""

    exit_code = 2


class RecipeError(UsageError):
    """Every problem of a recipe at once, one line each."""


class InputError(UsageError):
    """Rows or a file that cannot be read as the recipe says."""


class ModelError(UsageError):
    """A model folder or hub id that cannot be used."""


class HubUnreachableError(ModelError):
    """The hub does not answer, or may not be asked, and the local cache does not have the model."""


class CapacityError(UsageError):
    """The plan does not fit this machine."""


class BusyError(UsageError):
    """Another process works in this folder."""


class NotBuiltError(UsageError):
    """The recipe asks for something that this version does not have."""


class ArtifactError(StillhouseError):
    """A stored artifact is torn or does not match its manifest."""


class DiskFullError(StillhouseError):
    """No space left on the device."""


class NetworkRefusedError(StillhouseError):
    """The recipe's network policy forbids this address."""


class AccountingError(StillhouseError):
    """Rows in and rows out do not balance."""


class TrainingError(StillhouseError):
    """Training cannot go on: NaN, missing or zero gradients."""


class ShapeError(StillhouseError):
    """Two arrays that should match in shape do not."""


class EngineDiedError(StillhouseError):
    """The process that runs a model ended, or fell silent."""


class GateRefusedError(StillhouseError):
    """The gate said no, or had too little data to say yes."""

    exit_code = 3


class InterruptedRunError(StillhouseError):
    """The user pressed Ctrl-C."""

    exit_code = 130


def error_by_name(name: str) -> type[StillhouseError]:
    """The class of that name in this tree; `StillhouseError` when there is none.

    Args:
        name: a class name, as a stage process sends it to its parent.

    Returns:
        The class, so that an exit code survives the way between two processes.
    """
    found = globals().get(name)
    if isinstance(found, type) and issubclass(found, StillhouseError):
        return found
    return StillhouseError
