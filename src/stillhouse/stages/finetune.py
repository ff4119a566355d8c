"""Finetune: the teacher learns the gold answers of its own part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stillhouse.core.protocols import Progress
from stillhouse.losses.terms import CROSS_ENTROPY
from stillhouse.recipes.training import Finetune
from stillhouse.stages.contract import StageRequest, StageResult
from stillhouse.stages.corpus import Corpus, open_corpus, with_trained_tokens
from stillhouse.stages.examining import questions
from stillhouse.stages.sections import section_of
from stillhouse.stages.training import Learning, train_and_save
from stillhouse.students.assignment import TrainingData
from stillhouse.students.example_file import write_examples
from stillhouse.students.examples import EncodedExample


def run(request: StageRequest, progress: Progress) -> StageResult:
    """Write the teacher (`model`, or `adapter`) and `kd_metrics.json`."""
    training = section_of(Finetune, request.config["training"])
    corpus = open_corpus(request.inputs["examples"], "teacher")
    data = TrainingData(
        write_examples(request.scratch, encode_gold(corpus, training.parts)),
        write_examples(request.scratch, encode_gold(corpus, ["validation"], may_be_empty=True)),
        vocab_size=corpus.tokenizer.vocab_size,
    )
    asked = questions(request.config, request.inputs, corpus, training)
    learning = Learning(data, CROSS_ENTROPY, training, request.locations.get("teacher"), asked)
    return train_and_save(request, corpus, learning, progress)


def encode_gold(
    corpus: Corpus, parts: Sequence[str], *, may_be_empty: bool = False
) -> Iterator[EncodedExample]:
    """Examples with their own answers, ready to be trained on.

    Args:
        corpus: tokenizer and template.
        parts: whose examples; those without an answer are left out.
        may_be_empty: no trained token is needed.

    Yields:
        Ids and masks, without soft targets.

    Raises:
        InputError: not one token is trained.
    """
    examples = (example for example in corpus.iterate(parts) if example.answer is not None)
    encoded = map(corpus.encode, examples)
    for item in encoded if may_be_empty else with_trained_tokens(encoded, parts):
        if item.num_trained:
            yield EncodedExample(item.ids, item.is_trained)
