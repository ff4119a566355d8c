import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.models.tiny_models import build
from tests.tokens.schemas import LONGEST, SCHEMA, problems

from stillhouse.core.errors import InputError, RecipeError
from stillhouse.core.rows import Example, Message
from stillhouse.core.sampling import Sampling
from stillhouse.engines import transformers as engine_module
from stillhouse.engines.transformers import TransformersEngine
from stillhouse.models.scoring import Scoring
from stillhouse.tokens.encode import encode_conversation


@pytest.fixture(scope="module")
def examples():
    random = np.random.default_rng(0)
    texts = ["the quick brown fox jumps over it"[: int(n)] for n in random.integers(1, 33, 20)]
    return [
        Example(f"row-{i}", "labelled", (Message("user", text),), "yes " * (i % 4 + 1))
        for i, text in enumerate(texts)
    ]


@pytest.fixture
def engine(tokenizer, template):
    scoring = Scoring(tokenizer.vocab_size, top_k=4, batch_size=3)
    return TransformersEngine(build("llama", tokenizer), tokenizer, template, scoring)


def test_completions_come_in_the_order_of_the_examples(engine, examples, monkeypatch):
    whole = list(engine.generate(examples, Sampling(8, batch_size=4)))
    monkeypatch.setattr(engine_module, "_WINDOW_BATCHES", 1)
    windowed = list(engine.generate(examples, Sampling(8, batch_size=4)))

    assert [one.example_id for one in whole] == [example.example_id for example in examples]
    assert whole == windowed
    assert all(one.finish in ("stop", "length") and one.num_tokens <= 8 for one in whole)


def test_a_completion_holds_no_special_token(engine, examples):
    assert not any("<|" in one.text for one in engine.generate(examples, Sampling(8)))


def test_scores_come_in_the_order_of_the_examples(
    engine, examples, tokenizer, template, monkeypatch
):
    whole = list(engine.score(examples))
    monkeypatch.setattr(engine_module, "_WINDOW_BATCHES", 1)
    windowed = list(engine.score(iter(examples)))

    for example, one, other in zip(examples, whole, windowed, strict=True):
        conversation = encode_conversation(example.messages(), template, tokenizer)
        assert one.key == other.key
        assert one.key.example_id == example.example_id
        assert one.key.view_digest == conversation.view_digest
        np.testing.assert_array_equal(one.token_ids, conversation.ids[conversation.is_trained])
        np.testing.assert_allclose(one.top_logprobs, other.top_logprobs, atol=1e-5)


def test_examples_are_read_as_they_are_needed(engine, examples, monkeypatch):
    monkeypatch.setattr(engine_module, "_WINDOW_BATCHES", 1)
    read = []

    next(engine.score(read.append(example) or example for example in examples))

    assert len(read) == 3


def test_drawn_completions_differ_from_window_to_window(engine, examples, monkeypatch):
    monkeypatch.setattr(engine_module, "_WINDOW_BATCHES", 1)
    same = [replace(examples[0], example_id=str(number)) for number in range(4)]

    found = list(engine.generate(same, Sampling(16, temperature=3.0, batch_size=1)))

    assert len({one.text for one in found}) > 1
    assert found == list(engine.generate(same, Sampling(16, temperature=3.0, batch_size=1)))


def test_an_example_without_an_answer_cannot_be_scored(engine, examples):
    with pytest.raises(InputError, match="example row-0 has no answer to score"):
        list(engine.score([replace(examples[0], answer=None)]))


def test_the_engine_says_what_it_can_do(engine):
    can = engine.capabilities

    assert (can.text, can.own_logprobs, can.scoring, can.full_logits) == (True, True, True, True)


def test_without_settings_the_whole_vocabulary_of_the_tokenizer_counts(
    tokenizer, template, examples
):
    engine = TransformersEngine(build("llama", tokenizer), tokenizer, template)

    assert next(engine.score(examples)).top_ids.shape[1] == 64


@pytest.mark.parametrize("temperature", [0.0, 2.0])
def test_completions_fit_the_answer_schema(tokenizer, template, examples, temperature):
    model = build("llama", tokenizer, max_position_embeddings=LONGEST + 100)
    engine = TransformersEngine(model, tokenizer, template, answer_schema=SCHEMA)

    found = list(engine.generate(examples, Sampling(LONGEST, temperature, batch_size=7)))

    assert [(one.finish, problems(one.text)) for one in found] == [("stop", [])] * len(examples)


def test_a_schema_that_no_model_can_be_held_to_is_refused_before_the_first_example(
    tokenizer, template
):
    with pytest.raises(RecipeError, match=r"label\.answer_schema"):
        TransformersEngine(
            build("llama", tokenizer),
            tokenizer,
            template,
            answer_schema={"type": "array", "uniqueItems": True},
        )


CLASSES = ("yes", "yes yes", "no", "maybe")


@pytest.mark.parametrize(("prefix", "suffix"), [("", ""), ('{"mood":"', '"}')])
def test_a_class_is_as_likely_as_its_whole_answer(engine, examples, prefix, suffix):
    texts = [prefix + name + suffix for name in CLASSES]
    found = list(engine.classify(iter(examples), CLASSES, lambda _: texts))

    for example, one in zip(examples, found, strict=True):
        answers = [replace(example, answer=prefix + name + suffix) for name in CLASSES]
        sums = [scored.observed_logprobs.sum(dtype=np.float64) for scored in engine.score(answers)]
        assert (one.example_id, one.classes) == (example.example_id, CLASSES)
        np.testing.assert_allclose(one.likelihoods, sums, atol=1e-5)
        probs = np.exp(sums - np.max(sums))
        np.testing.assert_allclose(np.exp(one.logprobs), probs / probs.sum(), atol=1e-5)


def test_a_class_in_a_field_is_as_likely_as_its_answer_up_to_its_end(tokenizer, template, examples):
    """What stands after it counts for nothing; the oracle reads each conversation in float64."""
    model = build("llama", tokenizer)
    engine = TransformersEngine(model, tokenizer, template)
    texts = ['{"mood":"' + name + '","why":"the fox"}' for name in CLASSES]
    ends = [len('{"mood":"' + name + '"') for name in CLASSES]
    found = list(engine.classify(examples[:3], CLASSES, lambda _: texts, lambda _: ends))
    exact = copy.deepcopy(model).double()

    for example, one in zip(examples, found, strict=False):
        sums = []
        for text, end in zip(texts, ends, strict=True):
            whole = encode_conversation(example.messages(text), template, tokenizer)
            stop = whole.text.encode().rindex(text.encode()) + end
            told = [
                place
                for place in np.flatnonzero(whole.is_trained)
                if whole.byte_offsets[place, 0] < stop
            ]
            ids = torch.from_numpy(whole.ids).long()
            with torch.no_grad():
                logs = exact(input_ids=ids[None]).logits[0, :, : tokenizer.vocab_size]
            logs = logs.log_softmax(-1)
            sums.append(sum(float(logs[place - 1, ids[place]]) for place in told))
        np.testing.assert_allclose(one.likelihoods, sums, atol=1e-5)
        probs = np.exp(sums - np.max(sums))
        np.testing.assert_allclose(np.exp(one.logprobs), probs / probs.sum(), atol=1e-5)


def test_the_likelihoods_of_different_classes_never_exceed_one(tokenizer, template, examples):
    """Not even where each class begins the next one: each ends otherwise."""
    model = build("llama", tokenizer)
    with_all = ["a" * length for length in range(1, 30)]
    engine = TransformersEngine(model, tokenizer, template)

    for one in engine.classify(examples[:3], with_all):
        assert np.exp(one.likelihoods).sum() <= 1.0


def test_classes_come_in_the_order_of_the_examples(engine, examples, monkeypatch):
    whole = list(engine.classify(examples, CLASSES))
    monkeypatch.setattr(engine_module, "_WINDOW_BATCHES", 1)

    for one, other in zip(whole, engine.classify(examples, CLASSES), strict=True):
        assert one.example_id == other.example_id
        np.testing.assert_allclose(one.likelihoods, other.likelihoods, atol=1e-5)


@pytest.mark.parametrize("classes", [[], ["yes"], ["yes", "yes"], ["yes", " "]])
def test_classes_that_are_not_several_names_are_refused(engine, examples, classes):
    with pytest.raises(InputError, match=r"label\.classes: .* not at least two different names"):
        next(engine.classify(examples, classes))


def test_a_completions_own_logprobs_are_those_of_its_tokens_and_of_its_end(
    tokenizer, template, examples
):
    model = build("llama", tokenizer, max_position_embeddings=LONGEST + 100)
    plain = TransformersEngine(model, tokenizer, template)
    engine = TransformersEngine(model, tokenizer, template)
    engine.with_logprobs = True
    sampling = Sampling(12, batch_size=7)

    found = list(engine.generate(examples, sampling))

    assert [replace(one, logprobs=()) for one in found] == list(plain.generate(examples, sampling))
    for one in found:
        assert len(one.logprobs) == one.num_tokens + (one.finish == "stop")
        assert all(own.logprob <= 0.0 for own in one.logprobs)
