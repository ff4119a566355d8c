"""The step that has texts which several rows share written in other words, and merges exact copies.

    same question, same answer    -> merged into the first
    same question, other answers  -> the question in other words, but for the first row
    same answer, other questions  -> a longer answer in other words, but for the first row

The first is the one of the smallest id, whatever the order and the shards. Other words only hide
that rows asked the same, so the field `reworded_from` names the first: no split parts them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from stillhouse.core.hashing import digest_text
from stillhouse.core.rows import Defer, Keep, Merge, Outcome, Row
from stillhouse.data.asking import AskedEngine, Wish, Worded, reword
from stillhouse.data.rewording import Embed, Held
from stillhouse.data.words import words_of
from stillhouse.recipes.rewording import REWORDED_FROM, Rephrase

_DIGITS = 24


@dataclass(frozen=True, slots=True)
class Said:
    """What is remembered of a row before the rows are judged.

    Attributes:
        row_id: of the row.
        root_id: of the row.
        question: digest of its words; empty without any.
        answer: likewise.
    """

    row_id: str
    root_id: str
    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Shared:
    """What is done about a row that shares a text with another.

    Attributes:
        into: the row that says the same, if any: this one ends.
        first: root of the first row that asks the same; empty for that row itself.
        question: the question is to be written in other words.
        answer: the answer is.
    """

    into: str = ""
    first: str = ""
    question: bool = False
    answer: bool = False


@dataclass(frozen=True, slots=True)
class RephraseStep:
    """Rewords what rows share.

    Attributes:
        wanted: the recipe's settings.
        engines: asked in turn.
        embed: compares meanings.
    """

    wanted: Rephrase
    engines: Sequence[AskedEngine] = ()
    embed: Embed | None = None
    name: str = "rephrase"
    version: int = 1
    kind: str = "global"

    def process(self, batch: Sequence[Row]) -> list[Outcome]:
        """Keep every row but copies, or let it wait for an answer."""
        return self.settle(batch, self.decide([self.look(batch)]))

    def look(self, batch: Sequence[Row]) -> list[Said]:
        """Digests of what each row asks and answers."""
        question, answer = self.wanted.question, self.wanted.answer
        return [
            Said(
                row.row_id,
                row.root_id or row.row_id,
                _digest(row.fields.get(question)),
                _digest(row.fields.get(answer)),
            )
            for row in batch
        ]

    def decide(self, looks: Sequence[list[Said]]) -> dict[str, Shared]:
        """What is done about each row that shares a text with another."""
        said = sorted((one for look in looks for one in look), key=lambda one: one.row_id)
        pairs = _first_of_each((one.question + one.answer, one) for one in said if one.question)
        copies = {
            one.row_id: pairs[one.question + one.answer].row_id
            for one in said
            if one.question and pairs[one.question + one.answer] is not one
        }
        left = [one for one in said if one.row_id not in copies]
        asked = _first_of_each((one.question, one) for one in left if one.question)
        answered = _first_of_each((one.answer, one) for one in left if one.answer)
        found = {name: Shared(into=kept) for name, kept in copies.items()}
        for one in left:
            first = asked.get(one.question, one)
            shared = Shared(
                first=first.root_id if first is not one else "",
                question="question" in self.wanted.same and first is not one,
                answer="answer" in self.wanted.same and answered.get(one.answer, one) is not one,
            )
            if shared != Shared():
                found[one.row_id] = shared
        return found

    def settle(self, batch: Sequence[Row], decision: Mapping[str, Shared]) -> list[Outcome]:
        """Keep every row but copies, or let it wait for an answer."""
        shared = [(row, decision.get(row.row_id, Shared())) for row in batch]
        questions, answers = self._questions(shared), self._answers(shared)
        worded = (
            reword(questions, self.engines, "same_question", self.embed),
            reword(answers, self.engines, "same_answer", self.embed),
        )
        return [self._outcome(row, one, *(said.get(row.row_id) for said in worded))
                for row, one in shared]  # fmt: skip

    def _questions(self, shared: Iterable[tuple[Row, Shared]]) -> list[Wish]:
        question, answer = self.wanted.question, self.wanted.answer
        wishes = []
        for row, one in shared:
            if one.question and not one.into:
                text, told = _text(row.fields[question]), _text(row.fields.get(answer))
                asks = text.rstrip().endswith("?")
                held = Held(text, told, asks=asks, instead_of=text)
                wishes.append(Wish(row.row_id, {"text": text, "answer": told}, held))
        return wishes

    def _answers(self, shared: Iterable[tuple[Row, Shared]]) -> list[Wish]:
        question, answer = self.wanted.question, self.wanted.answer
        wishes = []
        for row, one in shared:
            text = row.fields.get(answer)
            if one.answer and not one.into and isinstance(text, str):
                if len(words_of(text)) < self.wanted.answer_words:
                    continue
                held = Held(text, asks=False, instead_of=text)
                parts = {"text": text, "question": _text(row.fields.get(question))}
                wishes.append(Wish(row.row_id, parts, held))
        return wishes

    def _outcome(
        self, row: Row, shared: Shared, question: Worded | None, answer: Worded | None
    ) -> Outcome:
        if shared.into:
            return Merge(row, shared.into, "same question, same answer")
        told = {self.wanted.question: question, self.wanted.answer: answer}
        worded = {field: one for field, one in told.items() if one is not None}
        for one in worded.values():
            if one.waits:
                return Defer(row, one.waits)
        fields = row.fields | {field: one.text for field, one in worded.items() if one.text}
        notes = tuple(
            f"{kind} worded by an engine" if one.text else f"{kind} left: {one.flaw}"
            for kind, one in (("question", question), ("answer", answer))
            if one is not None
        )
        if shared.first:
            fields |= {REWORDED_FROM: shared.first}
        return Keep(replace(row, fields=fields), notes)


def _text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _digest(value: object) -> str:
    words = words_of(_text(value))
    return digest_text("\n".join(words))[:_DIGITS] if words else ""


def _first_of_each(named: Iterable[tuple[str, Said]]) -> dict[str, Said]:
    first: dict[str, Said] = {}
    for name, one in named:
        first.setdefault(name, one)
    return first
