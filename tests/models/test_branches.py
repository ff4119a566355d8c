"""What answers share is read once, and each gets what it would get alone."""

import copy
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from tests.models.texts import dense_logprobs
from tests.models.tiny_models import CONFIGS, build

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Message
from stillhouse.models.branches import answer_likelihoods
from stillhouse.tokens.encode import encode_conversation
from stillhouse.tokens.template import PlainTemplate

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")
CLASSES = ("yes", "yes, maybe", "no", "the quick brown fox jumps", "y", "0")


def family(template, tokenizer, prompt, classes=CLASSES, before=()):
    return [
        encode_conversation(
            (*before, Message("user", prompt), Message("assistant", name)), template, tokenizer
        )
        for name in classes
    ]


@pytest.fixture(scope="module")
def families(tokenizer, template):
    prompts = ["a question has an answer"[:cut] for cut in (1, 24, 9, 16)]
    return [family(template, tokenizer, prompt) for prompt in prompts]


def naive(model, conversation, vocab_size):
    """The whole conversation alone, every logit in float64."""
    observed = torch.from_numpy(conversation.ids[conversation.is_trained]).long()[:, None]
    return float(dense_logprobs(model, conversation, vocab_size).gather(1, observed).sum())


def likelihoods(model, families, tokenizer, batch_size=4):
    return answer_likelihoods(
        model, families, vocab_size=tokenizer.vocab_size, batch_size=batch_size
    )


@contextmanager
def counted_tokens(model):
    """How many tokens, padding included, went through the model's layers."""
    seen = []
    handle = model.base_model.register_forward_pre_hook(
        lambda module, args, given: seen.append(given["input_ids"].numel()), with_kwargs=True
    )
    yield seen
    handle.remove()


@pytest.mark.parametrize("family", CONFIGS)
def test_each_answer_gets_what_it_gets_alone(family, tokenizer, families):
    model = build(family, tokenizer, seed=1)

    found = likelihoods(model, families, tokenizer)

    alone = [[naive(model, one, tokenizer.vocab_size) for one in each] for each in families]
    np.testing.assert_allclose(found, alone, atol=1e-5, rtol=1e-6)


def test_float64_says_the_same(tokenizer, families):
    model = build("llama", tokenizer, seed=2)
    exact = copy.deepcopy(model).double()

    found = likelihoods(model, families, tokenizer)

    alone = [[naive(exact, one, tokenizer.vocab_size) for one in each] for each in families]
    np.testing.assert_allclose(found, alone, atol=2e-5, rtol=1e-6)


def test_a_window_of_attention_that_ends_inside_the_stem_changes_nothing(tokenizer, families):
    layers = ["sliding_attention", "full_attention"]
    model = build("gpt_oss", tokenizer, seed=3, sliding_window=5, layer_types=layers)

    found = likelihoods(model, families, tokenizer)

    alone = [[naive(model, one, tokenizer.vocab_size) for one in each] for each in families]
    np.testing.assert_allclose(found, alone, atol=1e-5, rtol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_the_batch_changes_nothing(batch_size, tokenizer, families):
    model = build("qwen3", tokenizer, seed=4)

    found = likelihoods(model, families, tokenizer, batch_size)

    np.testing.assert_allclose(found, likelihoods(model, families, tokenizer), atol=1e-5)


def test_the_prompt_goes_through_the_model_once(tokenizer, template):
    model = build("llama", tokenizer)
    one = family(template, tokenizer, "a question " * 8)
    stem = min(int(np.argmax(conversation.is_trained)) for conversation in one)
    tails = sum(len(conversation.ids) - stem for conversation in one)

    with counted_tokens(model) as seen:
        likelihoods(model, [one], tokenizer, batch_size=1)

    assert stem > 50
    assert sum(seen) <= stem + tails


def test_what_is_kept_of_a_stem_is_not_changed_by_its_branches(tokenizer, template):
    model = build("llama", tokenizer, seed=5)
    one = family(template, tokenizer, "a question")

    found = likelihoods(model, [one + one], tokenizer, batch_size=2)

    np.testing.assert_allclose(found[0][: len(one)], found[0][len(one) :], atol=1e-6)


def test_only_the_last_answer_counts(tokenizer, template):
    model = build("llama", tokenizer, seed=6)
    before = (Message("user", "why"), Message("assistant", "the reason"))
    one = family(template, tokenizer, "a question", before=before)
    first = dense_logprobs(model, one[0], tokenizer.vocab_size)

    [found] = likelihoods(model, [one], tokenizer)

    tokens = torch.from_numpy(one[0].ids[one[0].is_trained]).long()[:, None]
    answer = encode_conversation(
        (Message("user", "a question"), Message("assistant", "yes")), template, tokenizer
    )
    own = first.gather(1, tokens)[-answer.num_trained :]
    np.testing.assert_allclose(found[0], float(own.sum()), atol=1e-5)


def test_prompts_of_different_tokens_are_read_one_by_one(tokenizer):
    """A template that writes the answer's beginning into what stands before it."""
    model, template = build("llama", tokenizer, seed=7), PlainTemplate(eos=tokenizer.eos_token)
    other = [
        *family(template, tokenizer, "a question", ("yes",)),
        *family(template, tokenizer, "another", ("no", "maybe")),
    ]

    [found] = likelihoods(model, [other], tokenizer)

    alone = [naive(model, one, tokenizer.vocab_size) for one in other]
    np.testing.assert_allclose(found, alone, atol=1e-5)


def test_an_answer_that_is_the_beginning_of_another_may_end_without_a_token(tokenizer):
    model, template = build("llama", tokenizer, seed=7), PlainTemplate(eos="")
    one = family(template, tokenizer, "a question", ("a", "a b", "a b c"))

    [found] = likelihoods(model, [one], tokenizer)

    assert all(each.ids[: len(one[0].ids)].tolist() == one[0].ids.tolist() for each in one)
    alone = [naive(model, each, tokenizer.vocab_size) for each in one]
    np.testing.assert_allclose(found, alone, atol=1e-5)
    assert found[0] > found[1] > found[2]


def test_a_model_without_keys_and_values_is_read_one_by_one(tokenizer, families):
    config = {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4}
    model = build_recurrent(tokenizer, config)

    with counted_tokens(model) as seen:
        found = likelihoods(model, families, tokenizer, batch_size=1)

    alone = [[naive(model, one, tokenizer.vocab_size) for one in each] for each in families]
    np.testing.assert_allclose(found, alone, atol=1e-5)
    assert sum(seen) >= sum(len(one.ids) for each in families for one in each)


def build_recurrent(tokenizer, config):
    from stillhouse.models.scratch import build_scratch
    from stillhouse.recipes.models import Scratch

    return build_scratch(Scratch(model_type="mamba", config=config), tokenizer, seed=0)


def test_an_adapter_is_at_work(tokenizer, families):
    model = build("llama", tokenizer, seed=8)
    plain = likelihoods(model, families, tokenizer)
    lora = LoraConfig(r=2, target_modules=["q_proj", "down_proj"], init_lora_weights=False)

    adapted = get_peft_model(model, lora)
    found = likelihoods(adapted, families, tokenizer)

    alone = [[naive(adapted, one, tokenizer.vocab_size) for one in each] for each in families]
    np.testing.assert_allclose(found, alone, atol=1e-5, rtol=1e-6)
    assert np.abs(np.array(found) - np.array(plain)).max() > 0.01


def test_padded_rows_of_the_head_get_no_mass(tokenizer, families):
    model = build("llama", tokenizer, seed=9, vocab_size=tokenizer.vocab_size + 30)

    found = likelihoods(model, families, tokenizer)

    alone = [[naive(model, one, tokenizer.vocab_size) for one in each] for each in families]
    np.testing.assert_allclose(found, alone, atol=1e-5, rtol=1e-6)


def test_no_families_have_no_likelihoods(tokenizer):
    assert likelihoods(build("llama", tokenizer), [], tokenizer) == []


def test_a_conversation_beyond_the_context_is_refused(tokenizer, template):
    with pytest.raises(InputError, match=r"has \d+ tokens, the model's context 128"):
        likelihoods(build("llama", tokenizer), [family(template, tokenizer, "x" * 200)], tokenizer)
