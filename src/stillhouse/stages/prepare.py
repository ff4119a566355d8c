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
from stillhouse.recipes.models import TrainedTokenizer
from stillhouse.recipes.rows import Prepare
from stillhouse.stages.contract import StageRequest, StageResult
from stillhouse.stages.corpus import (
    DROPPED,
    MEASURED_ROWS,
    TOKENIZER,
    VERSIONS,
    VOTES,
    build_template,
    save_corpus,
)
from stillhouse.stages.examples import Wanted, make_examples
from stillhouse.stages.sections import section_of
from stillhouse.stages.step_engines import open_engines
from stillhouse.tokens.files import copy_tokenizer, write_template
from stillhouse.tokens.jinja import jinja_of


def run(request: StageRequest, progress: Progress) -> StageResult:
    """Write examples, dropped and measured rows, `template.json` and the tokenizer's folder."""
    config = request.config
    trained = config["trained_tokenizer"]
    reader = request.locations.get("tokenizer")
    wanted = Wanted(
        prepare=section_of(Prepare, config["prepare"]),
        trained_tokenizer=section_of(TrainedTokenizer, trained) if trained else None,
        tokenizer_from=Path(reader) if reader else None,
        template=config["template"],
        context=config["context"],
        room_for_answer=config["room_for_answer"],
        asked_parts=tuple(config["asked_parts"]),
        domains=config.get("domains", ()),
        is_silent=config.get("thinking") == "off",
    )
    rows = read_rows_of(request.inputs["rows"])
    tokenizer_folder = request.out / TOKENIZER
    with _writers(request, wanted.prepare, progress) as engines:
        made = make_examples(rows, wanted, tokenizer_folder, engines)
    if wanted.tokenizer_from:
        copy_tokenizer(wanted.tokenizer_from, tokenizer_folder)
    if wanted.is_silent or wanted.template != "chat":
        # Every later stage reads this folder, and export ships it.
        template = build_template(wanted.template, made.tokenizer)
        write_template(tokenizer_folder, jinja_of(template))
    save_corpus(request.out, made.examples, wanted.template)
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
            "tokens": made.tokens,
            "cut_prompts": made.num_cut,
            **made.not_learned,
            **({"voted_on": len(made.votes)} if wanted.prepare.votes else {}),
            "vocab_size": made.tokenizer.vocab_size,
            "flow": [dataclasses.asdict(count) for count in made.counts],
        }
    )


def _writers(
    request: StageRequest, prepare: Prepare, progress: Progress
) -> AbstractContextManager[Mapping[str, AskedEngine]]:
    """Who writes the versions of training rows, while the block runs."""
    if prepare.augment is None or not prepare.augment.asked:
        return nullcontext(NO_ENGINES)
    return open_engines(request, prepare.augment, progress)
