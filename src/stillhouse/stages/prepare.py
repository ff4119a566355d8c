"""Prepare: rows become examples in parts; every row is accounted for."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from stillhouse.core.protocols import Progress
from stillhouse.data.asking import NO_ENGINES, AskedEngine
from stillhouse.data.shards import read_rows_of
from stillhouse.data.storage import write_ended, write_rows, write_votes
from stillhouse.recipes.rows import Prepare
from stillhouse.stages.contract import StageRequest, StageResult
from stillhouse.stages.corpus import (
    DROPPED,
    MEASURED_ROWS,
    TOKENIZER,
    VERSIONS,
    VOTES,
    own_home,
    save_corpus,
    save_template,
)
from stillhouse.stages.examples import Wanted, WantedReader, make_examples
from stillhouse.stages.sections import section_of
from stillhouse.stages.step_engines import open_engines
from stillhouse.tokens.files import copy_tokenizer, write_template
from stillhouse.tokens.jinja import jinja_of
from stillhouse.tokens.reader import Reader


def run(request: StageRequest, progress: Progress) -> StageResult:
    """Write examples, dropped and measured rows; of each reader template and tokenizer."""
    config = request.config
    prepare = section_of(Prepare, config["prepare"])
    wanted = Wanted.of_config(config, request.locations, prepare)
    rows = read_rows_of(request.inputs["rows"])
    with _writers(request, prepare, progress) as engines:
        made = make_examples(rows, wanted, request.out, engines)
    for one, reader in zip(wanted.readers, made.readers, strict=True):
        _write_reader(own_home(request.out, one.name), one, reader)
    save_corpus(request.out, made.examples)
    write_rows(request.out / MEASURED_ROWS, made.measured)
    if wanted.prepare.votes:
        write_votes(request.out / VOTES, made.votes)
    if wanted.prepare.augment:
        write_rows(request.out / VERSIONS, made.versions)
    write_ended(request.out / DROPPED, made.dropped)
    progress(len(rows), len(rows), "rows")
    parts = Counter(example.part for example in made.examples)
    return StageResult(
        {
            "rows": len(rows),
            "examples": len(made.examples),
            "dropped": len(made.dropped),
            "parts": dict(sorted(parts.items())),
            **({"readers": [one.name for one in made.readers]} if wanted.readers[1:] else {}),
            "tokens": made.tokens,
            "cut_prompts": made.num_cut,
            **made.not_learned,
            **({"voted_on": len(made.votes)} if wanted.prepare.votes else {}),
            "vocab_size": made.tokenizer.vocab_size,
            "flow": [dataclasses.asdict(count) for count in made.counts],
        }
    )


def _write_reader(home: Path, wanted: WantedReader, made: Reader) -> None:
    if wanted.tokenizer_from:
        copy_tokenizer(wanted.tokenizer_from, home / TOKENIZER)
    if wanted.is_silent or wanted.template != "chat":
        # Every later stage reads this folder, and export ships it.
        write_template(home / TOKENIZER, jinja_of(made.template))
    save_template(home, wanted.template)


def _writers(
    request: StageRequest, prepare: Prepare, progress: Progress
) -> AbstractContextManager[Mapping[str, AskedEngine]]:
    """Who writes the versions of training rows, while the block runs."""
    if prepare.augment is None or not prepare.augment.asked:
        return nullcontext(NO_ENGINES)
    return open_engines(request, prepare.augment, progress)
