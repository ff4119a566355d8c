"""The step that counts which traditions and which unexpected pairs the rows hold.

Words are compared, nothing is understood: a name is no portrait of a tradition, and only people of
it can say whether it is shown with knowledge.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from ruamel.yaml import YAML

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Keep, Outcome, Row
from stillhouse.data.paths import MISSING, find
from stillhouse.data.tables_told import Tables
from stillhouse.evals.tags import TagFinder
from stillhouse.recipes.coverage import Coverage, Pair

TRADITIONS, PAIRS = "rows by tradition", "rows that do without what is usual"


@cache
def _own(file: str) -> dict[str, Any]:
    text = (resources.files("stillhouse.evals") / file).read_text("utf-8")
    told: dict[str, Any] = YAML(typ="safe", pure=True).load(text)
    return told


def own_traditions() -> dict[str, list[str]]:
    """The traditions that come with Stillhouse, each with its words."""
    probes = _own("audits/texts.yaml")["probes"]
    tags: dict[str, list[str]] = next(one for one in probes if one["name"] == "traditions")["tags"]
    return {name: tags[name] for name in _own("coverage.yaml")["kinds"]}


def own_pairs() -> dict[str, Pair]:
    """The pairs that come with Stillhouse."""
    pairs: dict[str, Any] = _own("coverage.yaml")["pairs"]
    return {name: Pair.model_validate(words, strict=False) for name, words in pairs.items()}


def kind_of(tradition: str) -> str:
    """What kind of thing a tradition is, such as `people` or `genre`; empty where nobody says."""
    return str(_own("coverage.yaml")["kinds"].get(tradition, ""))


@dataclass(frozen=True, slots=True)
class CoverageStep:
    """Keeps every row, and tells what is covered.

    Attributes:
        wanted: the settings.
    """

    wanted: Coverage
    name: str = "coverage"
    version: int = 1
    kind: str = "map"

    def process(self, batch: Sequence[Row]) -> list[Outcome]:
        """Keep every row."""
        return [Keep(row) for row in batch]

    def tell(self, rows: Iterable[Row]) -> Tables:
        """Rows by tradition and by pair.

        Args:
            rows: that go on.

        Returns:
            Two tables; a row may be of several traditions, and is then counted in each.

        Raises:
            InputError: a limit is not kept; names the traditions and pairs with their rows.
        """
        traditions = self.wanted.traditions or own_traditions()
        pairs = self.wanted.pairs or own_pairs()
        finder = TagFinder(traditions)
        seekers = {name: _seeker(pair) for name, pair in pairs.items()}
        of_tradition: Counter[str] = Counter(dict.fromkeys(traditions, 0))
        of_pair: Counter[str] = Counter(dict.fromkeys(pairs, 0))
        number = unnamed = 0
        for row in rows:
            number += 1
            text = "\n".join(filter(None, (_text(row, field) for field in self.wanted.fields)))
            found = self._traditions(row, text, finder)
            of_tradition.update(found)
            unnamed += not found
            of_pair.update(name for name, seeker in seekers.items() if _is_pair(seeker, text))
        self._require(of_tradition, of_pair)
        shown = {_shown(name): count for name, count in of_tradition.items()}
        return {
            TRADITIONS: {**shown, "none of them": unnamed, "all rows": number},
            PAIRS: dict(of_pair),
        }

    def _traditions(self, row: Row, text: str, finder: TagFinder) -> set[str]:
        if self.wanted.tradition_field is None:
            return finder.find(text)
        named = _text(row, self.wanted.tradition_field).strip()
        known = {name.casefold(): name for name in finder.names}
        return {known.get(named.casefold(), named)} if named else set()

    def _require(self, traditions: Mapping[str, int], pairs: Mapping[str, int]) -> None:
        wanted, problems = self.wanted, []
        there = sum(count > 0 for count in traditions.values())
        if there < wanted.traditions_at_least:
            problems.append(
                f"{there} traditions are there, traditions_at_least is "
                f"{wanted.traditions_at_least}{_without(traditions)}"
            )
        few = {name: n for name, n in traditions.items() if n < wanted.rows_at_least}
        if few:
            problems.append(f"rows_at_least is {wanted.rows_at_least}: {_counts(few)}")
        least, most = min(traditions.values()), max(traditions.values())
        if least < wanted.ratio_at_least * most:
            problems.append(
                f"the ratio of fewest to most rows is {least:,} to {most:,}, ratio_at_least is "
                f"{wanted.ratio_at_least:g}: {_counts(traditions)}"
            )
        scarce = {name: n for name, n in pairs.items() if n < wanted.pairs_at_least}
        if scarce:
            problems.append(f"pairs_at_least is {wanted.pairs_at_least}: {_counts(scarce)}")
        if problems:
            raise InputError(
                "the rows do not cover what the step coverage asks for: " + "; ".join(problems),
                "collect rows of what is scarce, or leave out some of what is frequent",
            )


def _seeker(pair: Pair) -> TagFinder:
    words = {"says": pair.says, "beside": pair.beside, "without": pair.without}
    return TagFinder({name: own for name, own in words.items() if own})


def _is_pair(seeker: TagFinder, text: str) -> bool:
    return seeker.find(text) == {"says", "beside"}


def _shown(name: str) -> str:
    kind = kind_of(name)
    return f"{name} ({kind})" if kind else name


def _without(traditions: Mapping[str, int]) -> str:
    missing = [name for name, count in traditions.items() if not count]
    return f"; not one row of {', '.join(missing)}" if missing else ""


def _counts(found: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {n:,}" for name, n in sorted(found.items(), key=lambda one: one[1]))


def _text(row: Row, field: str) -> str:
    value = find(row.fields, field)
    return (
        value if isinstance(value, str) else "" if value is MISSING or value is None else str(value)
    )
