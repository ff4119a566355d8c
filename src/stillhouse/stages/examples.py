"""From rows to examples that fit the models' context; used by `prepare` and by every preview."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Drop, Ended, Example, Row, StepCount
from stillhouse.data.asking import NO_ENGINES, AskedEngine
from stillhouse.data.augment import CHECK_VERSIONS
from stillhouse.data.drafts import without_system
from stillhouse.data.prepare import Prepared, prepare_rows
from stillhouse.data.votes import Votes
from stillhouse.recipes.domains import Domain
from stillhouse.recipes.measuring import Reference
from stillhouse.recipes.models import TrainedTokenizer
from stillhouse.recipes.rows import Prepare
from stillhouse.stages.corpus import SHARED, TOKENIZER, TOKENIZER_OF, own_home
from stillhouse.stages.domain_rows import by_domain, require_every_domain
from stillhouse.stages.sections import section_of
from stillhouse.stages.step_engines import refuse_waiting
from stillhouse.tokens.fit import TOO_LONG, Misfit, fit_to_context
from stillhouse.tokens.reader import Reader
from stillhouse.tokens.silence import silence
from stillhouse.tokens.template import build_template
from stillhouse.tokens.tokenizer import TextTokenizer, load_tokenizer
from stillhouse.tokens.train import train_tokenizer

NEVER_SEEN = ("holdout",)
"""Parts that not even the tokenizer may learn from."""
IN_HOLDOUT = "prompt stands in the holdout"
"""Why a row ends that was cut to the same prompt as one that is measured."""


@dataclass(frozen=True, slots=True)
class WantedReader:
    """How one reader comes about.

    Attributes:
        trained_tokenizer: learn one from the rows; None to load `tokenizer_from`.
        tokenizer_from: a folder with a tokenizer.
        template: `chat`, or the three texts of a plain one.
        context: tokens that the model holds; 0 for no limit.
        is_silent: thinking is switched off in the tokenizer's own template.
        name: as of `Reader`.
    """

    trained_tokenizer: TrainedTokenizer | None
    tokenizer_from: Path | None
    template: str | dict[str, Any]
    context: int
    is_silent: bool = False
    name: str = SHARED

    @classmethod
    def of_config(
        cls, config: Mapping[str, Any], locations: Mapping[str, str], name: str
    ) -> WantedReader:
        """As the configuration of `prepare` tells of one."""
        trained, folder = config["trained_tokenizer"], locations.get(TOKENIZER_OF + name)
        return cls(
            trained_tokenizer=section_of(TrainedTokenizer, trained) if trained else None,
            tokenizer_from=Path(folder) if folder and not trained else None,
            template=config["template"],
            context=config["context"],
            is_silent=config.get("thinking") == "off",
            name=name,
        )

    def max_tokens(self, prepare: Prepare) -> int:
        """The longest conversation; 2**31 when nobody sets a limit."""
        return min((one for one in (self.context, prepare.max_tokens) if one), default=2**31)

    def build(self, examples: list[Example], prepare: Prepare, folder: Path) -> Reader:
        """The reader; a tokenizer that is learned is written to the folder."""
        if self.trained_tokenizer:
            size = self.trained_tokenizer.vocab_size
            tokenizer = train_tokenizer(_texts(examples), size, folder, self.context or None)
        else:
            assert self.tokenizer_from is not None
            tokenizer = load_tokenizer(self.tokenizer_from)
        if self.is_silent:
            tokenizer = silence(tokenizer)
        template = build_template(self.template, tokenizer)
        return Reader(self.name, tokenizer, template, self.max_tokens(prepare))


@dataclass(frozen=True, slots=True)
class Wanted:
    """How rows become examples, beside the recipe's own section.

    Attributes:
        prepare: the section.
        readers: whom the examples must fit: the student, and a teacher that reads otherwise.
        room_for_answer: tokens kept free behind the prompts that a model will be asked.
        asked_parts: parts that are asked although they have answers; rows without one always are.
        domains: of the recipe, as name and settings, in its order.
        reference: whose answers the holdout is measured against.
    """

    prepare: Prepare
    readers: tuple[WantedReader, ...]
    room_for_answer: int
    asked_parts: tuple[str, ...]
    domains: tuple[tuple[str, Any], ...] = ()
    reference: Reference = "gold"

    @classmethod
    def of_config(
        cls, config: Mapping[str, Any], locations: Mapping[str, str], prepare: Prepare
    ) -> Wanted:
        """As the configuration of `prepare` tells."""
        readers = {SHARED: config} | ({"teacher": config["teacher"]} if "teacher" in config else {})
        return cls(
            prepare=prepare,
            readers=tuple(
                WantedReader.of_config(own, locations, name) for name, own in readers.items()
            ),
            room_for_answer=config["room_for_answer"],
            asked_parts=tuple(config["asked_parts"]),
            domains=config.get("domains", ()),
            reference=config.get("reference", "gold"),
        )


@dataclass(frozen=True, slots=True)
class Made:
    """Examples with all that happened on the way, the rows of the measured, votes and versions."""

    examples: list[Example]
    dropped: list[Ended]
    counts: list[StepCount]
    readers: tuple[Reader, ...]
    num_cut: int
    tokens: dict[str, int]
    measured: list[Row]
    not_learned: dict[str, int]
    votes: dict[str, Votes]
    versions: list[Row]

    @property
    def tokenizer(self) -> TextTokenizer:
        """The student's."""
        return self.readers[0].tokenizer


def make_examples(
    rows: Iterable[Row],
    wanted: Wanted,
    folder: Path,
    engines: Mapping[str, AskedEngine] = NO_ENGINES,
) -> Made:
    """Clean, shape, drop, split, learn or load each reader's tokenizer, and fit to all contexts.

    Args:
        rows: collected rows.
        wanted: how.
        folder: tokenizers that are learned are written into it, as a corpus has them.
        engines: that write versions of training rows.

    Returns:
        The examples, and what happened to every row.

    Raises:
        InputError: nothing is left of a part that is needed, or no room for any prompt.
    """
    _require_room(wanted)
    collected = list(rows)
    domains = {name: section_of(Domain, plain) for name, plain in wanted.domains}
    prepared = prepare_rows(collected, wanted.prepare, domains, engines, wanted.reference)
    _refuse_waiting(prepared, wanted.prepare)
    readers = tuple(
        one.build(prepared.examples, wanted.prepare, own_home(folder, one.name) / TOKENIZER)
        for one in wanted.readers
    )
    fitter = _Fitter(wanted, readers, prepared.cuttable)
    fits = [fitter.fit(example) for example in prepared.examples]
    _refuse_many_too_long(fits, wanted, readers)
    fits = _end_leaks(fits)
    kept = [fit for fit in fits if not fit.reason]
    if not any(fit.example.part == "holdout" for fit in kept):
        raise InputError(
            "no holdout example fits the context",
            "raise prepare.max_tokens, lower label.max_new_tokens and evaluate.max_new_tokens, or "
            "shorten the rows",
        )
    examples = by_domain([fit.example for fit in kept], list(domains))
    # As they were collected, where no step has made them.
    row_of = {row.row_id: row for row in (*prepared.made, *collected)}
    ended = [fit for fit in fits if fit.reason]
    dropped = [Drop(row_of[fit.example.example_id], fit.reason, fit.evidence) for fit in ended]
    tokens: Counter[str] = Counter()
    for fit in kept:
        tokens[fit.example.part] += fit.num_tokens
    ids = {fit.example.example_id for fit in kept}
    count = _count(fits, has_two_readers=len(readers) > 1)
    every = [*prepared.dropped, *dropped]
    require_every_domain(examples, every, list(domains), wanted.prepare)
    return Made(
        examples,
        every,
        [*prepared.counts, count],
        readers,
        count.changed,
        dict(tokens),
        [row for row in prepared.measured if row.row_id in ids],
        _not_learned(kept),
        {name: votes for name, votes in prepared.votes.items() if name in ids},
        [row for row in prepared.versions if row.row_id in ids],
    )


def _refuse_waiting(prepared: Prepared, prepare: Prepare) -> None:
    if prepare.augment is not None:
        count = next(one for one in prepared.counts if one.step == CHECK_VERSIONS)
        refuse_waiting(count, prepare.augment, count.rows_in)


def _not_learned(fits: list[_Fit]) -> dict[str, int]:
    """What the template keeps from being learned or asked as it is written; empty for most."""
    counts = {
        "answers_left_out": sum(fit.num_left_out for fit in fits),
        "answers_behind_an_empty_thought": sum(fit.has_empty_thought for fit in fits),
    }
    return {name: count for name, count in counts.items() if count}


def _count(fits: list[_Fit], *, has_two_readers: bool) -> StepCount:
    """What became of the examples; of two readers, whom each cut was for."""
    kept = [fit for fit in fits if not fit.reason]
    reasons = Counter(fit.reason for fit in fits if fit.reason)
    cut_for = Counter(name for fit in kept for name in fit.cut_for)
    notes = {f"cut to the {name}'s context": cut_for[name] for name in sorted(cut_for)}
    return StepCount(
        "fit_to_context",
        len(fits),
        len(kept),
        dict(sorted(reasons.items())),
        sum(bool(fit.cut_for) for fit in kept),
        notes=notes if has_two_readers else {},
    )


def _texts(examples: list[Example]) -> Iterable[str]:
    for example in examples:
        if example.part not in NEVER_SEEN:
            yield from (message.content for message in example.messages())


def _require_room(wanted: Wanted) -> None:
    most = min(reader.max_tokens(wanted.prepare) for reader in wanted.readers)
    if wanted.room_for_answer >= most:
        raise InputError(
            f"an answer may take {wanted.room_for_answer:,} tokens (label.max_new_tokens, "
            f"evaluate.max_new_tokens) of the {most:,} that a conversation may have "
            "(prepare.max_tokens and the models' context): none is left for a prompt",
            "make the first smaller, or take models of a longer context",
        )


@dataclass(frozen=True, slots=True)
class _Fit:
    """What became of one example: perhaps cut, or ended for a reason."""

    example: Example
    num_tokens: int = 0
    cut_for: tuple[str, ...] = ()
    reason: str = ""
    evidence: str = ""
    num_left_out: int = 0
    has_empty_thought: bool = False


@dataclass(frozen=True, slots=True)
class _Fitter:
    """Fits examples to the contexts of their readers."""

    wanted: Wanted
    readers: tuple[Reader, ...]
    cuttable: Mapping[str, tuple[int, int]]

    def fit(self, example: Example) -> _Fit:
        try:
            return self._fit(example)
        except InputError as error:
            raise InputError(f"row {example.example_id}: {error.message}", error.hint) from error

    def _fit(self, example: Example) -> _Fit:
        wanted = self.wanted
        is_asked = example.answer is None or example.part in wanted.asked_parts
        room = wanted.room_for_answer if is_asked else 0
        fitted = fit_to_context(
            example.messages(),
            self.readers,
            room_for_answer=room,
            cuttable=self.cuttable.get(example.example_id),
        )
        if isinstance(fitted, Misfit):
            kept_free = f" with {room} kept free for an answer" if room else ""
            whose = f" of the {fitted.reader.name}" if len(self.readers) > 1 else ""
            return _Fit(
                example,
                reason=TOO_LONG + whose,
                evidence=f"over {fitted.reader.max_tokens} tokens{kept_free}",
            )
        prompt = fitted.messages if example.answer is None else fitted.messages[:-1]
        return _Fit(
            dataclasses.replace(example, prompt=prompt),
            fitted.num_tokens,
            fitted.cut_for,
            num_left_out=fitted.num_left_out,
            has_empty_thought=fitted.has_empty_thought,
        )


def _refuse_many_too_long(fits: list[_Fit], wanted: Wanted, readers: tuple[Reader, ...]) -> None:
    """An answer is never cut: an example that does not fit with its prompt cut is lost."""
    allowed = wanted.prepare.too_long_at_most
    lost = Counter(fit.reason for fit in fits if fit.reason.startswith(TOO_LONG))
    if lost.total() > allowed * len(fits):
        most = " or ".join(f"{reader.max_tokens:,}" for reader in readers)
        whose = {TOO_LONG + f" of the {one.name}": f"the {one.name}'s" for one in readers}
        told = ", ".join(f"{lost[why]:,} than {who}" for why, who in whose.items() if lost[why])
        raise InputError(
            f"{lost.total():,} of {len(fits):,} examples are longer than {most} tokens"
            f"{f' ({told})' if told else ''} even "
            "with their prompts cut, and answers are never cut; prepare.too_long_at_most allows "
            f"{allowed:.0%}",
            "raise prepare.max_tokens as far as the models' context allows, lower "
            "label.max_new_tokens and evaluate.max_new_tokens, or allow more to be dropped",
        )


def _end_leaks(fits: list[_Fit]) -> list[_Fit]:
    """The same, but what a cut made equal to a prompt of the holdout ends.

    The split kept equal prompts together when they were whole.
    """
    if not any(fit.cut_for for fit in fits):
        return fits
    measured = {
        without_system(fit.example.prompt): fit.example.example_id
        for fit in fits
        if fit.example.part == "holdout" and not fit.reason
    }

    def judge(fit: _Fit) -> _Fit:
        twin = measured.get(without_system(fit.example.prompt))
        if fit.reason or fit.example.part == "holdout" or twin is None:
            return fit
        evidence = f"equals the prompt of {twin} once cut"
        return dataclasses.replace(fit, reason=IN_HOLDOUT, evidence=evidence)

    return [judge(fit) for fit in fits]
