"""The split: which part each row is for.

A row's part depends on what the rows ask, on their groups and the seed: neither on their order
nor on fields that the recipe does not name.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from stillhouse.core.errors import InputError
from stillhouse.core.hashing import canonical_json, digest_text
from stillhouse.core.rows import MEASURED, Drop, Keep, Outcome, Row
from stillhouse.data.drafts import Draft, drafts_of
from stillhouse.data.groups import group_drafts
from stillhouse.data.leaks import near_groups, near_learned, shared_with_measured
from stillhouse.data.paths import value_at
from stillhouse.data.shares import TAKES_UNANSWERED, UNLABELLED, only, resolve_sizes, round_shares
from stillhouse.recipes import rows as recipe
from stillhouse.recipes.measuring import Reference

NEAR_LEARNED = "measured, and a near copy is learned"
SHARES_WORDS = "shares words with a measured row"
NO_REFERENCE = "no reference to measure against"
OWN_NOT_LOOKED_AT = "measured by the teacher's answer, and its own is not looked at"

_NOWHERE = ""
# What is measured on comes first: it keeps its size best when groups are large.
_ORDER = ("holdout", "validation", "labelled", "teacher", UNLABELLED, _NOWHERE)


@dataclass(frozen=True, slots=True)
class SplitStep:
    """Deals whole groups out to the parts; what no part takes ends here."""

    settings: recipe.Split
    reference: Reference = "gold"
    name: str = "split"
    version: int = 3
    kind: str = "whole"

    def process(self, batch: Sequence[Row]) -> list[Outcome]:
        """Keep each row with its part and group; drop what no part takes."""
        drafts = drafts_of(batch)
        found = assign_parts(drafts, self.settings, self.reference)
        part_of = {row_id: part for row_id, (part, _) in found.items()}
        words = self.settings.shared_words
        shared = shared_with_measured(drafts, part_of, words) if words else {}
        _check_words_leave_every_part(part_of, shared, words)
        left = [draft for draft in drafts if draft.row_id not in shared]
        leaked = near_learned(left, part_of)
        outcomes = [
            Drop(draft, SHARES_WORDS, shared[draft.row_id])
            if draft.row_id in shared
            else self._outcome(draft, found.get(draft.row_id, (_NOWHERE, "")), leaked)
            for draft in drafts
        ]
        _check_something_is_measured(outcomes)
        return outcomes

    def _outcome(self, draft: Draft, place: tuple[str, str], leaked: Collection[str]) -> Outcome:
        part, group = place
        takers = TAKES_UNANSWERED[self.reference]
        if draft.answer is None and part not in takers:
            return Drop(draft, "no answer", f"{only(takers)} without an answer")
        if part == _NOWHERE:
            return Drop(draft, "not in any part")
        if part in MEASURED and self.reference == "gold" and _lacks_reference(draft):
            return Drop(draft, NO_REFERENCE, f"dealt to {part}")
        is_hidden = self.reference == "teacher" and part == "holdout" and draft.answer is not None
        notes = (
            *((NEAR_LEARNED,) if draft.row_id in leaked else ()),
            *((OWN_NOT_LOOKED_AT,) if is_hidden else ()),
        )
        return Keep(replace(draft, part=part, group=group), notes)


def _lacks_reference(draft: Draft) -> bool:
    """Whether a row has an answer and nothing to hold another one against: all would be wrong."""
    return draft.reference != draft.answer and not (draft.reference or "").strip()


@dataclass(frozen=True, slots=True)
class Unit:
    """Rows that stay together.

    Attributes:
        name: the group.
        num_rows: how many of them count: those with an answer, else all.
        stratum: the value that most of them have.
        has_answer: any of them has one.
    """

    name: str
    num_rows: int
    stratum: str
    has_answer: bool


def assign_parts(
    drafts: Sequence[Draft], settings: recipe.Split, reference: Reference = "gold"
) -> dict[str, tuple[str, str]]:
    """The part and the group of each row that a part may take.

    Args:
        drafts: rows with prompts and answers.
        settings: sizes, groups, strata, seed.
        reference: whose answers are measured against; the teacher answers every measured row.

    Returns:
        Row id to (part, group); the part is empty for a row that no part takes.

    Raises:
        InputError: not enough rows, or a part that would stay empty.
    """
    takes_unanswered = any(part in settings.parts for part in TAKES_UNANSWERED[reference])
    usable = [draft for draft in drafts if takes_unanswered or draft.answer is not None]
    if not usable:
        raise InputError(
            f"none of {len(drafts):,} rows has an answer, so the part holdout stays empty",
            "name the field that holds the answer in prepare.answer; rows that hold only prompts "
            "are measured with evaluate.reference: teacher",
        )
    near = near_groups(usable, settings.near_duplicates) if settings.near_duplicates else {}
    group_of = group_drafts(usable, settings.group_by, near)
    units = _units(usable, group_of, settings.stratify_by)
    part_of = _deal_all(units, settings, TAKES_UNANSWERED[reference])
    _check_no_part_is_empty(units, part_of, settings)
    return {row_id: (part_of[group], group) for row_id, group in group_of.items()}


def _units(
    drafts: Sequence[Draft], group_of: Mapping[str, str], stratify_by: str | None
) -> list[Unit]:
    members: dict[str, list[Draft]] = defaultdict(list)
    for draft in drafts:
        members[group_of[draft.row_id]].append(draft)
    units = []
    for name, rows in members.items():
        answered = [draft for draft in rows if draft.answer is not None]
        counted = answered or rows
        strata = Counter(_stratum(draft, stratify_by) for draft in counted)
        stratum = min(strata, key=lambda value: (-strata[value], value))
        units.append(Unit(name, len(counted), stratum, bool(answered)))
    return units


def _stratum(draft: Draft, stratify_by: str | None) -> str:
    if not stratify_by:
        return draft.domain
    value = canonical_json(value_at(draft, stratify_by, "prepare.split.stratify_by"))
    return f"{draft.domain}\n{value}" if draft.domain else value


def _deal_all(
    units: Sequence[Unit], settings: recipe.Split, takers: Sequence[str]
) -> dict[str, str]:
    answered = [unit for unit in units if unit.has_answer]
    bound = [unit for unit in units if not unit.has_answer]
    num_unanswered = sum(unit.num_rows for unit in bound)
    num_answered = sum(unit.num_rows for unit in answered)
    sizes = resolve_sizes(settings.parts, num_answered, num_unanswered, takers)
    if "holdout" in takers:
        return _deal_to_all(units, sizes, takers, settings.seed)
    # Rows without an answer fill `unlabelled` first: nothing else can use them.
    num_bound = min(sizes.get(UNLABELLED, 0), num_unanswered)
    part_of = deal(bound, {UNLABELLED: num_bound}, settings.seed)
    left = sizes | {UNLABELLED: sizes.get(UNLABELLED, 0) - num_bound}
    return part_of | deal(answered, left, settings.seed)


def _deal_to_all(
    units: Sequence[Unit], sizes: Mapping[str, int], takers: Sequence[str], seed: int
) -> dict[str, str]:
    """Where measured rows need no answer: those that need one first, all others from what is left.

    So the holdout is drawn from all rows alike, but for those that gold answers are learned from.
    """
    learned = {part: size for part, size in sizes.items() if part not in takers}
    dealt = deal([unit for unit in units if unit.has_answer], learned, seed)
    part_of = {name: part for name, part in dealt.items() if part}
    left = [unit for unit in units if unit.name not in part_of]
    # A large group may have given more than was asked for.
    room, others = sum(unit.num_rows for unit in left), {}
    for part in (one for one in _ORDER if one in takers):
        others[part] = min(sizes.get(part, 0), room)
        room -= others[part]
    return part_of | deal(left, others, seed)


def deal(units: Sequence[Unit], sizes: Mapping[str, int], seed: int) -> dict[str, str]:
    """The part of each unit: exact sizes and shares for units of one row, else the closest.

    Args:
        units: what stays together.
        sizes: rows of each part; at most as many as the units hold.
        seed: another seed deals otherwise.

    Returns:
        Unit name to part, an empty one for those left over.
    """
    num_rows = sum(unit.num_rows for unit in units)
    wanted = {**sizes, _NOWHERE: num_rows - sum(sizes.values())}
    parts = [part for part in _ORDER if wanted.get(part)]
    strata: dict[str, list[Unit]] = defaultdict(list)
    for unit in units:
        strata[unit.stratum].append(unit)
    names = sorted(strata)
    shares = round_shares(
        [sum(unit.num_rows for unit in strata[name]) for name in names],
        [wanted[part] for part in parts],
        seed,
    )
    part_of: dict[str, str] = {}
    # What large groups kept a part from getting in one stratum is made up for in the next.
    missing = dict.fromkeys(parts, 0)
    for name, share in zip(names, shares, strict=True):
        for part, number in zip(parts, share, strict=True):
            missing[part] += number
        ordered = sorted(strata[name], key=lambda unit: (-unit.num_rows, _chance(unit, seed)))
        for num_rows, alike in groupby(ordered, key=lambda unit: unit.num_rows):
            names_alike = [unit.name for unit in alike]
            part_of |= zip(names_alike, _take(missing, len(names_alike), num_rows), strict=True)
    return part_of


def _take(missing: dict[str, int], num_units: int, num_rows: int) -> list[str]:
    """The parts of units of one size, lowered in `missing`; each part takes neighbours.

    Neighbours, because a row more or less then moves rows at the borders of the parts alone.
    """
    taken: Counter[str] = Counter()
    for _ in range(num_units):
        part = max(missing, key=missing.__getitem__)
        taken[part] += 1
        missing[part] -= num_rows
    return [part for part in missing for _ in range(taken[part])]


def _chance(unit: Unit, seed: int) -> str:
    return digest_text(f"{seed}\n{unit.name}")


def _check_something_is_measured(outcomes: Sequence[Outcome]) -> None:
    lost = [one for one in outcomes if isinstance(one, Drop) and one.reason == NO_REFERENCE]
    if not lost or any(
        isinstance(one, Keep) and isinstance(one.row, Draft) and one.row.part == "holdout"
        for one in outcomes
    ):
        return
    raise InputError(
        f"not one row of the holdout has a reference; {lost[0].row.provenance} has none",
        "name the field that holds what is right under prepare.reference; without that key the "
        "answer counts",
    )


def _check_words_leave_every_part(
    part_of: Mapping[str, str], shared: Collection[str], words: int | None
) -> None:
    dealt = Counter(part_of.values())
    left = Counter(part for row_id, part in part_of.items() if row_id not in shared)
    for part in (one for one in dealt if one and not left[one]):
        raise InputError(
            f"prepare.split.shared_words: {words} drops all {dealt[part]:,} rows of the part "
            f"{part}: each shares so many words with a measured row",
            "ask for a longer run: 13 is usual; or keep rows that share words together with "
            "prepare.split.near_duplicates",
        )


def _check_no_part_is_empty(
    units: Sequence[Unit], part_of: Mapping[str, str], settings: recipe.Split
) -> None:
    got: Counter[str] = Counter()
    for unit in units:
        got[part_of[unit.name]] += unit.num_rows
    for part, size in settings.parts.items():
        if got[part] or (size == 0 and part != "holdout"):
            continue
        stated = ", ".join(f"{name} {got[name]:,}" for name in settings.parts)
        largest = max(unit.num_rows for unit in units)
        raise InputError(
            f"prepare.split.parts.{part} is {size} and gets no row of {sum(got.values()):,} "
            f"({stated}); the largest group has {largest:,} rows",
            "a group is never cut: collect more rows, make the other parts smaller, or group by "
            "another field",
        )
