"""Train: the student learns what its teacher says of each token, its twin gold answers alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from stillhouse.core.errors import ArtifactError, InputError
from stillhouse.core.protocols import Progress
from stillhouse.core.rows import Example
from stillhouse.core.targets import TargetKey, TokenTargets
from stillhouse.data.storage import ExampleReader, iterate_completions
from stillhouse.losses.divergences import (
    AKL,
    JSD,
    TVD,
    AlphaBeta,
    ForwardKL,
    ReverseKL,
    SkewKL,
    SkewReverseKL,
)
from stillhouse.losses.terms import Objective
from stillhouse.recipes.training import Train
from stillhouse.stages.class_lessons import ClassLessons
from stillhouse.stages.completing import answered
from stillhouse.stages.contract import StageRequest, StageResult
from stillhouse.stages.corpus import EXAMPLES, Corpus, open_corpus
from stillhouse.stages.examining import Learned, beside_teacher, questions
from stillhouse.stages.finetune import encode_gold
from stillhouse.stages.label_files import CLASSES, COMPLETIONS, TARGETS
from stillhouse.stages.named_answers import NamedAnswers
from stillhouse.stages.sections import section_of
from stillhouse.stages.train_domains import train_domains
from stillhouse.stages.training import Learning, train_and_save
from stillhouse.stages.weights import finished_model, use_compute
from stillhouse.students.assignment import TrainingData
from stillhouse.students.class_examples import ClassExample
from stillhouse.students.example_file import write_examples
from stillhouse.students.examples import EncodedExample
from stillhouse.students.target_sources import BROUGHT, AdapterOff, Cached, Live, TargetSource
from stillhouse.targets.class_store import ClassReader
from stillhouse.targets.header import TargetHeader
from stillhouse.targets.read import TargetReader
from stillhouse.tokens.encode import EncodedConversation


def run(request: StageRequest, progress: Progress) -> StageResult:
    """Write the student (`model`, `adapter` or `adapters_kd`) and its `kd_metrics.json`."""
    corpus = open_corpus(request.inputs["examples"])
    # One teacher for all domains.
    learning_of = partial(_learning, source=_source(request))
    if request.config.get("domains"):
        return train_domains(request, corpus, learning_of, progress)
    return train_and_save(request, corpus, learning_of(request, corpus), progress)


def _source(request: StageRequest) -> TargetSource:
    """Who says what the teacher's distribution is, by the recipe's `train.mode`."""
    mode = request.config["training"]["mode"]
    if mode == "base":
        return AdapterOff()
    if mode == "live":
        use_compute(request.config)
        config = request.config | {"model": request.config["teacher"]}
        folder = request.locations.get("teacher")
        return Live(finished_model(config, request.inputs.get("teacher"), folder))
    return BROUGHT


def _learning(request: StageRequest, corpus: Corpus, source: TargetSource) -> Learning:
    """What is learned from the examples of a corpus."""
    training = section_of(Train, request.config["training"])
    asked = questions(request.config, request.inputs, corpus, training)
    train: Sequence[EncodedExample] | Sequence[ClassExample]
    validation: Sequence[EncodedExample] | Sequence[ClassExample]
    if "targets" in request.inputs and training.weights.class_kl:
        named = NamedAnswers.of_config(request.config["named"])
        lessons = ClassLessons(request.inputs["targets"], corpus, named)
        train = lessons.encode(corpus.of_parts(training.parts))
        validation = lessons.encode(corpus.of_parts(["validation"]))
        if asked:
            asked = beside_teacher(asked, request.inputs["targets"], lambda _: ((), ()))
    elif "targets" in request.inputs:
        labels = _Labels(request.inputs["targets"], corpus, training)
        train = write_examples(request.scratch, labels.encode(training.parts))
        if not train:
            raise InputError(
                f"the teacher ended none of its {labels.num_of(training.parts):,} answers, so "
                "there is nothing to learn from it",
                "raise label.max_new_tokens, or train the teacher for longer",
            )
        validation = write_examples(request.scratch, labels.encode(["validation"]))
        if training.mode == "cached":
            source = Cached(labels.column)
        if asked:
            asked = beside_teacher(asked, request.inputs["targets"], labels.learned)
    else:
        train = write_examples(request.scratch, encode_gold(corpus, training.parts))
        kept = encode_gold(corpus, ["validation"], may_be_empty=True)
        validation = write_examples(request.scratch, kept)
    if request.config.get("student_parts"):
        # The twin's training has the student's number of steps, where examples decide that.
        steps = training.length.num_steps(_num_taught(request, corpus))
        training = training.model_copy(update={"length": training.length.of_steps(steps)})
    data = TrainingData(train, validation, source, corpus.tokenizer.vocab_size)
    folder = request.locations.get("student")
    return Learning(data, objective_of(training), training, folder, asked)


def objective_of(training: Train) -> Objective:
    """What the section `train` asks to minimise."""
    weights, options = training.weights, training.loss_options
    divergences = (
        (ForwardKL(), weights.forward_kl),
        (ReverseKL(), weights.reverse_kl),
        (JSD(options.jsd_weight), weights.jsd),
        (SkewKL(options.skew), weights.skew_kl),
        (SkewReverseKL(options.skew), weights.skew_reverse_kl),
        (TVD(), weights.tvd),
        (AKL(options.head_mass), weights.akl),
        (AlphaBeta(options.alpha, options.beta), weights.alpha_beta),
    )
    return Objective(
        tuple(pair for pair in divergences if pair[1]),
        weights.cross_entropy,
        training.kd_temperature,
        training.t2_scaling,
        weights.class_kl,
    )


def _num_taught(request: StageRequest, corpus: Corpus) -> int:
    """How many examples the student of this twin learns from."""
    config, inputs = request.config, request.inputs
    parts, labels = config["student_parts"], inputs.get("labels", inputs.get("targets"))
    if labels is None:
        return sum(
            config["student_samples"] if example.answer is None else 1
            for example in corpus.iterate(parts)
        )
    if config["student_by_class"]:
        stored = ClassReader(labels / CLASSES)
        return sum(example.example_id in stored for example in corpus.iterate(parts))
    return sum(1 for _ in _answered(labels, corpus, parts))


def _answered(labels: Path, corpus: Corpus, parts: Sequence[str]) -> Iterator[Example]:
    """The examples with each completion that may be learned."""
    examples = ExampleReader(corpus.folder / EXAMPLES, parts)
    for completion in iterate_completions(labels / COMPLETIONS):
        found = examples.get(completion.example_id) if completion.finish == "stop" else None
        if found and corpus.holds(found):
            yield answered(found, completion)


class _Labels:
    """What `label` stored: completions, and the targets of this very text if they are learned."""

    def __init__(self, folder: Path, corpus: Corpus, training: Train) -> None:
        self._corpus = corpus
        self._folder = folder
        self._reader: TargetReader | None = None
        self.column = 0
        if training.weights.needs_teacher and training.mode == "cached":
            expected: dict[str, Any] = {
                "tokenizer_digest": corpus.tokenizer.digest,
                "template_digest": corpus.template.digest,
                "vocab_size": corpus.tokenizer.vocab_size,
            }
            self._reader = TargetReader(folder / TARGETS, expected)
            self.column = _column(self._reader.header, training)

    def num_of(self, parts: Sequence[str]) -> int:
        """Examples of those parts."""
        return sum(1 for _ in self._corpus.iterate(parts))

    def encode(self, parts: Sequence[str]) -> Iterator[EncodedExample]:
        """The examples that have a completion, with targets where the objective needs them."""
        for example, item in self._texts(parts):
            targets = self._targets(example.example_id, item) if self._reader else None
            yield EncodedExample(item.ids, item.is_trained, targets)

    def learned(self, example_ids: Sequence[str]) -> Learned:
        """What is learned of these examples, with the teacher's targets; empty without such."""
        if self._reader is None or not self._reader.header.top_k:
            return (), ()
        wanted = set(example_ids)
        texts = [
            (example.example_id, item)
            for example, item in self._texts(["validation"])
            if example.example_id in wanted
        ]
        return texts, [self._targets(name, item) for name, item in texts]

    def _texts(self, parts: Sequence[str]) -> Iterator[tuple[Example, EncodedConversation]]:
        for example in _answered(self._folder, self._corpus, parts):
            yield example, self._corpus.encode(example)

    def _targets(self, example_id: str, encoded: EncodedConversation) -> TokenTargets:
        assert self._reader is not None
        key = TargetKey(example_id, encoded.completion_digest, encoded.view_digest)
        return self._reader.get_for(key)


def _column(header: TargetHeader, training: Train) -> int:
    """Of log Z, at the kd_temperature in use."""
    biased = training.weights.not_linear
    if header.num_draws and biased:
        raise ArtifactError(
            f"the stored targets are drawn tokens, from which {', '.join(biased)} would be biased",
            "learn forward_kl, or label again with label.targets: top_k",
        )
    if training.kd_temperature not in header.kd_temperatures:
        raise ArtifactError(
            f"the targets were stored for the kd_temperatures {list(header.kd_temperatures)}, "
            f"train.kd_temperature is {training.kd_temperature}",
            "label again with it in label.kd_temperatures",
        )
    return header.kd_temperatures.index(training.kd_temperature)
