"""Train: the student learns what its teacher says of each token, its twin gold answers alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from stillhouse.core.errors import ArtifactError, InputError
from stillhouse.core.protocols import Progress
from stillhouse.core.rows import Example
from stillhouse.core.targets import TargetKey, TokenTargets
from stillhouse.data.storage import read_completions
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
from stillhouse.recipes.estimate import training_steps
from stillhouse.recipes.training import Train
from stillhouse.stages.class_lessons import ClassLessons
from stillhouse.stages.completing import learned
from stillhouse.stages.contract import StageRequest, StageResult
from stillhouse.stages.corpus import Corpus, open_corpus, require_trained_tokens
from stillhouse.stages.finetune import encode_gold
from stillhouse.stages.label_files import COMPLETIONS, TARGETS
from stillhouse.stages.named_answers import NamedAnswers
from stillhouse.stages.sections import section_of
from stillhouse.stages.train_domains import train_domains
from stillhouse.stages.training import Learning, train_and_save
from stillhouse.stages.weights import finished_model, use_compute
from stillhouse.students.assignment import TrainingData
from stillhouse.students.class_examples import ClassExample
from stillhouse.students.examples import EncodedExample
from stillhouse.students.target_sources import BROUGHT, AdapterOff, Cached, Live, TargetSource
from stillhouse.targets.header import TargetHeader
from stillhouse.targets.read import TargetReader
from stillhouse.tokens.encode import EncodedConversation


def run(request: StageRequest, progress: Progress) -> StageResult:
    """Write the student (`model`, `adapter` or `adapters_kd`) and its curve."""
    corpus = open_corpus(request.inputs["examples"])
    # One teacher for all domains.
    learning_of = partial(_learning, source=_source(request))
    if request.config.get("domains"):
        return train_domains(request, corpus, learning_of, progress)
    return StageResult(train_and_save(request, corpus, learning_of(request, corpus), progress))


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
    train: list[EncodedExample] | list[ClassExample]
    validation: list[EncodedExample] | list[ClassExample]
    if "targets" in request.inputs and training.weights.class_kl:
        named = NamedAnswers.of_config(request.config["named"])
        lessons = ClassLessons(request.inputs["targets"], corpus, named)
        train = lessons.encode(corpus.of_parts(training.parts))
        validation = lessons.encode(corpus.of_parts(["validation"]))
    elif "targets" in request.inputs:
        labels = _Labels(request.inputs["targets"], corpus, training)
        wanted = corpus.of_parts(training.parts)
        train = labels.encode(wanted)
        if not train:
            raise InputError(
                f"the teacher ended none of its {len(wanted):,} answers, so there is nothing to "
                "learn from it",
                "raise label.max_new_tokens, or train the teacher for longer",
            )
        validation = labels.encode(corpus.of_parts(["validation"]))
        if training.mode == "cached":
            source = Cached(labels.column)
    else:
        train = encode_gold(corpus, corpus.of_parts(training.parts), training.parts)
        training = _as_long_as_the_student(training, request.config, corpus)
        validation = encode_gold(corpus, corpus.of_parts(["validation"]), ())
    data = TrainingData(train, validation, source, corpus.tokenizer.vocab_size)
    return Learning(data, objective_of(training), training, request.locations.get("student"))


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


def _as_long_as_the_student(training: Train, config: dict[str, Any], corpus: Corpus) -> Train:
    """The twin's training with the student's number of steps, where the recipe says epochs."""
    parts = config["student_parts"]
    if not parts:
        return training
    examples = sum(
        1 if example.answer is not None and config["keeps_gold"] else config["student_samples"]
        for example in corpus.of_parts(parts)
    )
    steps = training_steps(training, examples)
    length = training.length.model_copy(update={"steps": steps, "epochs": None})
    return training.model_copy(update={"length": length})


class _Labels:
    """What `label` stored: completions, and the targets of this very text if they are learned."""

    def __init__(self, folder: Path, corpus: Corpus, training: Train) -> None:
        self._corpus = corpus
        self._parts = training.parts
        self._answers = read_completions(folder / COMPLETIONS)
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

    def encode(self, examples: Sequence[Example]) -> list[EncodedExample]:
        """The examples that have a completion, with targets where those are learned."""
        wanted = {example.example_id for example in examples}
        answers = [answer for answer in self._answers if answer.example_id in wanted]
        known = learned(examples, answers)
        encoded = [self._corpus.encode(example) for example in known]
        if known:
            require_trained_tokens(encoded, self._parts)
        return [
            EncodedExample(item.ids, item.is_trained, self._targets(example.example_id, item))
            for example, item in zip(known, encoded, strict=True)
        ]

    def _targets(self, example_id: str, encoded: EncodedConversation) -> TokenTargets | None:
        if self._reader is None:
            return None
        key = TargetKey(example_id, encoded.completion_digest, encoded.view_digest)
        self._reader.check_key(key)
        return self._reader.get(example_id)


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
