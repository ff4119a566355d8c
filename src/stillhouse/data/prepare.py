"""From rows to examples: clean, shape, drop, dedup, split; every row is accounted for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from stillhouse.core.errors import InputError
from stillhouse.core.rows import MEASURED, Ended, Example, Row, StepCount
from stillhouse.data.account import Step, check_balance, run_step
from stillhouse.data.asking import NO_ENGINES, AskedEngine
from stillhouse.data.augment import AugmentStep, CheckVersionsStep, as_rows
from stillhouse.data.conversations import NO_DOMAINS, build_shaper
from stillhouse.data.domains import DomainStep
from stillhouse.data.drafts import Draft, drafts_of
from stillhouse.data.shares import TAKES_UNANSWERED, UNLABELLED
from stillhouse.data.split import SplitStep
from stillhouse.data.steps import CleanStep, DedupStep, DropStep, ShapeStep
from stillhouse.data.votes import Votes, votes_of
from stillhouse.recipes.domains import Domain
from stillhouse.recipes.measuring import Reference
from stillhouse.recipes.rows import Prepare


@dataclass(frozen=True, slots=True)
class Prepared:
    """What became of the rows.

    Attributes:
        examples: in the order of the rows.
        dropped: every other row with how it ended, step by step.
        counts: one a step; they balance.
        made: rows that a step made, as they were when it made them.
        measured: cleaned rows of the examples of validation and holdout, in the same order.
        votes: of the examples that people voted on, by their names.
        versions: the training rows in their several versions, where the recipe wants some.
        cuttable: from where to where in its last turn an example may be cut, by its name; empty
            where the recipe names no field.
    """

    examples: list[Example]
    dropped: list[Ended]
    counts: list[StepCount]
    made: list[Row]
    measured: list[Row]
    votes: dict[str, Votes]
    versions: list[Row]
    cuttable: dict[str, tuple[int, int]]


def prepare_rows(
    rows: Iterable[Row],
    prepare: Prepare,
    domains: Mapping[str, Domain] = NO_DOMAINS,
    engines: Mapping[str, AskedEngine] = NO_ENGINES,
    reference: Reference = "gold",
) -> Prepared:
    """Examples of the rows, dealt out to the parts.

    Args:
        rows: collected rows with their columns selected, the named steps done.
        prepare: the recipe's section.
        domains: of the recipe, by name.
        engines: that write versions of training rows, by their key below the step `augment`.
        reference: whose answers the holdout is measured against.

    Returns:
        Examples, dropped rows and counts. Only validation and holdout carry the reference;
        unlabelled carries neither answer nor reference, even where the row has them, and neither
        does a holdout that is measured against the teacher.

    Raises:
        InputError: rows that do not fit the recipe, or not enough of them.
        AccountingError: a row was lost.
    """
    collected = list(rows)
    _check_ids_differ(collected)
    current, dropped, counts = collected, list[Ended](), list[StepCount]()
    made, known = list[Row](), {row.row_id for row in collected}
    for step in build_steps(prepare, domains, engines, reference):
        if not current:
            raise _nothing_left(len(collected), dropped)
        try:
            current, drops, count = run_step(step, current)
        except InputError as error:
            raise _with_ended(error, counts) from error
        made += [row for row in current if row.row_id not in known]
        known.update(row.row_id for row in current)
        dropped += drops
        counts.append(count)
    check_balance(counts, len(collected), len(current))
    drafts = drafts_of(current)
    measured = [draft for draft in drafts if draft.part in MEASURED]
    hidden = (UNLABELLED,) if reference == "gold" else (UNLABELLED, "holdout")
    examples = [_example(draft, hidden) for draft in drafts]
    votes = _votes(drafts, prepare.votes)
    cuttable = {draft.row_id: draft.cuttable for draft in drafts if draft.cuttable}
    versions = as_rows(drafts)
    return Prepared(examples, dropped, counts, made, [*measured], votes, versions, cuttable)


def build_steps(
    prepare: Prepare,
    domains: Mapping[str, Domain] = NO_DOMAINS,
    engines: Mapping[str, AskedEngine] = NO_ENGINES,
    reference: Reference = "gold",
) -> list[Step]:
    """The steps of a recipe's `prepare`, in order.

    Args:
        prepare: the recipe's section.
        domains: as in `prepare_rows`.
        engines: as in `prepare_rows`.
        reference: as in `prepare_rows`.

    Returns:
        clean, domains where the recipe has some, shape, drop, dedup, split, and the versions of
        training rows where it wants some.

    Raises:
        InputError: a template that cannot be parsed.
    """
    dealt = [DomainStep(prepare.domain_field or "", tuple(domains))] if domains else []
    shape = build_shaper(prepare, domains)
    needs_answer = not set(TAKES_UNANSWERED[reference]) & set(prepare.split.parts)
    return [
        *([] if prepare.clean.is_off else [CleanStep(prepare.clean)]),
        *dealt,
        ShapeStep(shape),
        DropStep(prepare.drop, needs_answer),
        DedupStep(prepare.drop),
        SplitStep(prepare.split, reference),
        *_versions(prepare, shape, engines),
    ]


def _versions(
    prepare: Prepare, shape: Callable[[Row], Draft], engines: Mapping[str, AskedEngine]
) -> list[Step]:
    wanted = prepare.augment
    if wanted is None:
        return []
    writers = {place.removeprefix("engines."): engine for place, engine in engines.items()}
    is_asked = all(version in writers and writers[version].is_real for version in wanted.engines)
    return [AugmentStep(wanted, shape, writers), CheckVersionsStep(is_asked)]


def _votes(drafts: Sequence[Draft], field: str | None) -> dict[str, Votes]:
    if field is None:
        return {}
    found = {draft.row_id: votes_of(draft.fields.get(field), draft.provenance) for draft in drafts}
    kept = {row_id: votes for row_id, votes in found.items() if votes is not None}
    if not kept:
        raise InputError(
            f"not one of {len(drafts):,} rows has votes under {field!r}",
            "name the field that holds them under prepare.votes",
        )
    return kept


def _example(draft: Draft, hidden: Collection[str]) -> Example:
    is_hidden = draft.part in hidden
    return Example(
        example_id=draft.row_id,
        part=draft.part,
        prompt=draft.prompt,
        answer=None if is_hidden else draft.answer,
        reference=draft.reference if draft.part in MEASURED and not is_hidden else None,
        group=draft.group,
        domain=draft.domain,
    )


def _check_ids_differ(rows: Sequence[Row]) -> None:
    seen: dict[str, Row] = {}
    for row in rows:
        first = seen.setdefault(row.row_id, row)
        if first is not row:
            raise InputError(
                f"the row id {row.row_id} stands at {first.provenance} and at {row.provenance}",
                "a row was collected twice; collect each source once",
            )


def _with_ended(error: InputError, counts: Sequence[StepCount]) -> InputError:
    """The same, with the rows that ended before: too few rows are most often those."""
    reasons = Counter[str]()
    for count in counts:
        reasons.update(count.dropped)
    if not reasons:
        return error
    stated = ", ".join(f"{reason} {number:,}" for reason, number in reasons.most_common())
    return InputError(f"{error.message}; rows that ended before: {stated}", error.hint)


def _nothing_left(num_rows: int, dropped: Sequence[Ended]) -> InputError:
    if not num_rows:
        return InputError("there are no rows to prepare", "look at collect.source")
    last = dropped[-1]
    return InputError(
        f"none of {num_rows:,} rows is left; the last one to end, {last.row.provenance}, "
        f"was: {last.reason}{' (' + last.evidence + ')' if last.evidence else ''}",
        "look at prepare.drop, and whether the prompt's fields hold text",
    )
