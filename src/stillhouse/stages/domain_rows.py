"""The examples of a recipe with domains: in the order of the domains, and enough of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Ended, Example
from stillhouse.data.domains import UNKNOWN, domain_of
from stillhouse.data.nearest import some_of
from stillhouse.recipes.rows import Prepare

_LEARNED = ("labelled", "unlabelled")


def by_domain(examples: Sequence[Example], names: Sequence[str]) -> list[Example]:
    """The examples domain by domain, so that a model with adapters changes them seldom.

    Args:
        examples: in the order of the rows.
        names: of the recipe's domains, in its order; empty leaves the examples as they are.

    Returns:
        Those of one domain in the order of the rows.
    """
    place = {name: index for index, name in enumerate(names)}
    return sorted(examples, key=lambda example: place.get(example.domain, 0))


def require_every_domain(
    examples: Sequence[Example], dropped: Sequence[Ended], names: Sequence[str], prepare: Prepare
) -> None:
    """Make sure that every domain can be learned and measured.

    Args:
        examples: that are left.
        dropped: rows that ended.
        names: of the recipe's domains.
        prepare: the recipe's section.

    Raises:
        InputError: a domain has no example to learn from, none in the holdout, or none in the
            validation part where the split makes one.
    """
    counts = Counter((example.domain, example.part) for example in examples)
    for name in names:
        own = {part: number for (domain, part), number in counts.items() if domain == name}
        if not own:
            raise _no_rows(name, dropped, prepare)
        needed = {
            "labelled or unlabelled": sum(own.get(part, 0) for part in _LEARNED),
            **{
                part: own.get(part, 0)
                for part in ("validation", "holdout")
                if prepare.split.parts.get(part)
            },
        }
        lacking = next((part for part, number in needed.items() if not number), None)
        if lacking:
            stated = ", ".join(f"{part} {number:,}" for part, number in sorted(own.items()))
            raise InputError(
                f"the domain {name!r} has no example in the part {lacking}; it has {stated}",
                "collect more rows of it, or make that part of prepare.split.parts larger",
            )


def _no_rows(name: str, dropped: Sequence[Ended], prepare: Prepare) -> InputError:
    field = prepare.domain_field or ""
    ended = Counter(drop.reason for drop in dropped if domain_of(drop.row, field) == name)
    if ended:
        reasons = some_of(f"{reason} {number:,}" for reason, number in ended.most_common())
        return InputError(
            f"no row of the domain {name!r} is left; they ended as: {reasons}",
            "look at prepare.drop, prepare.max_tokens and prepare.split.parts",
        )
    others = Counter(domain_of(drop.row, field) for drop in dropped if drop.reason == UNKNOWN)
    said = some_of(f"{other!r} ({number:,})" for other, number in others.most_common())
    return InputError(
        f"no row says {name!r} in its field {field!r}"
        + (f"; rows of domains that the recipe does not name: {said}" if said else ""),
        "name the domains as the rows do, or take this one out of `domains`",
    )
