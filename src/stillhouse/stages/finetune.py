"""Finetune: the teacher learns the gold answers of its own part."""

from __future__ import annotations

from collections.abc import Sequence

from stillhouse.core.protocols import Progress
from stillhouse.core.rows import Example
from stillhouse.losses.terms import CROSS_ENTROPY
from stillhouse.recipes.training import Finetune
from stillhouse.stages.contract import StageRequest, StageResult
from stillhouse.stages.corpus import Corpus, open_corpus, require_trained_tokens
from stillhouse.stages.sections import section_of
from stillhouse.stages.training import Learning, train_and_save
from stillhouse.students.assignment import TrainingData
from stillhouse.students.examples import EncodedExample


def run(request: StageRequest, progress: Progress) -> StageResult:
    """Write the teacher (`model`, or `adapter`) and `curve.json`."""
    training = section_of(Finetune, request.config["training"])
    corpus = open_corpus(request.inputs["examples"])
    data = TrainingData(
        encode_gold(corpus, corpus.of_parts(training.parts), training.parts),
        encode_gold(corpus, corpus.of_parts(["validation"]), ()),
        vocab_size=corpus.tokenizer.vocab_size,
    )
    learning = Learning(data, CROSS_ENTROPY, training, request.locations.get("teacher"))
    return StageResult(train_and_save(request, corpus, learning, progress))


def encode_gold(
    corpus: Corpus, examples: Sequence[Example], parts: Sequence[str]
) -> list[EncodedExample]:
    """Examples with their own answers, ready to be trained on.

    Args:
        corpus: tokenizer and template.
        examples: those without an answer are left out.
        parts: where they are from; at least one trained token is required unless empty.

    Returns:
        Ids and masks, without soft targets.
    """
    encoded = [corpus.encode(example) for example in examples if example.answer is not None]
    if parts:
        require_trained_tokens(encoded, parts)
    return [EncodedExample(item.ids, item.is_trained) for item in encoded if item.num_trained]
