"""The step that has an engine write so many different prompts of each preset.

It asks in rounds: as many beginnings of each preset as prompts are missing, all at once; what is
turned down is made up for in the next round, until there are enough or no beginnings are left.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from typing import Any

from ruamel.yaml import YAML

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Completion, Defer, Drop, Keep, Outcome, Row
from stillhouse.data.asking import AskedEngine
from stillhouse.data.language import is_english
from stillhouse.data.near_duplicates import find_alike, shingle
from stillhouse.data.rewording import bare
from stillhouse.data.style_references import find_style_references
from stillhouse.data.tables_told import Tables
from stillhouse.data.words import words_of
from stillhouse.recipes.prompt_steps import WritePrompts

PROMPT = "write_prompt"
REPEATED, NOT_NEEDED, NO_PRESET = "repeats another prompt", "not needed", "no such preset"
_PAIR = 2
_MOST_TOLD = 300
_REMARKS = ("here is", "here s", "here's", "sure", "certainly", "of course", "as an ai", "i cannot",
            "i can't", "prompt", "title", "note that")  # fmt: skip
_FEWEST_WORDS = 5
"""assumption: fewer words describe no picture."""


@dataclass(frozen=True, slots=True)
class Preset:
    """A kind of prompts.

    Attributes:
        task: what the engine is told.
        never: words that a prompt must not hold; `*` stands for any ending.
    """

    task: str
    never: tuple[str, ...] = ()


@cache
def own_presets() -> dict[str, Preset]:
    """The presets that come with Stillhouse."""
    text = (resources.files("stillhouse.data") / "prompt_presets.yaml").read_text("utf-8")
    told: dict[str, Any] = YAML(typ="safe", pure=True).load(text)
    return {name: Preset(one["task"].strip(), tuple(one["never"])) for name, one in told.items()}


@dataclass(frozen=True, slots=True)
class Beginning:
    """What is remembered of a row before it is asked.

    Attributes:
        row_id: of the row.
        preset: that it names.
        parts: what the engine is told of it.
    """

    row_id: str
    preset: str
    parts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a beginning.

    Attributes:
        text: the prompt; empty where there is none.
        flaw: why not, in short fixed words.
        said: what the engine said, for people.
        waits: why no answer came at all.
    """

    text: str = ""
    flaw: str = ""
    said: str = ""
    waits: str = ""


@dataclass(frozen=True, slots=True)
class WritePromptsStep:
    """Has prompts written.

    Attributes:
        wanted: the settings.
        engines: the one who writes.
    """

    wanted: WritePrompts
    engines: Sequence[AskedEngine]
    name: str = "write_prompts"
    version: int = 1
    kind: str = "global"

    @property
    def engine(self) -> AskedEngine:
        """Who writes."""
        return self.engines[0]

    def process(self, batch: Sequence[Row]) -> list[Outcome]:
        """Keep the rows of which a prompt was made."""
        return self.settle(batch, self.decide([self.look(batch)]))

    def look(self, batch: Sequence[Row]) -> list[Beginning]:
        """What each row begins with."""
        return [
            Beginning(
                row.row_id,
                str(row.fields.get(self.wanted.preset, "")),
                {k: v for k, v in row.fields.items() if k != self.wanted.preset},
            )
            for row in batch
        ]

    def decide(self, looks: Sequence[list[Beginning]]) -> dict[str, Written]:
        """What became of every beginning."""
        presets = own_presets() | {n: Preset(task) for n, task in self.wanted.presets.items()}
        # By name, so that neither the shards nor their number change who is asked.
        waiting = sorted((one for look in looks for one in look), key=lambda one: one.row_id)
        known = [one for one in waiting if one.preset in presets]
        corpus = _Corpus(self.wanted.alike)
        done = {one.row_id: Written(flaw=NO_PRESET) for one in waiting if one.preset not in presets}
        while asked := self._next(known, done, corpus):
            said = self._ask(asked, presets)
            done |= {name: one for name, one in said.items() if not one.text}
            done |= corpus.add({one.row_id: (one.preset, said[one.row_id].text) for one in asked})
            self.engine.used.update(corpus.names)
            if any(one.waits for one in said.values()) or not self.engine.is_real:
                break  # nobody is asked instead of one who may answer later
        else:
            made = {one.preset: corpus.counts[one.preset] for one in known}
            # Rows tell of those presets alone that have some; where none has any, no row goes on.
            self._refuse_few({name: n for name, n in made.items() if any(made.values()) and not n})
        return done | {
            one.row_id: Written(flaw=NOT_NEEDED) for one in known if one.row_id not in done
        }

    def _next(
        self, known: Sequence[Beginning], done: Mapping[str, Written], corpus: _Corpus
    ) -> list[Beginning]:
        """As many beginnings of each preset as prompts are missing."""
        missing = {one.preset: self.wanted.each - corpus.counts[one.preset] for one in known}
        chosen = []
        for one in known:
            if one.row_id not in done and missing[one.preset] > 0:
                missing[one.preset] -= 1
                chosen.append(one)
        return chosen

    def _ask(self, asked: Sequence[Beginning], presets: Mapping[str, Preset]) -> dict[str, Written]:
        questions = {one.row_id: {"task": presets[one.preset].task, **one.parts} for one in asked}
        said = self.engine.ask(PROMPT, questions)
        if not self.engine.is_real:
            return {one.row_id: Written(text=_stand_in(one)) for one in asked}
        return {
            one.row_id: _judge(said[one.row_id], presets[one.preset], self.engine.no_answer)
            for one in asked
        }

    def settle(self, batch: Sequence[Row], decision: Mapping[str, Written]) -> list[Outcome]:
        """Keep the rows of which a prompt was made."""
        return [self._outcome(row, decision[row.row_id]) for row in batch]

    def _outcome(self, row: Row, written: Written) -> Outcome:
        if written.waits:
            return Defer(row, written.waits)
        if not written.text:
            return Drop(row, written.flaw, written.said)
        return Keep(replace(row, fields=row.fields | {self.wanted.prompt: written.text}))

    def tell(self, rows: Iterable[Row]) -> Tables:
        """Prompts of each preset.

        Args:
            rows: that go on.

        Returns:
            One table.

        Raises:
            InputError: there are fewer of a preset than the recipe wants.
        """
        found = Counter(str(row.fields.get(self.wanted.preset, "")) for row in rows)
        self._refuse_few(found)
        return {"prompts by preset": dict(sorted(found.items()))}

    def _refuse_few(self, found: Mapping[str, int]) -> None:
        few = {name: number for name, number in found.items() if number < self.wanted.each}
        if few:
            told = ", ".join(f"{name} {number:,}" for name, number in sorted(few.items()))
            raise InputError(
                f"the step write_prompts wants {self.wanted.each:,} prompts of each preset: {told}",
                "collect more beginnings, or lower each",
            )


@dataclass(slots=True)
class _Corpus:
    """The prompts that were taken, no two of which say the same.

    Attributes:
        alike: overlap from which two prompts say the same.
        texts: by the name of their row.
        counts: prompts of each preset.
    """

    alike: float
    texts: dict[str, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def names(self) -> Iterable[str]:
        return self.texts.keys()

    def add(self, written: Mapping[str, tuple[str, str]]) -> dict[str, Written]:
        """What became of new prompts; of those that say the same the first is taken."""
        new = {name: (preset, text) for name, (preset, text) in written.items() if text}
        # What is taken already has the smaller number, whatever its name.
        order = [*self.texts, *sorted(new)]
        places = [f"{place:09}" for place in range(len(order))]
        texts = [self.texts[name] if name in self.texts else new[name][1] for name in order]
        repeated = find_alike(shingle(places, texts, _PAIR), self.alike)
        done = {}
        for place, name, text in zip(places, order, texts, strict=True):
            if name in self.texts:
                continue
            if place in repeated:
                done[name] = Written(flaw=REPEATED, said=text[:_MOST_TOLD])
                continue
            done[name] = Written(text)
            self.texts[name] = text
            self.counts[new[name][0]] += 1
        return done


def _judge(said: Completion, preset: Preset, no_answer: frozenset[str]) -> Written:
    if said.reason in no_answer:
        return Written(waits=said.reason)
    told = said.text[:_MOST_TOLD]
    if said.finish != "stop":
        return Written(flaw="cut" if said.finish == "length" else said.reason, said=told)
    text = " ".join(bare(said.text).split())
    flaw = _flaw(text, preset)
    return Written(flaw=flaw, said=told) if flaw else Written(text)


def _flaw(text: str, preset: Preset) -> str:
    words = f" {' '.join(words_of(text))} "
    if len(words.split()) < _FEWEST_WORDS:
        return "says nothing"
    if any(words.startswith(f" {remark} ") for remark in _REMARKS):
        return "a remark, no prompt"
    if not is_english(text):
        return "not English"
    if find_style_references(text):
        return "names a style"
    return "what its preset forbids" if any(_holds(words, one) for one in preset.never) else ""


def _holds(words: str, forbidden: str) -> bool:
    plain = " ".join(words_of(forbidden))
    return f" {plain}" in words if forbidden.endswith("*") else f" {plain} " in words


def _stand_in(one: Beginning) -> str:
    """For a look at a recipe: what is told of it, in the place of what would be written."""
    return " ".join(f"{name} {value}" for name, value in one.parts.items())
