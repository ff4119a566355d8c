"""Sample rows of the neurons task: in turn a prompt for each of six specialists, and its answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

from stillhouse.core.rows import Row
from stillhouse.data.readers import build_rows
from stillhouse.data.tables import Record
from stillhouse.tasks.neurons.phrases import (
    ASKS,
    CITIES,
    DAYS,
    FAULTS,
    GAINS,
    KEPT,
    LOSSES,
    NOTES,
    OUTCOMES,
    PEOPLE,
    PLACES,
    PLANS,
    SLIPS,
    THINGS,
    TOOLS,
    WORDS,
)

Asked = tuple[str, str]


def generate_rows(rows: int, seed: int, noise: float) -> Iterator[Row]:
    """Rows with the fields `domain`, `prompt`, `answer` (noisy) and `truth`.

    The domains take turns: thinking, task, action, reflection, debug, memory. The first rows of a
    longer list are the shorter list; the noise changes answers only.

    Args:
        rows: how many.
        seed: another seed gives other rows.
        noise: probability in [0, 1] that `answer` is that of another prompt of its domain.

    Returns:
        An iterator of rows of a dozen words each.
    """
    return build_rows(_records(rows, seed, noise))


def _records(rows: int, seed: int, noise: float) -> Iterator[Record]:
    writer, annotator = Random(f"neurons {seed}"), Random(f"neurons noise {seed}")
    for index in range(rows):
        domain = DOMAINS[index % len(DOMAINS)]
        prompt, truth = _WRITERS[domain](writer)
        is_other, other = annotator.random() < noise, _WRITERS[domain](annotator)[1]
        yield (
            f"neurons@seed{seed}:{index}",
            {
                "domain": domain,
                "prompt": prompt,
                "answer": other if is_other else truth,
                "truth": truth,
            },
        )


def _thinking(random: Random) -> Asked:
    """A sum in words; the answer shows the step and its result."""
    first, second = random.randint(1, 9), random.randint(1, 9)
    is_gain = random.random() < 0.5
    first, second = (first, second) if is_gain else (max(first, second), min(first, second))
    verb = random.choice(GAINS if is_gain else LOSSES)
    prompt = f"{random.choice(PEOPLE)} has {first} {random.choice(THINGS)}s and {verb} {second}."
    result = first + second if is_gain else first - second
    return prompt, f"{first} {'+' if is_gain else '-'} {second} = {result}"


def _task(random: Random) -> Asked:
    """A goal; the answer is three steps."""
    goal, thing = random.choice(tuple(PLANS)), random.choice(THINGS)
    steps = [f"{number}. {verb}" for number, verb in enumerate(PLANS[goal], 1)]
    return random.choice(ASKS).format(goal=goal, thing=thing), "; ".join(steps)


def _action(random: Random) -> Asked:
    """A request; the answer calls one tool, as JSON."""
    tool = random.choice(tuple(TOOLS))
    places = {
        "city": random.choice(CITIES),
        "day": random.choice(DAYS),
        "person": random.choice(PEOPLE),
        "thing": random.choice(THINGS),
    }
    asked = random.choice(TOOLS[tool])
    given = next(value for name, value in places.items() if f"{{{name}}}" in asked)
    return asked.format(**places), f'{{"tool":"{tool}","input":"{given}"}}'


def _reflection(random: Random) -> Asked:
    """What was done and what came of it; the answer says what to do first next time."""
    slip, thing = random.choice(tuple(SLIPS)), random.choice(THINGS)
    prompt = f"{random.choice(PEOPLE)} {slip} the {thing}: {random.choice(OUTCOMES)}."
    return prompt, f"lesson: {SLIPS[slip]} the {thing} first"


def _debug(random: Random) -> Asked:
    """An error; the answer names its cause."""
    fault, word = random.choice(tuple(FAULTS)), random.choice(WORDS)
    prompt = f"{fault.format(word=word)} {random.choice(PLACES)}"
    return prompt, f"cause: {FAULTS[fault].format(word=word)}"


def _memory(random: Random) -> Asked:
    """A note; the answer says how important it is, and how long it is kept."""
    level = random.choice(tuple(NOTES))
    note = random.choice(NOTES[level])
    prompt = note.format(person=random.choice(PEOPLE), day=random.choice(DAYS))
    return prompt, f"importance: {level}; keep: {KEPT[level]}"


_WRITERS: dict[str, Callable[[Random], Asked]] = {
    "thinking": _thinking,
    "task": _task,
    "action": _action,
    "reflection": _reflection,
    "debug": _debug,
    "memory": _memory,
}
DOMAINS = tuple(_WRITERS)
"""In the order in which they take turns."""
