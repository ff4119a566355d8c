"""What a step asks of engines about rows, and what it takes of their answers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from pathlib import Path
from types import MappingProxyType

from stillhouse.core.protocols import Generator
from stillhouse.core.rows import Completion, Example, Message
from stillhouse.core.sampling import Sampling
from stillhouse.data.rewording import FAR, Embed, Held, bare, far_ones, flaw_of
from stillhouse.recipes.prompts import PromptTemplate, load_prompt


@dataclass(frozen=True, slots=True)
class AskedEngine:
    """An engine with how a step asks it.

    Attributes:
        engine: whoever answers.
        prompt: the user's own; None for the step's.
        sampling: length and temperature.
        no_answer: reasons that mean that none came, so that a later run asks again.
        is_real: false for one that only notes what it is asked, to price it.
        used: ids of questions whose answers became part of the rows; for the account.
    """

    engine: Generator
    prompt: PromptTemplate | None
    sampling: Sampling
    no_answer: frozenset[str] = frozenset()
    is_real: bool = True
    used: set[str] = field(default_factory=set)

    def ask(
        self, prompt: str, questions: Mapping[str, Mapping[str, object]]
    ) -> dict[str, Completion]:
        """The answer to each question, by its name.

        Args:
            prompt: name of the step's own prompt.
            questions: a name to the texts that are told.

        Returns:
            A completion for each, whatever became of it.
        """
        template = self.prompt or own_prompt(prompt)
        examples = [_example(template, name, parts) for name, parts in questions.items()]
        if not examples:
            return {}
        said = self.engine.generate(examples, self.sampling)
        return {one.example_id: one for one in said}


OWN_PROMPTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "convert_blanks": ("blank",),
        "convert_choices": ("choices",),
        "drop_outliers": ("belongs",),
        "rephrase": ("same_question", "same_answer"),
        "augment": ("formal", "casual", "general"),
        "write_prompts": ("write_prompt",),
        "translate": ("translate",),
        "annotate": ("annotate",),
    }
)
"""What a step asks with where the recipe names no prompt."""

NO_ENGINES: Mapping[str, AskedEngine] = MappingProxyType({})


def _example(prompt: PromptTemplate, name: str, parts: Mapping[str, object]) -> Example:
    # As JSON, so that no text can pretend to be another part.
    message = Message("user", json.dumps(parts, ensure_ascii=False, indent=1))
    return Example(name, "teacher", prompt.apply((message,)), None)


@cache
def own_prompt(name: str) -> PromptTemplate:
    """A step's prompt that comes with this version.

    Args:
        name: of a file in `data/prompts`.

    Returns:
        The template.
    """
    path = resources.files("stillhouse.data") / "prompts" / f"{name}.yaml"
    return load_prompt(Path(str(path)), name)


@dataclass(frozen=True, slots=True)
class Wish:
    """Other words wanted for one text.

    Attributes:
        name: of the row, or of a version of it.
        parts: what the engine is told; `text` is the text.
        held: what its words are held to.
    """

    name: str
    parts: Mapping[str, object]
    held: Held


@dataclass(frozen=True, slots=True)
class Worded:
    """What became of a wish.

    Attributes:
        text: the new words; empty where none may be used.
        flaw: why not: of the last engine's, in short fixed words.
        said: what that engine said, for people.
        waits: why no answer came at all; the row waits.
    """

    text: str = ""
    flaw: str = ""
    said: str = ""
    waits: str = ""


_MOST_TOLD = 300
"""assumption: so much of a bad answer tells what was wrong with it."""


def reword(
    wishes: Sequence[Wish],
    engines: Sequence[AskedEngine],
    prompt: str,
    embed: Embed | None = None,
) -> dict[str, Worded]:
    """New words for each text, by the first engine whose words may be used.

    Args:
        wishes: with names of their own.
        engines: asked in turn; the next hears only what those before it could not do, and never
            of a text that waits for one before it, so that an outage changes no result.
        prompt: name of the step's own.
        embed: vectors of texts, to compare meanings by; words alone are compared without it.

    Returns:
        What became of each, by its name.
    """
    found: dict[str, Worded] = {}
    open_wishes = list(wishes)
    for engine in engines:
        said = engine.ask(prompt, {one.name: one.parts for one in open_wishes})
        judged = _judge_all(open_wishes, said, engine.no_answer, embed)
        engine.used.update(name for name, one in judged.items() if one.text)
        found |= judged
        open_wishes = [one for one in open_wishes if found[one.name].flaw]
    return found


def _judge_all(
    wishes: Sequence[Wish],
    said: Mapping[str, Completion],
    no_answer: frozenset[str],
    embed: Embed | None,
) -> dict[str, Worded]:
    judged = {one.name: _judge(one.held, said[one.name], no_answer) for one in wishes}
    good = [one for one in wishes if judged[one.name].text]
    pairs = [(one.held.source, judged[one.name].text) for one in good]
    for one, is_far in zip(good, far_ones(pairs, embed), strict=True):
        if is_far:
            text = judged[one.name].text
            judged[one.name] = Worded(flaw=FAR, said=text[:_MOST_TOLD])
    return judged


def _judge(held: Held, said: Completion, no_answer: frozenset[str]) -> Worded:
    if said.reason in no_answer:
        return Worded(waits=said.reason)
    told = Worded(said=said.text[:_MOST_TOLD])
    if said.finish != "stop":
        return replace(told, flaw="cut" if said.finish == "length" else said.reason)
    text = bare(said.text)
    flaw = flaw_of(held, text)
    return replace(told, flaw=flaw) if flaw else Worded(text)
