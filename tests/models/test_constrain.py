"""A model of random weights writes what a schema asks for, and nothing else."""

import json

import pytest
import torch
from tests.models.tiny_models import CONFIGS, CORPUS, build
from tests.tokens.schemas import LONGEST, SCHEMA, problems

from stillhouse.core.rows import Message
from stillhouse.core.sampling import Sampling
from stillhouse.models.constrain import OnlyAllowed
from stillhouse.models.generate import Stopping, generate_ids
from stillhouse.tokens.encode import encode_prompt
from stillhouse.tokens.grammar import AnswerGrammar

ROOM = {"gpt2": "n_positions"}


@pytest.fixture(scope="module")
def prompts(tokenizer, template):
    texts = [text[:cut] for text in CORPUS[:3] for cut in (2, 11, 23, 38)]
    return [encode_prompt((Message("user", text),), template, tokenizer) for text in texts]


@pytest.fixture(scope="module")
def stopping(tokenizer):
    return Stopping(frozenset({tokenizer.eos_id}), tokenizer.pad_id)


@pytest.fixture(scope="module")
def grammar(tokenizer, stopping):
    return AnswerGrammar(SCHEMA, tokenizer, stopping.stop_ids)


def roomy(family, tokenizer, seed):
    """With a padded vocabulary, as many real models have."""
    room = {ROOM.get(family, "max_position_embeddings"): LONGEST + 100}
    return build(family, tokenizer, seed, vocab_size=tokenizer.vocab_size + 20, **room)


@pytest.mark.parametrize("temperature", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("family", CONFIGS)
def test_every_completion_that_ended_itself_fits_the_schema(
    family, temperature, tokenizer, prompts, stopping, grammar
):
    model = roomy(family, tokenizer, seed=11)
    sampling = Sampling(LONGEST, temperature, batch_size=5)

    found = generate_ids(model, prompts, sampling, stopping, grammar=grammar)

    assert [one.finish for one in found] == ["stop"] * len(prompts)
    assert [problems(tokenizer.decode(one.ids)) for one in found] == [[]] * len(prompts)


@pytest.mark.parametrize("family", CONFIGS)
def test_what_a_constrained_prompt_gets_does_not_depend_on_its_neighbours(
    family, tokenizer, prompts, stopping, grammar
):
    model = roomy(family, tokenizer, seed=12)

    alone, together = (
        generate_ids(model, prompts, Sampling(LONGEST, batch_size=size), stopping, grammar=grammar)
        for size in (1, 32)
    )

    assert [one.ids.tolist() for one in alone] == [one.ids.tolist() for one in together]


def test_greedy_is_the_likeliest_allowed_token_at_each_step(tokenizer, prompts, stopping, grammar):
    model = roomy("llama", tokenizer, seed=13)

    found = generate_ids(model, prompts[:2], Sampling(LONGEST), stopping, grammar=grammar)

    for prompt, one in zip(prompts, found, strict=False):
        answers = grammar.begin(1)
        for place, token in enumerate([*one.ids.tolist(), tokenizer.eos_id]):
            ids = torch.tensor([*prompt.tolist(), *one.ids.tolist()[:place]])[None]
            with torch.no_grad():
                logits = model(input_ids=ids).logits[0, -1, : tokenizer.vocab_size]
            allowed = torch.from_numpy(answers.allowed()[0])
            assert int(logits.masked_fill(~allowed, -torch.inf).argmax()) == token
            answers.take(torch.tensor([token]).numpy())


def test_a_completion_that_is_cut_stays_cut(tokenizer, prompts, stopping, grammar):
    model = roomy("llama", tokenizer, seed=14)

    found = generate_ids(model, prompts, Sampling(9), stopping, grammar=grammar)

    assert {(one.finish, len(one.ids)) for one in found} == {("length", 9)}
    for one in found:
        text = tokenizer.decode(one.ids)
        assert text.startswith('{"mood":"'[: len(text)])
        with pytest.raises(json.JSONDecodeError):
            json.loads(text)


def test_without_a_grammar_nothing_changes(tokenizer, prompts, stopping, grammar):
    model = roomy("llama", tokenizer, seed=15)
    free = generate_ids(model, prompts, Sampling(9), stopping)

    generate_ids(model, prompts, Sampling(9), stopping, grammar=grammar)

    again = generate_ids(model, prompts, Sampling(9), stopping)
    assert [one.ids.tolist() for one in free] == [one.ids.tolist() for one in again]
    assert not all(tokenizer.decode(one.ids).startswith("{") for one in free)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_scores_keep_their_type_and_what_is_allowed_its_value(dtype, tokenizer, grammar):
    scores = torch.randn(2, tokenizer.vocab_size + 7).to(dtype)

    found = OnlyAllowed(grammar, 2)(torch.zeros(2, 3, dtype=torch.long), scores)

    allowed = torch.from_numpy(grammar.begin(2).allowed())
    assert found.dtype == dtype
    assert torch.equal(found[:, : tokenizer.vocab_size][allowed], scores[:, :-7][allowed])
    assert found[:, : tokenizer.vocab_size][~allowed].isinf().all()
    assert found[:, tokenizer.vocab_size :].isinf().all()
