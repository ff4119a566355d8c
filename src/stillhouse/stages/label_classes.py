"""Label by class: what the teacher, or people, say of named answers, and the hard label's text."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from stillhouse.core.errors import InputError
from stillhouse.core.protocols import Progress
from stillhouse.core.rows import Completion, Example
from stillhouse.core.targets import ClassTargets
from stillhouse.recipes.labels import Label
from stillhouse.stages.completing import is_asked
from stillhouse.stages.corpus import Corpus
from stillhouse.stages.label_files import CLASSES
from stillhouse.stages.long_answers import without_long_classes
from stillhouse.stages.named_answers import (
    NamedAnswers,
    refuse_strangers_alone,
    require_different_tokens,
    strangers,
)
from stillhouse.targets.class_store import (
    ClassHeader,
    ClassRecord,
    gather_class_store,
    read_class_shard,
    write_class_shard,
)

_SHOWN = 5


class Classifier(Protocol):
    """Who says how likely each of several answers is."""

    def classify(self, examples: Iterable[Example], named: NamedAnswers) -> Iterator[ClassTargets]:
        """Targets of every example, in order; each has an answer that has room for the classes."""


@dataclass(frozen=True, slots=True)
class ClassWork:
    """What a labelling by class works with.

    Attributes:
        label: the recipe's section.
        corpus: of the teacher.
        header: of the store.
        scratch: where whole shards wait for the store.
        max_tokens: the longest conversation of a student that reads otherwise; 0 for any.
    """

    label: Label
    corpus: Corpus
    header: ClassHeader
    scratch: Path
    max_tokens: int = 0

    @property
    def named(self) -> NamedAnswers:
        """The classes as answers."""
        return NamedAnswers(self.label.classes, self.label.class_field)


def store_classes(
    work: ClassWork, filled: Sequence[Example], who: Classifier, out: Path, progress: Progress
) -> tuple[list[ClassRecord], dict[str, Any]]:
    """Write the store `classes`; a crash loses at most one shard.

    Args:
        work: what is asked, and where.
        filled: examples with the answers that the classes are put into, see `with_answers`.
        who: says how likely each class is.
        out: of the artifact.
        progress: hears of every shard.

    Returns:
        What was stored, and what the labelling says of itself.

    Raises:
        InputError: no answer has room for the classes, or two of them are one to the tokenizer.
    """
    named, size = work.named, work.label.shard_examples
    student = work.corpus.read_by("student")
    roomy = [example for example in filled if named.has_room(example.answer)]
    if not roomy:
        raise InputError(
            f"not one of {len(filled):,} answers is a JSON object with a field "
            f"{named.field!r}, which label.class_field names",
            "name a field that prepare.answer has",
        )
    for reader in (work.corpus, student):
        require_different_tokens(named, reader, roomy[0])
    fitting = without_long_classes(roomy, named, student, work.max_tokens)
    if not fitting:
        raise InputError(
            f"not one of {len(roomy):,} answers fits the {work.max_tokens:,} tokens that the "
            "student reads, with every class in it",
            "name shorter classes, or raise prepare.max_tokens as far as the student's context "
            "allows",
        )
    shards, records = [], list[ClassRecord]()
    for start in range(0, len(fitting), size):
        path = work.scratch / f"classes-{start // size:05d}.parquet"
        if not path.exists():
            asked = fitting[start : start + size]
            write_class_shard(path, work.header, _records(work, asked, who))
        records += read_class_shard(path)
        shards.append(path)
        progress(len(filled) + len(records), 2 * len(filled), "examples")
    stored = gather_class_store(out / CLASSES, work.header, shards)
    told = {
        "classes": list(named.names),
        "class_examples": len(records),
        "class_bytes": stored,
        "class_mass": float(np.mean([record.mass for record in records])),
        "without_a_field": len(filled) - len(roomy),
        **({"class_confidence": _confidence(records)} if named.field else {}),
        **({"too_long_for_student": len(roomy) - len(fitting)} if work.max_tokens else {}),
    }
    return records, told


def _confidence(records: Sequence[ClassRecord]) -> float:
    """The mean probability of the likeliest class; near 1 the rest of the answers tells it."""
    return float(np.mean([record.confidence for record in records]))


def _records(work: ClassWork, asked: Sequence[Example], who: Classifier) -> Iterator[ClassRecord]:
    named = work.named
    for example, found in zip(asked, who.classify(asked, named), strict=True):
        answers = named.answers(example.answer or "")
        probs = np.exp(found.logprobs)
        probs /= probs.sum()
        yield ClassRecord(
            example_id=example.example_id,
            input=example.prompt[-1].content,
            probs=probs,
            answer=answers[int(probs.argmax())],
            mass=min(1.0, float(np.exp(np.logaddexp.reduce(found.likelihoods)))),
            view_digest=work.corpus.encode(example, answers[0]).view_digest,
        )


def hard_texts(
    work: ClassWork, examples: Sequence[Example], records: Sequence[ClassRecord]
) -> tuple[list[Completion], dict[str, Any]]:
    """The text of each hard label, as `label.completions` says.

    Args:
        work: the classes, and the policy.
        examples: with their gold answers.
        records: what was stored of them.

    Returns:
        A completion of each example that has a hard label; and JSON values: whose they are as
        `hard_labels`, and the gold answers that are no class as `gold_not_a_class`.

    Raises:
        InputError: there are gold answers, and not one of them is a class.
    """
    named, policy = work.named, work.label.completions
    known = {example.example_id: example for example in examples}
    done, sources = [], Counter[str]()
    for record in records:
        example = known[record.example_id]
        gold = None if policy == "teacher" else named.place_in(example.answer)
        place = record.hard if gold is None and policy != "gold" else gold
        sources["gold" if gold is not None else "none" if place is None else "teacher"] += 1
        if place is not None:
            text = named.answers(record.answer)[place]
            tokens = work.corpus.encode(example, text).num_trained
            done.append(Completion(example.example_id, text, "stop", tokens))
    sources["none"] += len(examples) - len(records)
    odd = {} if policy == "teacher" else strangers(named, examples)
    refuse_strangers_alone(named, examples, odd)
    return done, {
        "hard_labels": {name: sources[name] for name in ("gold", "teacher", "none")},
        "gold_not_a_class": {
            "count": sum(odd.values()),
            "most_frequent": dict(list(odd.items())[:_SHOWN]),
        },
    }


def with_answers(
    examples: Sequence[Example], said: Sequence[Completion], label: Label
) -> list[Example]:
    """The examples with the answers that classes are put into.

    Args:
        examples: with their gold answers.
        said: what the teacher said to those that it was asked.
        label: the recipe's section.

    Returns:
        Those that have one; where the teacher was asked, its own.
    """
    texts = {one.example_id: one.text for one in said if one.finish == "stop"}
    return [
        dataclasses.replace(example, answer=texts.get(example.example_id))
        if is_asked(example, label)
        else example
        for example in examples
    ]
