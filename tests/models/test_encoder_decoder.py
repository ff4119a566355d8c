"""Encoder-decoders write what the naive loop writes, alone and in company, and are not scored."""

import numpy as np
import pytest
import torch
from tests.models.tiny_models import CORPUS
from tests.tokens.schemas import LONGEST, SCHEMA, problems
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    T5Config,
    T5ForConditionalGeneration,
)

from stillhouse.core.errors import InputError, ModelError
from stillhouse.core.rows import Example, Message
from stillhouse.core.sampling import Sampling
from stillhouse.engines.transformers import TransformersEngine
from stillhouse.models.generate import Stopping, find_stopping, generate_ids
from stillhouse.models.load import load_model
from stillhouse.models.scratch import save_model
from stillhouse.models.source import open_folder
from stillhouse.tokens.encode import encode_prompt
from stillhouse.tokens.template import SourceTemplate

GREEDY = Sampling(max_new_tokens=12)


def t5(ids, **changes):
    sizes = {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4}
    config = T5Config(**{"n_positions": 512, "initializer_factor": 8.0, **sizes, **ids, **changes})
    return T5ForConditionalGeneration(config)


def bart(ids, **changes):
    side = {"layers": 2, "attention_heads": 4, "ffn_dim": 48}
    sizes = {f"{name}_{key}": side[key] for name in ("encoder", "decoder") for key in side}
    sizes |= {"d_model": 32, "init_std": 0.5, "max_position_embeddings": 512}
    return BartForConditionalGeneration(
        BartConfig(**{"forced_eos_token_id": None, **sizes, **ids, **changes})
    )


KINDS = {"t5": t5, "bart": bart}


def build(kind, tokenizer, seed=0, **changes):
    """With a padded vocabulary, as T5 has."""
    ids = {
        "vocab_size": tokenizer.vocab_size + 12,
        "pad_token_id": tokenizer.pad_id,
        "eos_token_id": tokenizer.eos_id,
        "bos_token_id": None,
        "decoder_start_token_id": tokenizer.pad_id,
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return KINDS[kind](ids | changes).eval()


@pytest.fixture(scope="module")
def source(tokenizer):
    return SourceTemplate.of(tokenizer)


@pytest.fixture(scope="module")
def prompts(tokenizer, source):
    texts = [text[:cut] for text in CORPUS[:3] for cut in (2, 5, 11, 17, 23, 38)]
    return [encode_prompt((Message("user", text),), source, tokenizer) for text in texts]


def naive_greedy(model, prompt, max_new_tokens, start, stop_ids):
    source = torch.tensor(prompt)[None].long()
    written = torch.tensor([[start]])
    for _ in range(max_new_tokens):
        with torch.no_grad():
            logits = model(input_ids=source, decoder_input_ids=written, use_cache=False).logits
        chosen = logits[:, -1].argmax(-1)
        if int(chosen) in stop_ids:
            return written[0, 1:].tolist(), "stop"
        written = torch.cat([written, chosen[:, None]], dim=1)
    return written[0, 1:].tolist(), "length"


def plain(found):
    return [(one.ids.tolist(), one.finish) for one in found]


@pytest.mark.parametrize("kind", KINDS)
def test_greedy_in_batches_is_the_naive_loop(kind, tokenizer, prompts):
    model, start = build(kind, tokenizer, seed=1), tokenizer.pad_id
    written = [set(naive_greedy(model, prompt, 12, start, ())[0]) for prompt in prompts]
    somewhere = set.union(*written) - set.intersection(*written)
    stop = max(sorted(somewhere), key=lambda token: sum(token in ids for ids in written))
    stopping = Stopping(frozenset({stop}), tokenizer.pad_id)

    found = plain(generate_ids(model, prompts, GREEDY, stopping))

    assert found == [naive_greedy(model, prompt, 12, start, {stop}) for prompt in prompts]
    assert {finish for _, finish in found} == {"stop", "length"}


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_prompt_gets_does_not_depend_on_its_neighbours(kind, tokenizer, prompts):
    model = build(kind, tokenizer, seed=2)
    stopping = Stopping(frozenset({tokenizer.eos_id}), tokenizer.pad_id)

    alone = generate_ids(model, prompts, Sampling(12, batch_size=1), stopping)
    together = generate_ids(model, prompts, Sampling(12, batch_size=32), stopping)

    assert plain(alone) == plain(together)


@pytest.mark.parametrize("start", ["a", "<|user|>"])
def test_the_decoder_starts_with_its_own_token(start, tokenizer, prompts):
    number = int(tokenizer.encode(start)[0][0])
    model = build("t5", tokenizer, seed=3, decoder_start_token_id=number)
    stopping = Stopping(frozenset({tokenizer.eos_id}), tokenizer.pad_id)

    found = plain(generate_ids(model, prompts, GREEDY, stopping))

    assert found == [
        naive_greedy(model, prompt, 12, number, stopping.stop_ids) for prompt in prompts
    ]


def test_a_decoder_without_a_first_token_is_refused(tokenizer, prompts):
    model = build("t5", tokenizer, decoder_start_token_id=None)

    with pytest.raises(ModelError, match="names no token that its decoder starts with"):
        generate_ids(model, prompts, GREEDY, Stopping(frozenset(), 0))


def test_its_end_is_that_of_config_and_template(tokenizer, source):
    model = build("t5", tokenizer, eos_token_id=9)

    assert find_stopping(model, tokenizer, source).stop_ids == {9, tokenizer.eos_id}


def test_source_and_target_have_a_room_each(tokenizer):
    model, stopping = build("t5", tokenizer, n_positions=64), Stopping(frozenset(), 0)

    generate_ids(model, [np.ones(64, np.int32)], Sampling(3), stopping)

    for prompt, length in ((65, 3), (3, 65)):
        with pytest.raises(InputError, match=f"{prompt} tokens or max_new_tokens {length} exceeds"):
            generate_ids(model, [np.ones(prompt, np.int32)], Sampling(length), stopping)


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_gives_the_same_model_again(kind, tokenizer, tokenizer_folder, prompts, tmp_path):
    model = build(kind, tokenizer, seed=4)
    stopping = Stopping(frozenset({tokenizer.eos_id}), tokenizer.pad_id)
    save_model(model, tokenizer_folder, tmp_path)

    loaded = load_model(tmp_path)

    assert type(loaded) is type(model)
    assert open_folder(tmp_path).num_rows == tokenizer.vocab_size + 12
    before, after = (generate_ids(one, prompts, GREEDY, stopping) for one in (model, loaded))
    assert plain(before) == plain(after)


@pytest.fixture
def engine(tokenizer, source):
    return TransformersEngine(build("t5", tokenizer, seed=5), tokenizer, source)


@pytest.fixture
def examples():
    turns = (Message("system", "Be brief."), Message("user", "the quick brown"))
    return [Example("one", "labelled", turns, "fox"), Example("two", "labelled", turns[1:], "fox")]


def test_the_engine_completes_the_last_user_turn_alone(engine, examples):
    one, two = engine.generate(examples, Sampling(8))

    assert (one.text, one.finish) == (two.text, two.finish)
    assert "<|" not in one.text


def test_scoring_is_refused_by_name(engine, examples):
    can = engine.capabilities

    assert (can.text, can.own_logprobs, can.scoring, can.full_logits) == (True, True, False, False)
    for scored in (engine.score(examples), engine.classify(examples, ["fox", "dog"])):
        with pytest.raises(ModelError, match="T5ForConditionalGeneration is an encoder-decoder"):
            next(scored)


def test_an_encoder_decoder_can_be_held_to_a_schema(tokenizer, source, examples):
    model = build("t5", tokenizer, seed=6)
    engine = TransformersEngine(model, tokenizer, source, answer_schema=SCHEMA)

    for one in engine.generate(examples, Sampling(LONGEST, temperature=1.0)):
        assert (one.finish, problems(one.text)) == ("stop", [])
