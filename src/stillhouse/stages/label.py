"""Label: hard labels, by the teacher where gold text is missing, and its targets beside them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stillhouse.core.hashing import digest_folder, digest_value
from stillhouse.core.protocols import Progress
from stillhouse.core.rows import Completion, Example
from stillhouse.core.targets import ClassTargets
from stillhouse.data.storage import read_completions, write_completions
from stillhouse.engines.transformers import TransformersEngine
from stillhouse.models.scoring import Scoring
from stillhouse.recipes.labels import Label
from stillhouse.stages.completing import (
    is_asked,
    label_examples,
    learned,
    refuse_many_cut,
    summary,
)
from stillhouse.stages.contract import StageRequest, StageResult
from stillhouse.stages.corpus import Corpus, open_corpus
from stillhouse.stages.judging import judge_answers
from stillhouse.stages.label_classes import (
    Classifier,
    ClassWork,
    hard_texts,
    store_classes,
    with_answers,
)
from stillhouse.stages.label_files import COMPLETIONS, TARGETS
from stillhouse.stages.long_answers import end_unreadable
from stillhouse.stages.named_answers import NamedAnswers
from stillhouse.stages.sections import section_of
from stillhouse.stages.voted import PeoplesVotes
from stillhouse.stages.weights import (
    ADAPTER,
    MODEL,
    finished_model,
    load_options,
    use_compute,
)
from stillhouse.targets.class_store import ClassHeader
from stillhouse.targets.header import TargetHeader
from stillhouse.targets.write import TargetWriter


def run(request: StageRequest, progress: Progress) -> StageResult:
    """Write `completions.parquet` and, where asked for, the store `targets` or `classes`."""
    use_compute(request.config)
    label = section_of(Label, request.config["label"])
    corpus = open_corpus(request.inputs["examples"], "teacher")
    examples = corpus.of_parts({*label.parts, "validation"})
    if label.stores_classes:
        return _by_class(request, label, corpus, examples, progress)
    teacher = _Teacher(request, label, corpus)
    said = teacher.complete_all(examples, progress)
    done = _readable(request, corpus, said, _asked(examples, label))
    refuse_many_cut(examples, label, done)
    done = _judge(request, label, examples, done, progress)
    write_completions(request.out / COMPLETIONS, done)
    told = summary(examples, label, done)
    if teacher.header:
        answered = learned(examples, done)
        told |= teacher.score(answered, teacher.header, request.out / TARGETS, progress)
    return StageResult(told)


def _asked(examples: Sequence[Example], label: Label) -> dict[str, Example]:
    return {one.example_id: one for one in examples if is_asked(one, label)}


def _readable(
    request: StageRequest, corpus: Corpus, done: list[Completion], asked: Mapping[str, Example]
) -> list[Completion]:
    """The same, without what the student could not read."""
    return end_unreadable(done, asked, corpus.read_by("student"), request.config["max_tokens"])


def _by_class(
    request: StageRequest,
    label: Label,
    corpus: Corpus,
    examples: list[Example],
    progress: Progress,
) -> StageResult:
    """Write the store `classes`, and the hard labels' texts."""
    named = NamedAnswers(label.classes, label.class_field)
    asked = _asked(examples, label) if label.class_field is not None else {}
    teacher = None
    if label.targets == "classes" or asked:
        teacher = _Teacher(request, label, corpus)
    filled = examples
    if teacher and asked:
        said = _readable(request, corpus, teacher.complete_all(examples, progress), asked)
        filled = with_answers(examples, said, label)
    prepared = request.inputs["examples"]
    who: Classifier
    if label.targets == "votes":
        who = votes = PeoplesVotes(prepared)
        filled = votes.on(filled)
    else:
        assert teacher is not None
        who = teacher
    header = ClassHeader(
        engine="votes" if label.targets == "votes" else "transformers",
        weights_digest="" if label.targets == "votes" else teacher_digest(request),
        tokenizer_digest=corpus.tokenizer.digest,
        template_digest=corpus.template.digest,
        classes=named.names,
        class_field=label.class_field,
        dtype=request.config["dtype"],
    )
    most = request.config["max_tokens"]
    work = ClassWork(label, corpus, header, request.scratch, most)
    records, stored = store_classes(work, filled, who, request.out, progress)
    done, labelled = hard_texts(work, examples, records)
    write_completions(request.out / COMPLETIONS, done)
    return StageResult(summary(examples, label, done) | stored | labelled)


def _judge(
    request: StageRequest,
    label: Label,
    examples: Sequence[Example],
    done: list[Completion],
    progress: Progress,
) -> list[Completion]:
    """What the judges left, written down before it is scored: a resume must see the same."""
    path = request.scratch / "judged.parquet"
    if not label.judges:
        return done
    if not path.exists():
        write_completions(path, judge_answers(request, label, examples, done, progress))
    return read_completions(path)


class _Teacher:
    """The teacher's engine, and what of its work a crash has left."""

    def __init__(self, request: StageRequest, label: Label, corpus: Corpus) -> None:
        config = request.config
        artifact = request.inputs.get("teacher")
        self._label = label
        self._corpus = corpus
        self._scratch = request.scratch
        vocab_size = corpus.tokenizer.vocab_size
        store = label.token_store(vocab_size)
        self._engine = TransformersEngine(
            finished_model(config, artifact, request.locations.get("teacher")),
            corpus.tokenizer,
            corpus.template,
            Scoring(
                vocab_size,
                store.top_k if store else 0,
                label.temperatures,
                label.batch_size,
                store.num_draws if store else 0,
                label.seed,
            ),
            label.seed,
            label.answer_schema,
        )
        # Of the targets; None where none are stored.
        self.header = store and TargetHeader(
            engine="transformers",
            weights_digest=teacher_digest(request),
            tokenizer_digest=corpus.tokenizer.digest,
            template_digest=corpus.template.digest,
            vocab_size=vocab_size,
            top_k=store.top_k,
            num_draws=store.num_draws,
            kd_temperatures=label.temperatures,
            codec=store.codec,
            dtype=_dtype(config),
        )

    def complete_all(self, examples: Sequence[Example], progress: Progress) -> list[Completion]:
        """The completions of all examples, shard by shard."""
        done: list[Completion] = []
        size = self._label.shard_examples
        for start in range(0, len(examples), size):
            done += self.complete(examples[start : start + size], start // size)
            progress(min(start + size, len(examples)), 2 * len(examples), "examples")
        return done

    def classify(self, examples: Iterable[Example], named: NamedAnswers) -> Iterator[ClassTargets]:
        """How likely each class is, the rest of each example's answer as it stands."""
        yield from self._engine.classify(
            examples, named.names, lambda example: named.answers(example.answer or "")
        )

    def complete(self, examples: Sequence[Example], number: int) -> list[Completion]:
        """The completions of a shard; read back where a crashed run has written them."""
        path = self._scratch / f"completions-{number:05d}.parquet"
        if path.exists():
            return read_completions(path)
        done = label_examples(self._engine, self._corpus, examples, self._label)
        write_completions(path, done)
        return done

    def score(
        self, examples: list[Example], header: TargetHeader, folder: Path, progress: Progress
    ) -> dict[str, int]:
        """Store the targets of every example; goes on after the last whole shard."""
        work = self._scratch / TARGETS
        size = self._label.shard_examples
        with TargetWriter(work, header, size) as writer:
            # Whole shards are scored at once, so that a resume sees the same batches.
            for start in range(writer.done, len(examples), size):
                for targets in self._engine.score(examples[start : start + size]):
                    writer.append(targets)
                progress(
                    len(examples) + min(start + size, len(examples)), 2 * len(examples), "examples"
                )
        folder.mkdir()
        for path in sorted(work.iterdir()):
            os.link(path, folder / path.name)
        stored = sum(path.stat().st_size for path in folder.iterdir())
        tokens = sum(self._corpus.encode(example).num_trained for example in examples)
        return {"target_tokens": tokens, "target_bytes": stored, "top_k": header.top_k}


def _dtype(config: dict[str, Any]) -> str:
    quantization = load_options(config).quantization
    return config["dtype"] if quantization == "none" else f"{config['dtype']}, {quantization}"


def teacher_digest(request: StageRequest) -> str:
    """Of the weights that answer: the folder's own, or those that `finetune` made of them."""
    base, artifact = request.config["model"]["weights"], request.inputs.get("teacher")
    if artifact is None:
        return str(base)
    made = [artifact / name for name in (MODEL, ADAPTER) if (artifact / name).is_dir()]
    return digest_value([base, *map(digest_folder, made)])
