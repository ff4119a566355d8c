"""Asking a model while it trains: its answers and tokens measured as `evaluate` measures them."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from transformers import PreTrainedModel

from stillhouse.core.errors import InputError
from stillhouse.core.protocols import Examiner, Reading
from stillhouse.core.rows import Completion
from stillhouse.core.sampling import Sampling
from stillhouse.core.targets import TokenTargets
from stillhouse.data.storage import read_completions
from stillhouse.engines.transformers import TransformersEngine
from stillhouse.evals.fields import require_references
from stillhouse.evals.metric import Metric
from stillhouse.evals.metrics import metrics_of
from stillhouse.evals.scores import Column, Scores
from stillhouse.evals.slices import on_slice, slices_of
from stillhouse.models.distance import score_against
from stillhouse.models.scoring import Scoring
from stillhouse.recipes.measuring import Evaluate
from stillhouse.recipes.training import Training
from stillhouse.recipes.watched import terms_of
from stillhouse.stages.asking_again import spread
from stillhouse.stages.comparing import Answers
from stillhouse.stages.corpus import Corpus
from stillhouse.stages.label_files import COMPLETIONS
from stillhouse.stages.measured import Measured, find_asked, find_measured
from stillhouse.stages.sections import section_of
from stillhouse.tokens.encode import EncodedConversation

if TYPE_CHECKING:
    from peft import PeftModel

    Model = PreTrainedModel | PeftModel

Learned = tuple[Sequence[tuple[str, EncodedConversation]], Sequence[TokenTargets]]
"""The texts of the examined examples that are learned, and the teacher's targets for them."""
_NOTHING: Learned = ((), ())


@dataclass(frozen=True, slots=True)
class Questions:
    """What a model is asked while it trains; the model itself comes later.

    Attributes:
        measured: the first examples of the part validation.
        corpus: tokenizer and template.
        settings: of `evaluate`, as far as answers are measured.
        wanted: metrics that must be found.
        kept: metrics that are kept; all when empty.
        config: `max_new_tokens`, `answer_format` and `answer_schema`.
        said_by_teacher: its answers to the same examples; None where it was not asked.
        learned: where the teacher's targets are stored.
    """

    measured: Measured
    corpus: Corpus
    settings: Evaluate
    wanted: tuple[str, ...]
    kept: tuple[str, ...]
    config: Mapping[str, Any]
    said_by_teacher: Sequence[str] | None = None
    learned: Learned = _NOTHING

    def of(self, model: Model) -> Examiner:
        """Whoever asks this model."""
        vocab_size = self.corpus.tokenizer.vocab_size
        scoring = Scoring(vocab_size, 1, (1.0,), self.settings.batch_size)
        tokenizer, template = self.corpus.tokenizer, self.corpus.template
        engine = TransformersEngine(model, tokenizer, template, scoring)
        return _Exam(self, model, engine)


def questions(
    request_config: Mapping[str, Any],
    inputs: Mapping[str, Path],
    corpus: Corpus,
    training: Training,
) -> Questions | None:
    """What the recipe asks a model while it trains; None where it asks nothing.

    Args:
        request_config: of the instance.
        inputs: the artifact with the `examples`, and that with the labels as `targets`.
        corpus: that was read from the first.
        training: the recipe's section.

    Returns:
        Without a teacher's answers or targets.

    Raises:
        InputError: the part validation has no answers, or they are not what the recipe says.
    """
    asked = request_config.get("examined")
    if not asked:
        return None
    settings = section_of(Evaluate, asked["evaluate"])
    whole = _validation(asked, inputs, corpus)
    # Spread over the part, which may lie domain by domain.
    places = spread(len(whole.examples), training.validation.examples)
    measured = replace(
        whole,
        examples=[whole.examples[place] for place in places],
        fields=[whole.fields[place] for place in places],
    )
    as_objects = asked["answer_format"] == "json"
    if measured.reference == "gold":
        require_references(settings.fields, measured.references(), as_objects=as_objects)
    stopping = (training.early_stopping.metric,) if training.early_stopping else ()
    named = training.validation.metrics
    kept = (*named, *stopping) if named else ()
    # The losses are measured without asking anybody.
    wanted = tuple(name for name in named if name not in ("loss", *terms_of(training)))
    return Questions(measured, corpus, settings, wanted, kept, asked)


def _validation(asked: Mapping[str, Any], inputs: Mapping[str, Path], corpus: Corpus) -> Measured:
    """With gold answers; where the teacher's are measured against, with what the student learns."""
    if asked.get("reference") != "teacher":
        return find_measured(corpus, inputs["examples"], "validation")
    said: dict[str, Completion] = {}
    for answer in read_completions(inputs["targets"] / COMPLETIONS):
        if answer.finish == "stop":
            said.setdefault(answer.example_id, answer)
    found = find_asked(corpus, inputs["examples"], "validation").answered_by(said.values())
    if not found.examples:
        raise InputError(
            "the teacher ended none of its answers to the part validation, so that nothing can be "
            "measured while training",
            "raise label.max_new_tokens, or remove train.validation.examples",
        )
    return found


def beside_teacher(
    asked: Questions, folder: Path, learned_of: Callable[[list[str]], Learned]
) -> Questions:
    """The same questions, with what the teacher said to them.

    Args:
        asked: without it.
        folder: of the labels.
        learned_of: from example ids to their learned texts with the teacher's targets.

    Returns:
        With the teacher's answers where it was asked for them, and its targets where it has some.
    """
    ids = list(asked.measured.ids)
    said: dict[str, Completion] = {}
    if asked.config["asks_teacher"]:
        for answer in read_completions(folder / COMPLETIONS):
            said.setdefault(answer.example_id, answer)
    texts = [said[name].text for name in ids] if all(name in said for name in ids) else None
    return replace(asked, said_by_teacher=texts, learned=learned_of(ids))


class _Exam:
    """An `Examiner` of one model."""

    def __init__(self, asked: Questions, model: Model, engine: TransformersEngine) -> None:
        self._asked = asked
        self._model = model
        self._engine = engine

    def __call__(self) -> dict[str, Reading]:
        asked = self._asked
        config, settings = asked.config, asked.settings
        sampling = Sampling(config["max_new_tokens"], 0.0, settings.batch_size)
        said = list(self._engine.generate(asked.measured.examples, sampling))
        as_objects = config["answer_format"] == "json"
        answers = Answers(asked.measured, said, settings, as_objects, config["answer_schema"])
        columns = answers.compared()
        if asked.said_by_teacher is not None:
            columns |= answers.against(asked.said_by_teacher)
        scores = answers.scores(columns)
        found = dict(_readings(scores)) | self._tokens()
        _require(asked.wanted, found)
        parts = {
            f"{name}@{part.kind}={part.name}": reading
            for part in slices_of(scores)
            for name, reading in _readings(on_slice(scores, part))
        }
        return {name: one for name, one in (found | parts).items() if self._is_kept(name)}

    def _is_kept(self, name: str) -> bool:
        return not self._asked.kept or name.partition("@")[0] in self._asked.kept

    def _tokens(self) -> dict[str, Reading]:
        """Token metrics of the texts that are learned, else of the examples' own answers."""
        texts, targets = self._asked.learned
        columns = self._against(texts, targets) if texts else self._alone()
        names = tuple(name for name, _ in texts) or self._asked.measured.ids
        return dict(_readings(Scores(names, columns)))

    def _against(
        self, texts: Sequence[tuple[str, EncodedConversation]], targets: Sequence[TokenTargets]
    ) -> dict[str, Column]:
        found = score_against(
            self._model,
            texts,
            targets,
            vocab_size=self._asked.corpus.tokenizer.vocab_size,
            batch_size=self._asked.settings.batch_size,
        )
        return {
            "tokens": np.array([float(one.num_tokens) for one in found]),
            "nll": np.array([one.nll_sum for one in found]),
            "kl": np.array([one.kl_sum for one in found]),
            "jsd": np.array([one.jsd_sum for one in found]),
            "tokens_right": np.array([float(one.num_right) for one in found]),
            "top1": np.array([float(one.num_agreeing) for one in found]),
        }

    def _alone(self) -> dict[str, Column]:
        found = list(self._engine.score(self._asked.measured.examples))
        right = [np.sum(one.top_ids[:, 0] == one.token_ids) for one in found]
        return {
            "tokens": np.array([float(len(one.token_ids)) for one in found]),
            "nll": np.array([-one.observed_logprobs.sum(dtype=np.float64) for one in found]),
            "tokens_right": np.array(right, np.float64),
        }


def _readings(scores: Scores) -> Iterator[tuple[str, Reading]]:
    everyone = np.ones((1, len(scores)))
    for metric in metrics_of(scores):
        yield metric.name, Reading(_value(metric, scores, everyone), metric.better == "higher")


def _value(metric: Metric, scores: Scores, everyone: np.ndarray) -> float:
    value = float(metric.statistic(metric.columns(scores), everyone)[0])
    return value if math.isfinite(value) else math.nan


def _require(wanted: Sequence[str], found: Mapping[str, Reading]) -> None:
    for name in wanted:
        if name in found:
            continue
        near = difflib.get_close_matches(name, found, n=1)
        guess = f'did you mean "{near[0]}"? ' if near else ""
        raise InputError(
            f"no metric {name!r} was measured while training",
            f"{guess}measured: {', '.join(found)}",
        )
