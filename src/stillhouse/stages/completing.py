"""Which examples a teacher is asked about, how often, and what of its answers may be learned.

The same for a teacher in memory and one behind an API; nothing here needs torch.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from typing import Any

from stillhouse.core.errors import InputError
from stillhouse.core.protocols import Generator
from stillhouse.core.rows import Completion, Example
from stillhouse.core.sampling import Sampling
from stillhouse.data.answers import AnswerChecks, elect
from stillhouse.recipes.labels import Consistency, Label
from stillhouse.stages.corpus import Corpus


def is_asked(example: Example, label: Label) -> bool:
    """Whether the teacher is asked, and not the example's own answer taken."""
    is_missing = example.answer is None and label.completions == "mix"
    return is_missing or label.completions == "teacher"


def checks_of(label: Label) -> AnswerChecks:
    """What the recipe wants of an answer."""
    return AnswerChecks(label.answer_schema, label.reject)


def label_examples(
    engine: Generator,
    corpus: Corpus,
    examples: Sequence[Example],
    label: Label,
    *,
    hopeless: Collection[str] = (),
) -> list[Completion]:
    """The teacher's completions of the examples that it is asked about, gold text of the others.

    Args:
        engine: the teacher.
        corpus: that the examples are of.
        examples: in any order.
        label: the recipe's section.
        hopeless: as in `complete`.

    Returns:
        In the order of the examples; none of one that has no answer and is not asked.
    """
    asked = [example for example in examples if is_asked(example, label)]
    said: dict[str, list[Completion]] = defaultdict(list)
    for completion in complete(engine, asked, label, hopeless=hopeless):
        said[completion.example_id].append(completion)
    return [
        completion
        for example in examples
        for completion in (
            said[example.example_id] if is_asked(example, label) else _gold(example, corpus)
        )
    ]


def _gold(example: Example, corpus: Corpus) -> list[Completion]:
    if example.answer is None:
        return []
    tokens = corpus.encode(example).num_trained
    return [Completion(example.example_id, example.answer, "stop", tokens)]


def complete(
    engine: Generator,
    examples: Sequence[Example],
    label: Label,
    *,
    hopeless: Collection[str] = (),
) -> list[Completion]:
    """Completions of every example, until each has as many as are wanted that may be learned.

    Args:
        engine: the teacher.
        examples: their prompts are completed.
        label: how many, how often, and what an answer must be.
        hopeless: reasons after which a prompt is not asked again in this run.

    Returns:
        Every completion that came, those that may not be learned with their reason; in the order
        of the examples, and of each example in the order of asking.
    """
    checks = checks_of(label)
    wanted = label.most_samples if label.consistency else label.samples
    found: dict[str, list[Completion]] = defaultdict(list)
    lacking = list(examples)
    for index in range(label.most_samples):
        sampling = Sampling(label.max_new_tokens, label.temperature, label.batch_size, index)
        for completion in engine.generate(lacking, sampling):
            found[completion.example_id].append(checks.judge(completion))
        lacking = [one for one in lacking if _lacks(found[one.example_id], wanted, hopeless)]
        if not lacking:
            break
    return [
        completion
        for example in examples
        for completion in _chosen(found[example.example_id], label.consistency)
    ]


def _lacks(answers: Sequence[Completion], wanted: int, hopeless: Collection[str]) -> bool:
    if any(answer.reason in hopeless for answer in answers):
        return False
    return sum(answer.finish == "stop" for answer in answers) < wanted


def _chosen(answers: list[Completion], wanted: Consistency | None) -> list[Completion]:
    return elect(answers, wanted.repeats, wanted.at_least) if wanted else answers


def learned(examples: Sequence[Example], done: Sequence[Completion]) -> list[Example]:
    """The examples with their completions, one for each that may be learned.

    A completion that was cut teaches a wrong end, and is left out like one with a flaw. The second
    and further completions of an example have ids of their own.
    """
    by_id = {example.example_id: example for example in examples}
    return [answered(by_id[one.example_id], one) for one in done if one.finish == "stop"]


def answered(example: Example, completion: Completion) -> Example:
    """An example with one of its completions, under a name of its own."""
    return dataclasses.replace(example, example_id=text_id(completion), answer=completion.text)


def text_id(completion: Completion) -> str:
    """Names an example with one of its completions; of the first it is the example's own id."""
    index = completion.sample_index
    return f"{completion.example_id}#{index}" if index else completion.example_id


def refuse_many_cut(examples: Sequence[Example], label: Label, done: Sequence[Completion]) -> None:
    """Raise where too many of the teacher's answers were cut; they teach nothing.

    Args:
        examples: that are labelled.
        label: the recipe's section.
        done: their completions, before they are written down; gold text does not count.

    Raises:
        InputError: says how many, and at which length.
    """
    asked = {example.example_id for example in examples if is_asked(example, label)}
    ends = [answer.finish for answer in done if answer.example_id in asked]
    cut = ends.count("length")
    if cut > label.cut_at_most * len(ends):
        raise InputError(
            f"{cut:,} of the teacher's {len(ends):,} answers were cut at label.max_new_tokens, "
            f"{label.max_new_tokens}, and what is cut is not learned; label.cut_at_most allows "
            f"{label.cut_at_most:.0%}",
            "raise label.max_new_tokens, train the teacher for longer so that it ends its "
            "answers, or allow more of them to be lost",
        )


def summary(
    examples: Sequence[Example], label: Label, done: Sequence[Completion]
) -> dict[str, Any]:
    """What a labelling says of itself: JSON values."""
    reasons = Counter(answer.reason or answer.finish for answer in done if answer.finish != "stop")
    usable = [answer for answer in done if answer.finish == "stop"]
    learned_from = {answer.example_id for answer in usable}
    sources = Counter(
        "none"
        if example.example_id not in learned_from
        else ("teacher" if is_asked(example, label) else "gold")
        for example in examples
    )
    return {
        "examples": len(examples),
        "asked": sum(is_asked(example, label) for example in examples),
        "answers": len(usable),
        "hard_labels": {name: sources[name] for name in ("gold", "teacher", "none")},
        "cut": reasons["length"],
        "unusable": dict(sorted(reasons.items())),
        "answer_tokens": sum(answer.num_tokens for answer in usable),
    }
