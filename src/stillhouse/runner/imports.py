"""Bringing the log-probabilities that another tool stored into a store of targets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from stillhouse.core.errors import UsageError
from stillhouse.core.protocols import Progress, no_progress
from stillhouse.targets.importing.axolotl import Alignment, AxolotlFields, read_axolotl
from stillhouse.targets.importing.distillkit import load_compression, read_distillkit
from stillhouse.targets.importing.scored import ScoredRow
from stillhouse.targets.importing.sources import count_rows
from stillhouse.targets.importing.store import ImportedStore, ImportSettings, write_imported
from stillhouse.tokens.tokenizer import TextTokenizer, load_tokenizer

Origin = Literal["axolotl", "distillkit"]


@dataclass(frozen=True, slots=True)
class ImportCall:
    """What is imported, and what its files do not say.

    Attributes:
        origin: the tool that wrote it: `distillkit` or `axolotl`.
        source: its file or folder, Parquet or Arrow.
        to: a new folder for the store and its examples.
        tokenizer: a folder with the tokenizer that its ids belong to.
        compression: DistillKit's compression config; empty for the one beside the files.
        messages_field: the column of axolotl's conversations.
        logprobs_field: the column of axolotl's log-probabilities beside them.
        alignment: axolotl's `kd_prepared_targets_alignment`, of columns that it prepared.
        temperature: at which the log-probabilities were taken; 1 alone can be imported.
        top_k: entries to keep; 0 for as many as the first row has.
        accept_renormalised: the kept entries sum to 1; store them so, without a tail.
    """

    origin: Origin
    source: str
    to: str
    tokenizer: str
    compression: str = ""
    messages_field: str = "messages"
    logprobs_field: str = "logprobs"
    alignment: Alignment = "current"
    temperature: float = 1.0
    top_k: int = 0
    accept_renormalised: bool = False


_Opened = tuple[Iterator[ScoredRow], ImportSettings]


def run_import(call: ImportCall, progress: Progress = no_progress) -> ImportedStore:
    """Import a data set.

    Args:
        call: what, from where, to where.
        progress: hears of every row.

    Returns:
        What was stored.

    Raises:
        UsageError: the call or the source is wrong; the row is named, and nothing is left.
    """
    if call.temperature != 1.0:
        raise UsageError(
            f"--temperature {call.temperature:g}: log-probabilities at another temperature than 1 "
            "cannot be imported: what they are at 1 depends on the tokens that were not kept",
            "score again at temperature 1",
        )
    source, tokenizer = Path(call.source), load_tokenizer(Path(call.tokenizer))
    rows, settings = _ORIGINS[call.origin](call, source, tokenizer)
    settings = replace(
        settings,
        top_k=call.top_k,
        is_renormalised=call.accept_renormalised,
        num_rows=count_rows(source),
    )
    return write_imported(rows, Path(call.to), tokenizer, settings, progress)


def _open_distillkit(call: ImportCall, source: Path, tokenizer: TextTokenizer) -> _Opened:
    compression = load_compression(source, Path(call.compression) if call.compression else None)
    mend = "row j of DistillKit's columns describes token j + 1; make the data set anew"
    return (
        read_distillkit(source, compression, tokenizer),
        ImportSettings("distillkit", shift_mend=mend),
    )


def _open_axolotl(call: ImportCall, source: Path, tokenizer: TextTokenizer) -> _Opened:
    other: Alignment = "legacy" if call.alignment == "current" else "current"
    mend = f"for columns that axolotl prepared: --alignment {other}; else look at the tokenizer"
    fields = AxolotlFields(call.messages_field, call.logprobs_field, call.alignment)
    return (
        read_axolotl(source, fields, tokenizer),
        ImportSettings("axolotl", shift_mend=mend),
    )


_ORIGINS: dict[Origin, Callable[[ImportCall, Path, TextTokenizer], _Opened]] = {
    "distillkit": _open_distillkit,
    "axolotl": _open_axolotl,
}
