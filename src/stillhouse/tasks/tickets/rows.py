"""Sample rows of the tickets task: a message, its true annotation, and a noisy copy of that."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from stillhouse.core.rows import Row
from stillhouse.data.readers import build_rows
from stillhouse.data.tables import Record
from stillhouse.tasks.tickets.phrases import (
    GREETINGS,
    INTENTS,
    MOODS,
    PRODUCTS,
    URGENCIES,
    VALUES,
)

_TYPO_PROB = 0.3  # assumption: about one message in three is typed carelessly
_SWAP_PROB = 0.4  # assumption: mood before urgency is nearly as common as after
_URGENCY_WEIGHTS = (3, 5, 2)  # assumption: more tickets are urgent than are in no hurry
_MOOD_WEIGHTS = (4, 5, 1)  # assumption: who writes to a support is seldom happy


def generate_rows(rows: int, seed: int, noise: float) -> Iterator[Row]:
    """Rows with the fields `message`, `annotation` (noisy) and `truth`.

    The first rows of a longer list are the shorter list; the noise changes annotations only.

    Args:
        rows: how many.
        seed: another seed gives other rows.
        noise: probability in [0, 1] that a value of `annotation` is drawn anew, uniformly among
            all values of its field, the true one included.

    Returns:
        An iterator of rows; each message has at most about a dozen words.
    """
    return build_rows(_records(rows, seed, noise))


def _records(rows: int, seed: int, noise: float) -> Iterator[Record]:
    writer, annotator = Random(f"tickets {seed}"), Random(f"tickets noise {seed}")
    for index in range(rows):
        truth = _draw_truth(writer)
        message = _typo(_write(truth, writer), writer)
        annotation = {
            field: _noisy(value, VALUES[field], noise, annotator) for field, value in truth.items()
        }
        yield (
            f"tickets@seed{seed}:{index}",
            {"message": message, "annotation": annotation, "truth": truth},
        )


def _draw_truth(random: Random) -> dict[str, str]:
    intent, product = random.choice(VALUES["intent"]), random.choice(VALUES["product"])
    if intent == "praise":
        urgency = random.choice(("normal", "low"))
        mood = random.choices(("calm", "happy"), (3, 7))[0]
    else:
        urgency = random.choices(VALUES["urgency"], _URGENCY_WEIGHTS)[0]
        mood = random.choices(VALUES["mood"], _MOOD_WEIGHTS)[0]
    return {"intent": intent, "product": product, "urgency": urgency, "mood": mood}


def _write(truth: dict[str, str], random: Random) -> str:
    product = random.choice(PRODUCTS[truth["product"]])
    ask = random.choice(INTENTS[truth["intent"]]).format(p=product)
    endings = [random.choice(URGENCIES[truth["urgency"]]), random.choice(MOODS[truth["mood"]])]
    if random.random() < _SWAP_PROB:
        endings.reverse()
    pieces = [random.choice(GREETINGS), ask, *endings]
    return " ".join(piece for piece in pieces if piece)


def _typo(message: str, random: Random) -> str:
    if random.random() >= _TYPO_PROB:
        return message
    position = random.randrange(len(message))
    doubled = message[position] * 2 if random.random() < 0.5 else ""
    return (message[:position] + doubled + message[position + 1 :]).strip()


def _noisy(value: str, values: tuple[str, ...], noise: float, random: Random) -> str:
    is_redrawn, other = random.random() < noise, random.choice(values)
    return other if is_redrawn else value
