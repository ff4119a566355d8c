"""From scored rows of another tool to a store of targets with its examples."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from stillhouse.core.errors import InputError
from stillhouse.core.files import disk_full_is_clear, sync_folder, sync_tree
from stillhouse.core.protocols import Progress
from stillhouse.targets.header import TargetHeader
from stillhouse.targets.importing.examples import ExampleWriter, ImportedExample
from stillhouse.targets.importing.scored import Evidence, ScoredRow, refuse_wrong, to_targets
from stillhouse.targets.write import TargetWriter
from stillhouse.tokens.tokenizer import TextTokenizer

TARGETS = "targets"
_SHARD_EXAMPLES = 512  # as label's own
_UNKNOWN = "not known"


@dataclass(frozen=True, slots=True)
class ImportSettings:
    """What the source does not say itself.

    Attributes:
        engine: who wrote it: `distillkit` or `axolotl`.
        top_k: entries to keep; 0 for as many as its first row has.
        is_renormalised: the kept entries were divided by their mass; they are stored so, without
            a tail, and the header says it.
        num_rows: of the source, for the progress.
        shift_mend: what to do where the rows turn out to describe other tokens.
    """

    engine: str
    top_k: int = 0
    is_renormalised: bool = False
    num_rows: int = 0
    shift_mend: str = "look at how the source was made"


@dataclass(frozen=True, slots=True)
class ImportedStore:
    """What was imported.

    Attributes:
        folder: holds `targets` and the examples.
        engine: as the header names it.
        examples: rows that train a token.
        tokens: trained tokens.
        top_k: entries kept of each.
        kept_mass: mean probability of the kept entries, in [0, 1].
    """

    folder: str
    engine: str
    examples: int
    tokens: int
    top_k: int
    kept_mass: float


def write_imported(
    rows: Iterator[ScoredRow],
    to: Path,
    tokenizer: TextTokenizer,
    settings: ImportSettings,
    progress: Progress,
) -> ImportedStore:
    """A store of targets, and the examples that they belong to.

    Args:
        rows: of the source.
        to: a folder that is not there yet; it appears when everything is in it.
        tokenizer: that the ids belong to.
        settings: what the source does not say.
        progress: hears of every row that trains a token.

    Returns:
        What was stored.

    Raises:
        InputError: no row, rows that are no distributions, or are renormalised, or describe
            other tokens; nothing is left of it.
    """
    first = next(rows, None)
    if first is None:
        raise InputError("the source has no row that trains a token", "look at its files")
    top_k = settings.top_k or first.entry_ids.shape[1]
    refuse_wrong(first, top_k, tokenizer.vocab_size)
    engine = f"{settings.engine}-renormalised" if settings.is_renormalised else settings.engine
    header = TargetHeader(
        engine=engine,
        weights_digest="",
        tokenizer_digest=tokenizer.digest,
        template_digest="",
        vocab_size=tokenizer.vocab_size,
        top_k=top_k,
        kd_temperatures=(1.0,),
        dtype=_UNKNOWN,
    )
    evidence = Evidence()
    count = 0
    kept = 0.0
    with _all_or_nothing(to) as work:
        with (
            ExampleWriter(work) as examples,
            TargetWriter(work / TARGETS, header, _SHARD_EXAMPLES) as writer,
        ):
            for row in chain((first,), rows):
                refuse_wrong(row, top_k, tokenizer.vocab_size)
                evidence.add(row)
                example = ImportedExample(row.place, row.ids.astype(np.int32), row.is_trained)
                key = example.key(tokenizer.digest)
                targets = to_targets(row, key, top_k, tokenizer.byte_spans(example.ids))
                writer.append(targets)
                examples.append(example)
                count += 1
                kept += float(np.exp(targets.top_logprobs, dtype=np.float64).sum())
                progress(count, settings.num_rows, "rows")
        _refuse(evidence, settings, is_whole=top_k == tokenizer.vocab_size)
    return ImportedStore(
        str(to), engine, count, evidence.positions, top_k, kept / evidence.positions
    )


def _refuse(evidence: Evidence, settings: ImportSettings, *, is_whole: bool) -> None:
    evidence.refuse_shifted(settings.shift_mend)
    found = evidence.is_renormalised() and not is_whole
    if found and not settings.is_renormalised:
        raise InputError(
            f"the kept entries of each of the {evidence.positions:,} positions sum to 1: they were "
            "divided by the mass that they had, which is lost with the tail",
            "import the data that it was made of; or store them so, without a tail, with "
            "--accept-renormalised",
        )
    if settings.is_renormalised and not found:
        raise InputError(
            "the kept entries do not sum to 1, so they are not renormalised",
            "leave --accept-renormalised out: their tail is known",
        )


@contextmanager
def _all_or_nothing(to: Path) -> Iterator[Path]:
    """A folder to work in that becomes `to`, or goes away."""
    if to.exists():
        raise InputError(f"{to} exists", "name a new folder with --to; nothing was written")
    work = to.with_name(f".{to.name}.importing")
    shutil.rmtree(work, ignore_errors=True)
    try:
        with disk_full_is_clear(to.parent):
            work.mkdir(parents=True)
            yield work
            sync_tree(work)
            work.rename(to)
            sync_folder(to.parent)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
