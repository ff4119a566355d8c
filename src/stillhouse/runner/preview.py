"""A look at a recipe's examples before anything is run: token counts and masks, no torch."""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar, cast

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Example, Row, StepCount
from stillhouse.data.account import run_step
from stillhouse.data.asking import NO_ENGINES, AskedEngine
from stillhouse.data.joining import JoinStep
from stillhouse.data.outlier_judge import OutlierJudge, likely_suspects
from stillhouse.data.row_steps import require_rows
from stillhouse.recipes.estimate import Corpus
from stillhouse.recipes.meaning_steps import COMPARING, DropOutliers
from stillhouse.recipes.plan import Plan
from stillhouse.recipes.row_step import Step
from stillhouse.recipes.rows import Prepare
from stillhouse.runner.resolve import Resolved
from stillhouse.stages.examples import Wanted, make_examples
from stillhouse.stages.holding import Collected
from stillhouse.stages.rows import collect_rows
from stillhouse.stages.step import settings_of, step_of
from stillhouse.stages.step_engines import note_engines
from stillhouse.tokens.encode import EncodedConversation, encode_conversation
from stillhouse.tokens.reader import Reader
from stillhouse.tokens.show import MaskView, explain_mask

_MOST_ROWS = 20_000
_MOST_MADE = 2000
"""Rows that are made up alike tell no more when they are many, and each is read token by token."""
_MOST_ENCODED = 400
_Counted = TypeVar("_Counted")


@dataclass(frozen=True, slots=True)
class Preview:
    """Examples as the run will see them.

    Attributes:
        examples: of every part; a sample where the source is large.
        readers: whom they are written for: the student, and a teacher that reads otherwise.
        scale: examples of the run for each one here.
        num_cut: prompts that were cut to the context.
        dropped: reason to number of rows.
        noted: what the steps noted of rows, and of how many.
        asked: what the steps of the rows ask, by key of the instance and of the engine below it.
        counted: what was counted already, by reader: a plan asks for the same counts many times.
    """

    examples: list[Example]
    readers: tuple[Reader, ...]
    scale: float
    num_cut: int
    dropped: dict[str, int]
    noted: dict[str, int]
    asked: dict[tuple[str, str], list[Example]] = field(default_factory=dict)
    counted: dict[str, dict[Hashable, Any]] = field(default_factory=dict, compare=False)

    @property
    def reader(self) -> Reader:
        """By whose tokens is counted."""
        return self.readers[0]

    def by_teacher(self) -> Preview:
        """The same examples, counted by the teacher's tokens."""
        return replace(self, readers=self.readers[-1:])

    def count(self, parts: Iterable[str], answer_tokens: float, domain: str = "") -> Corpus:
        """Token counts of some parts, of one domain or all; no answer counts `answer_tokens`."""
        wanted = frozenset(parts)
        key = (wanted, answer_tokens, domain)
        return self._once(key, lambda: self._count(wanted, answer_tokens, domain))

    def _once(self, key: Hashable, count: Callable[[], _Counted]) -> _Counted:
        found = self.counted.setdefault(self.reader.name, {})
        if key not in found:
            found[key] = count()
        return cast(_Counted, found[key])

    def _count(self, wanted: frozenset[str], answer_tokens: float, domain: str) -> Corpus:
        chosen = [
            example
            for example in self.examples
            if example.part in wanted and domain in ("", example.domain)
        ]
        if not chosen:
            return Corpus(0, 0, 0, 1)
        spread = max(1, len(chosen) // _MOST_ENCODED)
        looked_at = chosen[::spread]
        pairs = [self._lengths(example, answer_tokens) for example in looked_at]
        lengths = tuple(sorted(int(length) for length, _ in pairs))
        share = len(chosen) / len(looked_at) * self.scale
        return Corpus(
            int(len(chosen) * self.scale),
            int(sum(length for length, _ in pairs) * share),
            int(sum(trained for _, trained in pairs) * share),
            lengths[-1],
            lengths,
        )

    def answer_tokens(self) -> tuple[float, float]:
        """Mean and longest trained tokens of the examples with an answer; 0 when none has one."""
        return self._once("answers", self._answer_tokens)

    def _answer_tokens(self) -> tuple[float, float]:
        known = [example for example in self.examples if example.answer is not None]
        looked_at = known[:: max(1, len(known) // _MOST_ENCODED)]
        if not looked_at:
            return 0.0, 0.0
        trained = [self._lengths(example, 0.0)[1] for example in looked_at]
        return sum(trained) / len(trained), max(trained)

    def long_answers(self, most: int) -> tuple[int, int]:
        """Answers of more than that many tokens, and the answers that were looked at."""
        known = [example for example in self.examples if example.answer is not None]
        looked_at = known[:: max(1, len(known) // _MOST_ENCODED)]
        # The token that ends it is trained, and is no part of what may be written.
        long = sum(self._lengths(example, 0.0)[1] - 1 > most for example in looked_at)
        return long, len(looked_at)

    def _lengths(self, example: Example, answer_tokens: float) -> tuple[float, float]:
        if example.answer is None:
            text = self.reader.template.prompt_text(example.prompt)
            return len(self.reader.tokenizer.encode(text)[0]) + answer_tokens, answer_tokens
        encoded = _encode(example, self.reader)
        return float(len(encoded.ids)), float(encoded.is_trained.sum())


def preview(resolved: Resolved) -> Preview:
    """The examples of a recipe, made in memory; nothing is kept."""
    recipe = resolved.recipe
    base = resolved.loaded.base_folder
    collected = collect_rows(recipe.collect, base, resolved.held, _MOST_ROWS)
    scale, rows = _scale(collected, resolved), collected.rows
    if recipe.collect.source.collection and len(rows) > _MOST_MADE:
        # In any order: the first ones are of one label, and each tenth is of one source.
        scale *= len(rows) / _MOST_MADE
        rows = random.Random(0).sample(rows, _MOST_MADE)
    config = resolved.plan["prepare"].config
    prepare = _of_fewer(recipe.prepare.after_steps, scale)
    wanted = Wanted.of_config(config, resolved.locations, prepare)
    with tempfile.TemporaryDirectory() as folder:
        asked: dict[tuple[str, str], list[Example]] = {}
        are_there = recipe.collect.source.collection is None
        where = resolved.locations
        rows, counts = _do_steps(rows, resolved.plan, where, asked, are_there=are_there)
        writers = _noted("prepare", config, recipe.prepare.augment, asked)
        made = make_examples(rows, wanted, Path(folder), writers)
    counts += made.counts
    reasons, noted = _ended(counts), _notes(counts)
    return Preview(made.examples, made.readers, scale, made.num_cut, reasons, noted, asked)


def _scale(collected: Collected, resolved: Resolved) -> float:
    """Rows of the run for each one that is looked at; rows that may not be used were read too."""
    num_read = len(collected.rows) + len(collected.ended)
    if num_read < _MOST_ROWS and not resolved.is_assumed:
        return 1.0
    total = resolved.source.num_rows
    total = min(total, resolved.recipe.collect.limit or total)
    return max(1.0, total / max(1, len(collected.rows)))


def _of_fewer(prepare: Prepare, scale: float) -> Prepare:
    """The same of a part of the rows: every example stands for several, counted parts' too."""
    if scale == 1.0:
        return prepare
    parts = {
        name: max(1, round(size / scale)) if isinstance(size, int) and size else size
        for name, size in prepare.split.parts.items()
    }
    return prepare.model_copy(update={"split": prepare.split.model_copy(update={"parts": parts})})


def _encode(example: Example, reader: Reader) -> EncodedConversation:
    return encode_conversation(example.messages(), reader.template, reader.tokenizer)


def _ended(counts: Sequence[StepCount]) -> dict[str, int]:
    """Why rows ended, and how many; a merged row as the outcome says it."""
    found = Counter[str]()
    for count in counts:
        found.update(count.dropped)
        found.update(count.deferred)
        found.update({"merged": count.merged} if count.merged else {})
    return dict(found)


def _notes(counts: Sequence[StepCount]) -> dict[str, int]:
    found = Counter[str]()
    for count in counts:
        found.update(count.notes)
    return dict(found)


def _noted(
    key: str,
    config: dict[str, Any],
    step: Step | None,
    asked: dict[tuple[str, str], list[Example]],
) -> Mapping[str, AskedEngine]:
    """Engines for a step that answer nothing; what they are asked is added to `asked`."""
    if step is None or not step.asked:
        return NO_ENGINES
    engines = note_engines(config, step)
    for place, engine in engines.items():
        asked[key, place] = engine.noted.examples
    return {place: one.engine for place, one in engines.items()}


def _do_steps(
    rows: list[Row],
    plan: Plan,
    where: Mapping[str, str],
    asked: dict[tuple[str, str], list[Example]],
    *,
    are_there: bool,
) -> tuple[list[Row], list[StepCount]]:
    """What the named steps make of rows, by rule where they would ask, and the counts of each.

    Rows that are not there yet have no names that a file could know.
    """
    counts: list[StepCount] = []
    for instance in plan.instances:
        if instance.stage != "step":
            continue
        settings = settings_of(instance.config)
        engines = _noted(instance.key, instance.config, settings, asked)
        if isinstance(settings, DropOutliers):
            for engine in engines.values():
                OutlierJudge(engine)(likely_suspects(settings, rows))
        if not _compares_meanings(instance.config):
            step = step_of(instance.config, where, engines=engines)
            if isinstance(step, JoinStep):
                step = replace(step, takes_any=not are_there)
            rows, _, count = run_step(step, rows)
            require_rows(count)
            counts.append(count)
    return rows, counts


def _compares_meanings(config: dict[str, Any]) -> bool:
    """Whether a step compares all rows, perhaps by a model: too long for a look at a recipe."""
    return config.get("step", {}).get("name") in COMPARING


def find_mask(resolved: Resolved, part: str, number: int) -> tuple[Example, dict[str, MaskView]]:
    """One example token by token, with what is trained on, for each who reads it.

    Args:
        resolved: the recipe.
        part: which part to look in; empty for all that have answers.
        number: 0 for the first.

    Returns:
        The example; and by reader each of its tokens, and what there is to say about them: the
        student's first, and the teacher's where it reads otherwise.

    Raises:
        InputError: there is no such example.
    """
    seen = preview(resolved)
    known = [
        example
        for example in seen.examples
        if example.answer is not None and part in ("", example.part)
    ]
    if number >= len(known):
        raise InputError(
            f"there is no example {number} with an answer"
            + (f" in the part {part!r}" if part else ""),
            f"there are {len(known)}, counted from 0"
            + ("; rows that hold only prompts get theirs when the teacher labels" * (not known)),
        )
    messages = known[number].messages()
    views = {
        reader.name: explain_mask(messages, reader.template, reader.tokenizer)
        for reader in seen.readers
    }
    return known[number], views
