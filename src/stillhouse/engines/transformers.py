"""A model in this process as an engine: it completes prompts and scores given text or classes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby, islice
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np
from transformers import PreTrainedModel

from stillhouse.core.errors import InputError
from stillhouse.core.hashing import digest_value
from stillhouse.core.rows import Completion, Example, OwnLogprob
from stillhouse.core.sampling import Sampling
from stillhouse.core.targets import ClassTargets, TokenTargets
from stillhouse.engines.capabilities import Capabilities
from stillhouse.models.branches import answer_likelihoods
from stillhouse.models.domains import has_domains, using
from stillhouse.models.generate import Generated, find_stopping, generate_ids
from stillhouse.models.inference import is_encoder_decoder
from stillhouse.models.score import score_batch
from stillhouse.models.scoring import Scoring
from stillhouse.tokens.answers import read_answer
from stillhouse.tokens.encode import (
    EncodedConversation,
    cut_answer,
    encode_conversation,
    encode_prompt,
)
from stillhouse.tokens.grammar import AnswerGrammar
from stillhouse.tokens.template import Template
from stillhouse.tokens.tokenizer import TextTokenizer

if TYPE_CHECKING:
    from peft import PeftModel

_WINDOW_BATCHES = 16
"""Examples are sorted by length inside a window of so many batches: little padding, bounded
memory, and a crash loses one window. assumption: a larger one saves no more padding."""


_CAN = {
    False: Capabilities(text=True, own_logprobs=True, scoring=True, full_logits=True),
    True: Capabilities(text=True, own_logprobs=True, scoring=False, full_logits=False),
}
"""By whether the model is an encoder-decoder."""


class TransformersEngine:
    """Completes and scores with a model in memory.

    A model of `load_domains` answers each example with the adapter of its domain. With
    `with_logprobs` set, greedy completions come with the log-probability of each of their tokens,
    the one that ended it among them; under a schema among the tokens that it allows.

    Args:
        model: a causal language model, or an encoder-decoder, which only completes; with or without
            an adapter.
        tokenizer: of the model.
        template: how its conversations are written; `SourceTemplate` is what an encoder-decoder
            was trained on.
        scoring: vocabulary, top-k, kd_temperatures and batch size of `score`.
        seed: of drawn completions.
        answer_schema: a JSON Schema that every completion fits which ends itself; None for any
            text.

    Raises:
        RecipeError: no model can be held to the schema.
        ModelError: the tokenizer cannot write what the schema asks for.
    """

    def __init__(
        self,
        model: PreTrainedModel | PeftModel,
        tokenizer: TextTokenizer,
        template: Template,
        scoring: Scoring | None = None,
        seed: int = 0,
        answer_schema: Mapping[str, Any] | None = None,
    ) -> None:
        self.capabilities = _CAN[is_encoder_decoder(model)]
        self._model = model
        self._tokenizer = tokenizer
        self._template = template
        self._scoring = scoring or Scoring(vocab_size=tokenizer.vocab_size)
        self._seed = seed
        self.with_logprobs = False
        self._stopping = find_stopping(model, tokenizer, template)
        self._grammar = (
            AnswerGrammar(answer_schema, tokenizer, self._stopping.stop_ids)
            if answer_schema is not None
            else None
        )

    def generate(self, examples: Sequence[Example], sampling: Sampling) -> Iterator[Completion]:
        """One completion per example, in the order of the examples.

        Args:
            examples: their prompts are completed; answers are not looked at.
            sampling: greedy at temperature 0.

        Yields:
            Text without special tokens, with how it ended; a thought in it is taken out where the
            template says not to think.

        Raises:
            InputError: a prompt does not fit the model's context, or the template refuses it.
        """
        for window in self._windows(examples, sampling.batch_size):
            prompts = [
                encode_prompt(example.prompt, self._template, self._tokenizer) for example in window
            ]
            # A seed a window and an index, so that no draw repeats another.
            drawn_for = [self._seed, sampling.sample_index, window[0].example_id]
            seed = int(digest_value(drawn_for)[:8], 16)
            with using(self._model, window[0].domain):
                found = generate_ids(
                    self._model, prompts, sampling, self._stopping, seed=seed, grammar=self._grammar
                )
            for example, one in zip(window, found, strict=True):
                text, thought = read_answer(one.ids, self._tokenizer, self._template)
                yield Completion(
                    example.example_id,
                    text,
                    one.finish,
                    len(one.ids),
                    logprobs=self._own_logprobs(one),
                    reasoning=thought,
                    sample_index=sampling.sample_index,
                )

    def _own_logprobs(self, one: Generated) -> tuple[OwnLogprob, ...]:
        if not self.with_logprobs or one.logprobs is None:
            return ()
        # The token that ended it has no text.
        tokens = [*self._tokenizer.token_bytes(one.ids), b""]
        return tuple(map(OwnLogprob, tokens, one.logprobs.tolist()))

    def score(self, examples: Iterable[Example]) -> Iterator[TokenTargets]:
        """Targets for every example's trained tokens, in the order of the examples.

        Args:
            examples: each with its answer; read as they come, never all at once.

        Yields:
            Targets of one example.

        Raises:
            InputError: an example has no answer or does not fit the model's context.
            ModelError: the model is an encoder-decoder.
        """
        for window in self._windows(examples, self._scoring.batch_size):
            texts = [(example.example_id, self._encode(example)) for example in window]
            with using(self._model, window[0].domain):
                scored = score_batch(self._model, texts, self._scoring)
            yield from scored

    def classify(
        self,
        examples: Iterable[Example],
        classes: Sequence[str],
        answers: Callable[[Example], Sequence[str]] | None = None,
        ends: Callable[[Example], Sequence[int]] | None = None,
    ) -> Iterator[ClassTargets]:
        """How likely each class is as the answer, for every example, in the order of the examples.

        Its end of turn is part of an answer, so that a class with which another begins is not the
        likelier for it. What the answers of an example share is read once.

        Args:
            examples: their prompts. Read as they come.
            classes: at least two, all different.
            answers: the whole answer to each class, such as a JSON object that names it; the
                classes themselves when absent.
            ends: how many characters of each of these answers tell the class, so that what is
                written after it counts for nothing; all, and the end of turn, when absent.

        Yields:
            Likelihoods as `score` finds them for each answer by itself.

        Raises:
            InputError: fewer than two classes, one that is empty or named twice, or an answer
                that does not fit the model's context.
        """
        names = _checked_classes(classes)
        for window in self._windows(examples, self._scoring.batch_size):
            families = [
                self._family(one, answers(one) if answers else names, ends(one) if ends else ())
                for one in window
            ]
            with using(self._model, window[0].domain):
                found = answer_likelihoods(
                    self._model,
                    families,
                    vocab_size=self._scoring.vocab_size,
                    batch_size=self._scoring.batch_size,
                )
            for example, likelihoods in zip(window, found, strict=True):
                logprobs = likelihoods - np.logaddexp.reduce(likelihoods)
                yield ClassTargets(example.example_id, names, logprobs, likelihoods)

    def _windows(self, examples: Iterable[Example], batch_size: int) -> Iterator[list[Example]]:
        """Examples that are looked at together; with adapters, of one domain."""
        parts: Iterable[Iterable[Example]] = (examples,)
        if has_domains(self._model):
            parts = (own for _, own in groupby(examples, key=attrgetter("domain")))
        for part in parts:
            stream = iter(part)
            while window := list(islice(stream, batch_size * _WINDOW_BATCHES)):
                yield window

    def _family(
        self, example: Example, texts: Sequence[str], ends: Sequence[int]
    ) -> list[EncodedConversation]:
        """The example with each of some answers, cut where ends are given."""
        whole = [self._encode(replace(example, answer=text)) for text in texts]
        if not ends:
            return whole
        return [cut_answer(*told) for told in zip(whole, texts, ends, strict=True)]

    def _encode(self, example: Example) -> EncodedConversation:
        if example.answer is None:
            raise InputError(
                f"example {example.example_id} has no answer to score",
                "label completions before targets",
            )
        return encode_conversation(example.messages(), self._template, self._tokenizer)


def _checked_classes(classes: Sequence[str]) -> tuple[str, ...]:
    names = tuple(classes)
    if len(names) < 2 or len(set(names)) < len(names) or not all(name.strip() for name in names):
        raise InputError(
            f"label.classes: {list(names)} are not at least two different names",
            "name each class once, in the words of the answer",
        )
    return names
