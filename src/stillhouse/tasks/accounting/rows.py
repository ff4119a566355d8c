"""Sample rows of the accounting task: a spreadsheet of questions with all that is wrong in one.

Four columns: Question, Answer, Classification, Correction_Question. Among whole questions stand
blanks to fill in, multiple choice, rows that a reviewer marked, copies, second answers to a
question, questions that differ by a word, rows about something else and rows without an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

from stillhouse.core.rows import Row
from stillhouse.data.readers import build_rows
from stillhouse.data.tables import Record
from stillhouse.tasks.accounting.phrases import (
    AMOUNTS,
    BLANK_REPORTS,
    BLANK_SIDES,
    CHOSEN,
    COSTS,
    ENTRIES,
    FIRMS,
    GROWS,
    KINDS,
    OFF_TOPIC,
    RATES,
    RECEIVED,
    SALES,
    SHOWN,
    SIDES,
    STATEMENTS,
    TAXES,
    TOPICS,
    WAYS,
)

COLUMNS = ("Question", "Answer", "Classification", "Correction_Question")
Pair = tuple[str, str]

FAULTS = {
    "marked no": 0.03,
    "marked invalid": 0.02,
    "copy": 0.03,
    "second answer": 0.02,
    "near copy": 0.02,
    "off topic": 0.015,
    "no answer": 0.01,
}
"""Share of the rows with each fault; assumption: about what a reviewed spreadsheet holds."""


def generate_rows(rows: int, seed: int, noise: float) -> Iterator[Row]:
    """Rows with the fields `Question`, `Answer`, `Classification` and `Correction_Question`.

    The first rows of a longer list are the shorter list; the noise changes answers only.

    Args:
        rows: how many.
        seed: another seed gives other rows.
        noise: probability in [0, 1] that a row's answer is that of another question.

    Returns:
        An iterator of rows of a dozen words each.
    """
    return build_rows(_records(rows, seed, noise))


def _records(rows: int, seed: int, noise: float) -> Iterator[Record]:
    writer, annotator = Random(f"accounting {seed}"), Random(f"accounting noise {seed}")
    written: list[Pair] = []
    for index in range(rows):
        fault = _draw_fault(writer) if written else ""
        question, answer = _faulty(fault, written, writer) or _draw(writer)
        if not fault:
            written.append((question, answer))
        is_other, (_, other) = annotator.random() < noise, _draw(annotator)
        told = (
            question,
            other if is_other and answer else answer,
            "no" if fault == "marked no" else "yes",
            "invalid" if fault == "marked invalid" else "valid",
        )
        yield f"accounting@seed{seed}:{index}", dict(zip(COLUMNS, told, strict=True))


def _draw(random: Random) -> Pair:
    return random.choice(_WRITERS)(random)


def _draw_fault(random: Random) -> str:
    """One of `FAULTS` by its share; empty for a row as it should be."""
    drawn = random.random()
    for fault, share in FAULTS.items():
        drawn -= share
        if drawn < 0:
            return fault
    return ""


def _faulty(fault: str, written: list[Pair], random: Random) -> Pair | None:
    """What stands in a row of a fault; None where any question does."""
    question, answer = random.choice(written) if written else ("", "")
    if fault == "copy":
        return question, answer
    if fault == "second answer":
        return question, random.choice(written)[1]
    if fault == "near copy":
        return f"Please, {question[0].lower()}{question[1:]}", answer
    if fault == "no answer":
        return question, ""
    if fault == "off topic":
        asked, said = random.choice(OFF_TOPIC)
        numbers = {"number": random.randint(2, 19), "other": random.randint(2, 19)}
        return asked.format(**numbers), said.format(**numbers)
    return None


def _payment(random: Random) -> Pair:
    """A cost that is paid; the answer is the entry."""
    way, cost = random.choice(tuple(WAYS)), random.choice(COSTS)
    told = {"firm": random.choice(FIRMS), "cost": cost, "amount": random.choice(AMOUNTS)}
    entry = f"Debit {cost} {told['amount']}, credit {WAYS[way]} {told['amount']}."
    return random.choice(ENTRIES).format(way=way, **told), entry


def _sale(random: Random) -> Pair:
    """Goods that are sold; the answer is the entry."""
    way, amount = random.choice(tuple(RECEIVED)), random.choice(AMOUNTS)
    asked = random.choice(SALES).format(firm=random.choice(FIRMS), amount=amount, way=way)
    return asked, f"Debit {RECEIVED[way]} {amount}, credit sales {amount}."


def _account(random: Random) -> tuple[str, str, str]:
    kind = random.choice(tuple(KINDS))
    return kind, random.choice(KINDS[kind]), random.choice(FIRMS)


def _side(random: Random) -> Pair:
    """On which side an account grows."""
    kind, account, firm = _account(random)
    asked = random.choice(GROWS).format(firm=firm, account=account)
    return asked, f"It grows on the {SIDES[kind]} side, as an {kind}.".replace("an l", "a l")


def _shown(random: Random) -> Pair:
    """In which report an account stands."""
    kind, account, firm = _account(random)
    asked = random.choice(SHOWN).format(firm=firm, account=account)
    return asked, f"In the {STATEMENTS[kind]} of {firm}."


def _tax(random: Random) -> Pair:
    """A share of an amount: without its signs the question would be another one."""
    amount, rate = random.choice(AMOUNTS), random.choice(tuple(RATES))
    asked = random.choice(TAXES).format(firm=random.choice(FIRMS), amount=amount, rate=rate)
    return asked, f"The tax is ${int(amount[1:]) * RATES[rate] // 100}."


def _blank(random: Random) -> Pair:
    """A sentence with a blank; the answer fills it."""
    kind, account, firm = _account(random)
    if random.random() < 0.5:
        return BLANK_SIDES.format(firm=firm, account=account), SIDES[kind]
    return BLANK_REPORTS.format(firm=firm, account=account), STATEMENTS[kind]


def _choice(random: Random) -> Pair:
    """Four options; the answer is a label, or the text of one."""
    kind, account, firm = _account(random)
    options = list(KINDS)
    random.shuffle(options)
    asked = random.choice(CHOSEN).format(name=random.choice(TOPICS), account=account, firm=firm)
    listed = " ".join(
        f"({letter}) {option}" for letter, option in zip("abcd", options, strict=True)
    )
    label = "abcd"[options.index(kind)]
    return f"{asked} {listed}", random.choice((label, f"({label})", kind))


_WRITERS: tuple[Callable[[Random], Pair], ...] = (
    _payment, _payment, _sale, _side, _shown, _tax, _blank, _choice,
)  # fmt: skip
"""Each as often as it stands here."""
