"""Evaluate: one candidate on the holdout: its answers, and its scores on the reference's text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from stillhouse.core.protocols import Progress
from stillhouse.core.rows import Completion, Example
from stillhouse.core.sampling import Sampling
from stillhouse.core.targets import TokenTargets
from stillhouse.data.storage import write_completions
from stillhouse.engines.transformers import TransformersEngine
from stillhouse.evals.fields import require_references
from stillhouse.evals.scores import Column, write_scores
from stillhouse.evals.summary import SizeSummary
from stillhouse.export.bundle_files import BUNDLE
from stillhouse.models.distance import StudentScore, score_against
from stillhouse.models.domains import using
from stillhouse.models.scoring import Scoring
from stillhouse.models.source import context_tokens
from stillhouse.recipes.measuring import Evaluate
from stillhouse.recipes.readers import PER_TOKEN
from stillhouse.stages.asking_again import AskedAgain
from stillhouse.stages.candidates import model_of, size_of, weight_folders
from stillhouse.stages.classified import Classified
from stillhouse.stages.comparing import Answers, Told, summarise
from stillhouse.stages.confidence import (
    confidence_note,
    has_classes,
    score_class_confidence,
    score_own_confidence,
)
from stillhouse.stages.contract import StageRequest, StageResult
from stillhouse.stages.corpus import Corpus, answer_bytes, open_corpus
from stillhouse.stages.evaluate_files import COMPLETIONS, SCORES, TARGETS
from stillhouse.stages.looked_for import LookedFor, look_for
from stillhouse.stages.measured import Measured, find_asked, measured_of
from stillhouse.stages.sections import section_of
from stillhouse.stages.teachers_answers import is_reference, settle
from stillhouse.stages.weights import use_compute
from stillhouse.targets.header import TargetHeader
from stillhouse.targets.read import TargetReader
from stillhouse.targets.write import TargetWriter

TEACHER = "teacher"
"""The variant whose distribution is stored, for the other candidates to be compared with."""

_SHARD_EXAMPLES = 512


def run(request: StageRequest, progress: Progress) -> StageResult:
    """Write `completions.parquet` and `scores.parquet`; for the teacher also its `targets`."""
    return measure(request, progress, Candidate)


def measure(
    request: StageRequest, progress: Progress, kind: Callable[..., Candidate]
) -> StageResult:
    """Write what a candidate of some kind says, and how it scores.

    Args:
        request: of the evaluation.
        progress: told of the answers.
        kind: builds the candidate from request, corpus and examples.

    Returns:
        The summary.
    """
    use_compute(request.config)
    corpus = open_corpus(request.inputs["examples"], request.config["of"])
    if is_reference(request):
        candidate, answers, left_out = _as_reference(request, corpus, progress, kind)
    else:
        candidate, answers, left_out = *_answered(request, corpus, progress, kind), {}
    said = answers.said
    write_completions(request.out / COMPLETIONS, said)
    columns = answers.compared() | _compared(request, answers) | candidate.score()
    columns |= candidate.asked_again(answers)
    classes, found = candidate.classes(answers), look_for(request, corpus, answers)
    columns |= classes.columns | found.columns | candidate.size_columns()
    if not answers.by_teacher:
        columns |= candidate.confidence(said, answers.right(columns))
    scores = answers.scores(columns)
    write_scores(request.out / SCORES, scores)
    told = Told(
        candidate.notes() | classes.notes | found.notes,
        confidence_note(candidate.settings, said),
        candidate.size,
        left_out,
    )
    return StageResult(summarise(answers, scores, told))


def _answered(
    request: StageRequest, corpus: Corpus, progress: Progress, kind: Callable[..., Candidate]
) -> tuple[Candidate, Answers]:
    """A candidate and its answers to what is measured."""
    measured = measured_of(request, corpus)
    candidate = kind(request, corpus, measured.examples)
    if measured.reference == "gold":
        # Asked before a model answers, which may take hours.
        as_objects = request.config["answer_format"] == "json"
        require_references(candidate.settings.fields, measured.references(), as_objects=as_objects)
    return candidate, candidate.answers(measured, candidate.complete(progress))


def _as_reference(
    request: StageRequest, corpus: Corpus, progress: Progress, kind: Callable[..., Candidate]
) -> tuple[Candidate, Answers, dict[str, int]]:
    """The teacher, its answers that others are measured against, and why others are left out."""
    asked = find_asked(corpus, request.inputs["examples"])
    candidate = kind(request, corpus, asked.examples)
    settled = settle(request, corpus, asked, candidate.complete(progress))
    candidate.narrow(settled.measured.examples)
    return candidate, candidate.answers(settled.measured, settled.said), settled.left_out


def _compared(request: StageRequest, answers: Answers) -> dict[str, Column]:
    if request.variant == TEACHER:
        return answers.of_the_teacher()
    teacher = request.inputs.get("teacher")
    return answers.against_teacher(teacher) if teacher else {}


class Candidate:
    """One model on the examples that are measured."""

    scores_classes = True

    def __init__(self, request: StageRequest, corpus: Corpus, examples: list[Example]) -> None:
        config = request.config
        self._request = request
        self.settings = section_of(Evaluate, config["evaluate"])
        self._corpus = corpus
        self._examples = examples
        vocab_size = corpus.tokenizer.vocab_size
        self._scoring = Scoring(
            vocab_size,
            min(self.settings.top_k, vocab_size),
            (1.0,),
            self.settings.batch_size,
        )
        self._sampling = Sampling(config["max_new_tokens"], 0.0, self.settings.batch_size)
        self._engine, self.size = self._open()

    def _open(self) -> tuple[Any, SizeSummary]:
        """Its engine, and how large it is."""
        config, corpus = self._request.config, self._corpus
        self._model = model_of(self._request, corpus)
        is_teacher = config["of"] == "teacher"
        engine = TransformersEngine(
            self._model,
            corpus.tokenizer,
            corpus.template,
            self._scoring,
            answer_schema=config["answer_schema"] if is_teacher else None,
        )
        engine.with_logprobs = True
        return engine, size_of(self._model, weight_folders(self._request), config["dtype"])

    def narrow(self, examples: list[Example]) -> None:
        """Measure these alone from now on."""
        self._examples = examples

    def answers(self, measured: Measured, said: Sequence[Completion]) -> Answers:
        """What it said, to be compared."""
        config = self._request.config
        return Answers(
            measured,
            said,
            self.settings,
            config["answer_format"] == "json",
            config["answer_schema"],
            is_reference(self._request),
        )

    def asked_again(self, answers: Answers) -> dict[str, Column]:
        """How steady its answers are, where the recipe asks."""
        again = AskedAgain(
            self._engine, answers.measured, self.settings, self._sampling, answers.as_objects
        )
        return again.columns(answers.texts)

    def classes(self, answers: Answers) -> LookedFor:
        """How likely it finds each named answer, where the recipe names some."""
        if not self.scores_classes:
            return LookedFor({}, {})
        context = context_tokens(self._model.config.to_dict())
        return Classified(self._request, self._corpus, answers, context).look(self._engine)

    def complete(self, progress: Progress) -> list[Completion]:
        """Its greedy answers to all examples."""
        said = []
        for completion in self._engine.generate(self._examples, self._sampling):
            said.append(completion)
            progress(len(said), len(self._examples), "examples")
        return said

    def confidence(self, said: Sequence[Completion], right: Column) -> dict[str, Column]:
        """How sure it is of each answer, and whether that is right."""
        if has_classes(self.settings) and not self.settings.confidence_field:
            return score_class_confidence(self._engine, self.settings, self._examples, said, right)
        return score_own_confidence(self.settings, said, right)

    def size_columns(self) -> dict[str, Column]:
        """Its size, the same for every example, so that rules may ask for it."""
        sizes = {
            "num_parameters": self.size.parameters,
            "size_bytes": self.size.disk_bytes or 0,
        }
        bundle = self._request.inputs.get("model", Path()) / BUNDLE
        if bundle.is_dir():
            files = [path for path in bundle.rglob("*") if path.is_file()]
            sizes["bundle_bytes"] = sum(path.stat().st_size for path in files)
        return {name: np.full(len(self._examples), float(size)) for name, size in sizes.items()}

    def score(self) -> dict[str, Column]:
        """Sums over each example's trained tokens, on the text that is measured against."""
        return self._token_columns() | {"bytes": self._answer_bytes()}

    def _token_columns(self) -> dict[str, Column]:
        if self._request.variant == TEACHER and not self._corpus.has_two_readers:
            return self._score_teacher()
        teacher = self._request.inputs.get("teacher")
        stored = teacher / TARGETS if teacher else None
        return self._score_student(stored) if stored and stored.exists() else self._score_alone()

    def _answer_bytes(self) -> Column:
        """Of the text that is scored, without what a template writes around it."""
        return np.array([float(answer_bytes(self._corpus, one)) for one in self._examples])

    def _score_teacher(self) -> dict[str, Column]:
        header = TargetHeader(
            engine="transformers",
            weights_digest=self._request.artifact_id,
            tokenizer_digest=self._corpus.tokenizer.digest,
            template_digest=self._corpus.template.digest,
            vocab_size=self._scoring.vocab_size,
            top_k=self._scoring.top_k,
            kd_temperatures=self._scoring.kd_temperatures,
            dtype=self._request.config["dtype"],
        )
        nll, tokens, right = [], [], []
        with TargetWriter(self._request.out / TARGETS, header, _SHARD_EXAMPLES) as writer:
            for targets in self._engine.score(self._examples):
                writer.append(targets)
                nll.append(-float(targets.observed_logprobs.sum(dtype=np.float64)))
                tokens.append(float(len(targets.token_ids)))
                right.append(_num_right(targets))
        return {
            "tokens": np.array(tokens),
            "nll": np.array(nll),
            "kl": np.zeros(len(nll)),
            "jsd": np.zeros(len(nll)),
            "acceptance": np.array(tokens),
            "tokens_right": np.array(right),
            "top1": np.array(tokens),
        }

    def _score_student(self, stored: Path) -> dict[str, Column]:
        reader = TargetReader(stored)
        found: list[StudentScore] = []
        for domain, own in groupby(self._examples, key=attrgetter("domain")):
            texts = [(item.example_id, self._corpus.encode(item)) for item in own]
            with using(self._model, domain):
                found += score_against(
                    self._model,
                    texts,
                    [reader.get(example_id) for example_id, _ in texts],
                    vocab_size=self._scoring.vocab_size,
                    batch_size=self._scoring.batch_size,
                )
        return score_columns(found)

    def _score_alone(self) -> dict[str, Column]:
        """Without a teacher's distribution, such as that of one behind an API."""
        found = list(self._engine.score(self._examples))
        sums = [-float(one.observed_logprobs.sum(dtype=np.float64)) for one in found]
        return {
            "tokens": np.array([float(len(one.token_ids)) for one in found]),
            "nll": np.array(sums),
            "tokens_right": np.array([_num_right(one) for one in found]),
        }

    def notes(self) -> dict[str, str]:
        """What people should know of the distances to the teacher."""
        if self._corpus.has_two_readers:
            own = "a mean over the candidate's own tokens; bits per byte compares"
            return dict.fromkeys(PER_TOKEN, own)
        if self._scoring.top_k == self._scoring.vocab_size:
            return {}
        seen = f"the teacher's {self._scoring.top_k} likeliest tokens, and all others as one"
        return {
            "kl_to_teacher": f"a lower bound: {seen}",
            "jsd_to_teacher": f"a lower bound: {seen}",
            "acceptance_rate": f"an upper bound: {seen}",
            "expected_acceptance": f"an upper bound: {seen}",
        }


def _num_right(targets: TokenTargets) -> float:
    return float(np.sum(targets.top_ids[:, 0] == targets.token_ids))


def score_columns(found: Sequence[StudentScore]) -> dict[str, Column]:
    """Distances to a teacher as columns of the scores."""
    return {
        "tokens": np.array([float(score.num_tokens) for score in found]),
        "nll": np.array([score.nll_sum for score in found]),
        "kl": np.array([score.kl_sum for score in found]),
        "jsd": np.array([score.jsd_sum for score in found]),
        "acceptance": np.array([score.acceptance_sum for score in found]),
        "tokens_right": np.array([float(score.num_right) for score in found]),
        "top1": np.array([float(score.num_agreeing) for score in found]),
    }
