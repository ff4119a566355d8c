import numpy as np
import pytest
import torch
from tests.models.tiny_models import CONFIGS, CORPUS, build
from transformers import GenerationConfig

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Message
from stillhouse.core.sampling import Sampling
from stillhouse.models.generate import Stopping, find_stopping, generate_ids
from stillhouse.tokens.encode import encode_prompt
from stillhouse.tokens.template import PlainTemplate
from stillhouse.tokens.tokenizer import load_tokenizer

GREEDY = Sampling(max_new_tokens=12)


@pytest.fixture(scope="module")
def prompts(tokenizer, template):
    texts = [text[:cut] for text in CORPUS[:3] for cut in (2, 5, 11, 17, 23, 38)]
    return [encode_prompt((Message("user", text),), template, tokenizer) for text in texts]


def naive_greedy(model, prompt, max_new_tokens, stop_ids):
    ids = torch.tensor(prompt)[None].long()
    for _ in range(max_new_tokens):
        with torch.no_grad():
            chosen = model(input_ids=ids).logits[:, -1].argmax(-1)
        if int(chosen) in stop_ids:
            return ids[0, len(prompt) :].tolist(), "stop"
        ids = torch.cat([ids, chosen[:, None]], dim=1)
    return ids[0, len(prompt) :].tolist(), "length"


def plain(found):
    return [(one.ids.tolist(), one.finish) for one in found]


@pytest.mark.parametrize("family", CONFIGS)
def test_greedy_in_batches_is_the_naive_loop(family, tokenizer, template, prompts):
    model = build(family, tokenizer, seed=5)
    written = [set(naive_greedy(model, prompt, 12, ())[0]) for prompt in prompts]
    somewhere = set.union(*written) - set.intersection(*written)
    stop = max(sorted(somewhere), key=lambda token: sum(token in ids for ids in written))
    stopping = Stopping(frozenset({stop}), tokenizer.pad_id)

    found = plain(generate_ids(model, prompts, GREEDY, stopping))

    expected = [naive_greedy(model, prompt, 12, stopping.stop_ids) for prompt in prompts]
    assert found == expected
    assert {finish for _, finish in found} == {"stop", "length"}


def test_greedy_tokens_come_with_their_logprobs_and_that_of_the_end(tokenizer, prompts):
    model = build("llama", tokenizer, seed=5)
    stopping = Stopping(frozenset(range(0, tokenizer.vocab_size, 9)), tokenizer.pad_id)

    found = generate_ids(model, prompts, GREEDY, stopping)

    assert {one.finish for one in found} == {"stop", "length"}
    for prompt, one in zip(prompts, found, strict=True):
        ids = torch.tensor([[*prompt.tolist(), *one.ids.tolist()]])
        with torch.no_grad():
            steps = model(input_ids=ids).logits[0, len(prompt) - 1 :].log_softmax(-1).amax(-1)
        expected = steps if one.finish == "stop" else steps[:-1]
        np.testing.assert_allclose(one.logprobs, expected, atol=1e-4)
    drawn = generate_ids(model, prompts[:2], Sampling(4, temperature=1.0), stopping)
    assert [one.logprobs for one in drawn] == [None, None]


@pytest.mark.parametrize("family", CONFIGS)
def test_what_a_prompt_gets_does_not_depend_on_its_neighbours(family, tokenizer, prompts):
    model = build(family, tokenizer, seed=6)
    stopping = Stopping(frozenset({tokenizer.eos_id}), tokenizer.pad_id)

    alone = generate_ids(model, prompts, Sampling(12, batch_size=1), stopping)
    together = generate_ids(model, prompts, Sampling(12, batch_size=32), stopping)

    assert plain(alone) == plain(together)


def test_the_models_own_defaults_do_not_leak_in(tokenizer, prompts):
    model = build("llama", tokenizer, seed=7)
    stopping = Stopping(frozenset({tokenizer.eos_id}), tokenizer.pad_id)
    hot = Sampling(12, temperature=2.0)
    before = [plain(generate_ids(model, prompts, one, stopping)) for one in (GREEDY, hot)]
    own = GenerationConfig(
        repetition_penalty=9.0, no_repeat_ngram_size=1, do_sample=True, top_p=0.01, min_p=0.5
    )
    model.generation_config = own

    after = [plain(generate_ids(model, prompts, one, stopping)) for one in (GREEDY, hot)]
    assert after == before
    assert model.generation_config is own


def test_drawing_follows_the_seed_and_leaves_the_random_state(tokenizer, prompts):
    model = build("llama", tokenizer, seed=8)
    stopping = Stopping(frozenset({tokenizer.eos_id}), tokenizer.pad_id)
    hot = Sampling(12, temperature=2.0)
    state = torch.get_rng_state()

    first, again, other = (
        plain(generate_ids(model, prompts, hot, stopping, seed=seed)) for seed in (1, 1, 2)
    )

    assert first == again
    assert first != other
    assert torch.equal(torch.get_rng_state(), state)


def test_training_mode_is_put_back(tokenizer, prompts):
    model = build("gpt2", tokenizer).train()
    model.transformer.h[0].eval()

    generate_ids(model, prompts[:1], Sampling(1), Stopping(frozenset(), 0))

    assert model.training
    assert not model.transformer.h[0].training


def test_a_model_without_end_tokens_runs_to_the_length(tokenizer, prompts):
    model = build("llama", tokenizer)

    found = generate_ids(model, prompts[:2], Sampling(3), Stopping(frozenset(), 0))

    assert [(len(one.ids), one.finish) for one in found] == [(3, "length")] * 2


def test_no_prompts_give_no_completions(tokenizer):
    assert generate_ids(build("llama", tokenizer), [], GREEDY, Stopping(frozenset(), 0)) == []


def test_a_prompt_without_room_or_tokens_is_refused(tokenizer):
    model, stopping = build("llama", tokenizer), Stopping(frozenset(), 0)
    long, empty = np.ones(120, np.int32), np.ones(0, np.int32)

    with pytest.raises(InputError, match=r"120 tokens and max_new_tokens 12 exceed .* 128 tokens"):
        generate_ids(model, [long], GREEDY, stopping)
    with pytest.raises(InputError, match="prompt 1 has no token"):
        generate_ids(model, [long[:5], empty], GREEDY, stopping)


def test_ends_come_from_tokenizer_generation_config_and_template(tokenizer, template):
    model = build("llama", tokenizer)
    user = int(tokenizer.encode("<|user|>")[0][0])
    model.generation_config.eos_token_id = [7, 9]
    model.config.eos_token_id = 11

    chat = find_stopping(model, tokenizer, template)
    turns = find_stopping(model, tokenizer, PlainTemplate(eos="<|user|>"))

    assert chat.stop_ids == {7, 9, 11, tokenizer.eos_id}
    assert turns.stop_ids == {7, 9, 11, tokenizer.eos_id, user}


def test_a_model_and_tokenizer_that_name_no_end_have_none(tokenizer_folder, tokenizer):
    model = build("llama", tokenizer)
    model.config.eos_token_id = model.generation_config.eos_token_id = None
    nameless = load_tokenizer(tokenizer_folder)
    nameless.specials.pop("eos_token")

    found = find_stopping(model, nameless, PlainTemplate(eos="."))

    assert found == Stopping(frozenset(), 0)
