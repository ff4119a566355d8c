"""The versions of a training row: formal, casual, general by engines, and one with typos.

Done behind the split, to drafts that have their part, so that no version of a measured row exists.
All versions that were wanted are made; a second step ends those that are of no use, so that each of
them is counted and kept with what was said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields

from stillhouse.core.errors import InputError
from stillhouse.core.hashing import digest_text
from stillhouse.core.rows import MEASURED, Defer, Drop, Emit, Keep, Message, Outcome, Row
from stillhouse.data.asking import AskedEngine, Wish, Worded, reword
from stillhouse.data.drafts import Draft, drafts_of
from stillhouse.data.rewording import Embed, Held
from stillhouse.data.typos import misspell
from stillhouse.data.words import words_of
from stillhouse.recipes.rewording import Augment

VERSION = "version"
CHECK_VERSIONS = "check_versions"
ORIGINAL, TYPOS = "original", "typos"

_ID_LENGTH = 20

UNSAID = Worded()
"""Nobody was asked for other words."""


@dataclass(frozen=True, slots=True)
class Variant(Draft):
    """A version of a row.

    Attributes:
        version: which.
        worded: what became of its words; its flaw ends it.
    """

    version: str = ORIGINAL
    worded: Worded = UNSAID


@dataclass(frozen=True, slots=True)
class AugmentStep:
    """Makes every version of each training row.

    Attributes:
        wanted: the recipe's settings.
        shape: makes a draft of a row.
        engines: version to who writes it; one that is not real leaves every text as it is.
        embed: compares meanings.
    """

    wanted: Augment
    shape: Callable[[Row], Draft]
    engines: Mapping[str, AskedEngine]
    embed: Embed | None = None
    name: str = "augment"
    version: int = 1
    kind: str = "expand"

    def process(self, batch: Sequence[Row]) -> list[Outcome]:
        """Emit the versions of each training row; keep the others as they are.

        Args:
            batch: drafts with their parts.

        Returns:
            One outcome a row.

        Raises:
            InputError: no training row has the field, or the prompt does not show it.
        """
        drafts = drafts_of(batch)
        learned = [draft for draft in drafts if draft.part not in MEASURED]
        texts = {draft.row_id: text for draft in learned if (text := self._text(draft))}
        if learned and not texts:
            raise InputError(
                f"not one of {len(learned):,} training rows has a text in {self.wanted.field!r}, "
                "which augment is to write in other words",
                "name the field of the question under field",
            )
        worded = {version: self._words(version, learned, texts) for version in self._written}
        made = {draft.row_id: self._versions(draft, worded) for draft in learned}
        return [
            Emit(draft, made[draft.row_id]) if draft.row_id in made else Keep(draft)
            for draft in drafts
        ]

    @property
    def _written(self) -> list[str]:
        return [version for version in self.wanted.versions if version != ORIGINAL]

    def _text(self, draft: Draft) -> str:
        text = draft.fields.get(self.wanted.field)
        return text if isinstance(text, str) and words_of(text) else ""

    def _words(
        self, version: str, drafts: Sequence[Draft], texts: Mapping[str, str]
    ) -> dict[str, Worded]:
        if version == TYPOS:
            return {name: self._typos(name, text) for name, text in texts.items()}
        engine = self.engines.get(version)
        if engine is None:
            return {name: Worded(text) for name, text in texts.items()}
        wishes = [
            Wish(draft.row_id, {"text": texts[draft.row_id]}, self._held(draft, texts))
            for draft in drafts
            if draft.row_id in texts
        ]
        found = reword(wishes, [engine], version, self.embed)
        return found if engine.is_real else {name: Worded(text) for name, text in texts.items()}

    def _held(self, draft: Draft, texts: Mapping[str, str]) -> Held:
        text, answer = texts[draft.row_id], draft.fields.get(self.wanted.answer)
        told = answer if isinstance(answer, str) else ""
        return Held(text, told, asks=text.rstrip().endswith("?"), instead_of=text)

    def _typos(self, row_id: str, text: str) -> Worded:
        said = misspell(text, f"{self.wanted.seed}\n{row_id}", self.wanted.words_per_typo)
        return Worded(said) if said != text else Worded(flaw="same_words", said=said)

    def _versions(
        self, draft: Draft, worded: Mapping[str, Mapping[str, Worded]]
    ) -> tuple[Variant, ...]:
        made = [self._variant(draft, ORIGINAL, UNSAID)]
        for version, found in worded.items():
            if draft.row_id in found:
                made.append(self._variant(draft, version, found[draft.row_id]))
        return tuple(made)

    def _variant(self, draft: Draft, version: str, worded: Worded) -> Variant:
        told = {self.wanted.field: worded.text} if worded.text else {}
        row = Row(
            row_id=digest_text(f"{draft.row_id}\n{VERSION}\n{version}")[:_ID_LENGTH],
            fields=draft.fields | told | {VERSION: version},
            provenance=draft.provenance,
            root_id=draft.root_id or draft.row_id,
            parent_ids=(draft.row_id,),
        )
        shaped = self.shape(row) if told else draft
        if told and shaped.prompt == draft.prompt and not self._is_unasked(version):
            raise InputError(
                f"{draft.provenance}: the prompt is the same in other words: it does not show "
                f"{self.wanted.field!r}",
                "name the field that prepare.user shows under field of the step augment",
            )
        held = {item.name: getattr(shaped, item.name) for item in fields(Draft)}
        own = {item.name: getattr(row, item.name) for item in fields(Row)}
        placed = {"part": draft.part, "group": draft.group, "domain": draft.domain}
        return Variant(**(held | own | placed), version=version, worded=worded)

    def _is_unasked(self, version: str) -> bool:
        engine = self.engines.get(version)
        return version != TYPOS and (engine is None or not engine.is_real)


@dataclass(frozen=True, slots=True)
class CheckVersionsStep:
    """Ends versions that are of no use, and those that ask what another row asks.

    Attributes:
        is_asked: words of engines are really theirs, so that it counts what they repeat.
    """

    is_asked: bool
    name: str = CHECK_VERSIONS
    version: int = 1
    kind: str = "whole"

    def process(self, batch: Sequence[Row]) -> list[Outcome]:
        """Keep originals, measured rows, and versions that say something of their own."""
        drafts = drafts_of(batch)
        seen = {
            _key(draft): draft
            for draft in drafts
            if not isinstance(draft, Variant) or draft.version == ORIGINAL
        }
        return list(self._judge_all(drafts, seen))

    def _judge_all(self, drafts: Sequence[Draft], seen: dict[_Key, Draft]) -> Iterator[Outcome]:
        for draft in drafts:
            if not isinstance(draft, Variant) or draft.version == ORIGINAL:
                yield Keep(draft)
                continue
            worded, version = draft.worded, draft.version
            twin = seen.setdefault(_key(draft), draft)
            if worded.waits:
                yield Defer(draft, f"{version}: {worded.waits}")
            elif worded.flaw:
                yield Drop(draft, f"{version}: {worded.flaw}", worded.said)
            elif self.is_asked and twin is not draft:
                is_measured = twin.part in MEASURED
                reason = "prompt stands in the holdout" if is_measured else "said_before"
                yield Drop(draft, f"{version}: {reason}", f"asks what {twin.row_id} asks")
            else:
                yield Keep(draft)


_Key = tuple[str, tuple[Message, ...]]


def _key(draft: Draft) -> _Key:
    return draft.domain, draft.prompt_key


def as_rows(drafts: Sequence[Draft]) -> list[Row]:
    """The versions among drafts as plain rows."""
    names = [item.name for item in fields(Row)]
    return [
        Row(**{name: getattr(draft, name) for name in names})
        for draft in drafts
        if isinstance(draft, Variant)
    ]
