"""The step that holds rows back that may not be used: licence, consent, erasure, age."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from stillhouse.core.rows import Drop, Keep, Outcome, Row
from stillhouse.data.paths import MISSING, find
from stillhouse.data.plain_values import plain_text
from stillhouse.recipes.licences import licence_id, licences
from stillhouse.recipes.rights import Rights
from stillhouse.store.erasures import SOURCE, SUBJECT, erased_name

_OF_TRAINING = {
    "no": ("licence forbids training", "forbidding_licence"),
    "ask": ("licence is to be decided on", "undecided_licence"),
}


@dataclass(frozen=True, slots=True)
class RowRights:
    """What is known of a row's origin; kept beside the rows, so that it can be found again.

    Attributes:
        row_id: of the collected row.
        source: where it came from.
        licence: an id of `recipes/licences.yaml`, else as it was written; empty where nobody says.
        consent: `given`, `missing` or empty where none is asked for.
        subject: who it is about, as it stands in the rows: hashed, where the recipe says so.
        day: of the row, as `2026-05-31`; empty where it has none.
    """

    row_id: str
    source: str
    licence: str
    consent: str
    subject: str
    day: str


@dataclass(frozen=True, slots=True)
class Held:
    """What is held back beside what the recipe says, found when a run begins.

    Attributes:
        erased: pairs of `source` or `subject` with the digest of its name.
        salt: of those digests.
        last_expired: the newest day that is too old; empty where none is.
    """

    erased: tuple[tuple[str, str], ...] = ()
    salt: str = ""
    last_expired: str = ""


NOTHING_HELD = Held()


def rights_of(row: Row, rights: Rights, source: str) -> RowRights:
    """What is known of a row's origin.

    Args:
        row: as it was read, ids of people hashed.
        rights: of the recipe.
        source: the name of the file or data set.

    Returns:
        Its licence, consent, source, subject and day.
    """
    consent = ""
    if rights.asks_consent:
        consent = "given" if _is_given(row, rights) else "missing"
    return RowRights(
        row_id=row.row_id,
        source=_text(row, rights.source_field) or source,
        licence=_licence(_text(row, rights.licence_field) or (rights.licence or "")),
        consent=consent,
        subject=_text(row, rights.subject_field),
        day=day_of(row, rights),
    )


def day_of(row: Row, rights: Rights) -> str:
    """The day of a row as `2026-05-31`; empty where it has none that can be read."""
    text = _text(row, rights.date_field)[:10]
    try:
        return datetime.date.fromisoformat(text).isoformat()
    except ValueError:
        return ""


def _licence(text: str) -> str:
    return licence_id(text) or text.strip()


def _is_given(row: Row, rights: Rights) -> bool:
    said = _plain(find(row.fields, rights.consent_field)) if rights.consent_field else ""
    return bool(said) and said in {_plain(value) for value in rights.consent_given}


def _plain(value: Any) -> str:
    return "" if value is MISSING else plain_text(value).casefold()


def _text(row: Row, path: str | None) -> str:
    value = find(row.fields, path) if path else None
    return "" if value is MISSING else plain_text(value)


@dataclass(frozen=True, slots=True)
class RightsStep:
    """Ends rows that may not be used, without their fields, which must not be kept.

    Attributes:
        rights: of the recipe.
        source: the name of the file or data set.
        held: what is held back beside.
    """

    rights: Rights
    source: str
    held: Held = NOTHING_HELD
    name: str = "rights"
    version: int = 2
    kind: str = "map"
    _erased: Collection[tuple[str, str]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_erased", frozenset(self.held.erased))

    def process(self, batch: Sequence[Row]) -> list[Outcome]:
        """Keep what may be used; what is let through all the same has a note."""
        return [self._judge(row) for row in batch]

    def _judge(self, row: Row) -> Outcome:
        known = rights_of(row, self.rights, self.source)
        without_fields = replace(row, fields={})
        if self.is_erased(known):
            return Drop(without_fields, "erased")
        if self.rights.keep_days:
            if not known.day:
                return Drop(without_fields, "no day", f"{self.rights.date_field} holds none")
            if known.day <= self.held.last_expired:
                return Drop(without_fields, "too old", known.day)
        notes = []
        for reason, key, evidence in self._objections(known):
            if key not in self.rights.let_through:
                return Drop(without_fields, reason, evidence)
            notes.append(f"let through: {reason}")
        return Keep(row, tuple(notes))

    def is_erased(self, known: RowRights) -> bool:
        """Whether somebody asked that rows of its source or subject be erased."""
        named = ((SOURCE, known.source), (SUBJECT, known.subject))
        return bool(self._erased) and any(
            bool(name) and (kind, erased_name(self.held.salt, name)) in self._erased
            for kind, name in named
        )

    def _objections(self, known: RowRights) -> list[tuple[str, str, str]]:
        """Reason, the word that lets it through, and what was seen."""
        found = []
        if known.consent == "missing":
            found.append(("no consent", "missing_consent", self.rights.consent_field or ""))
        permitted = {_licence(name) for name in self.rights.also_permitted}
        if not self.rights.asks_licence or known.licence in permitted:
            return found
        table = licences()
        if known.licence not in table:
            return [*found, ("unknown licence", "unknown_licence", known.licence or "none is said")]
        objection = _OF_TRAINING.get(table[known.licence].training)
        return [*found, (*objection, known.licence)] if objection else found
