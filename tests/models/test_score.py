from dataclasses import replace

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from tests.models.texts import dense_logprobs, encode_texts
from tests.models.tiny_models import CONFIGS, build

from stillhouse.core.errors import InputError, ModelError
from stillhouse.core.rows import Message
from stillhouse.models import logits
from stillhouse.models.score import score_batch
from stillhouse.models.scoring import Scoring
from stillhouse.tokens.encode import encode_conversation

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")

TEMPERATURES = (1.0, 2.0, 0.5)


@pytest.fixture(scope="module")
def texts(tokenizer, template):
    return encode_texts(template, tokenizer)


@pytest.fixture(scope="module")
def scoring(tokenizer):
    return Scoring(tokenizer.vocab_size, top_k=7, kd_temperatures=TEMPERATURES, batch_size=4)


@pytest.mark.parametrize("family", CONFIGS)
def test_scores_are_those_of_the_dense_way(family, tokenizer, texts, scoring):
    model = build(family, tokenizer, seed=1)

    for (name, conversation), found in zip(texts, score_batch(model, texts, scoring), strict=True):
        dense = dense_logprobs(model, conversation, tokenizer.vocab_size)
        top = dense.topk(7)
        observed = dense.gather(1, torch.from_numpy(found.token_ids).long()[:, None])[:, 0]
        log_z = torch.stack([torch.logsumexp(dense / t, -1) for t in TEMPERATURES], dim=1)
        assert found.key.example_id == name
        assert found.key.completion_digest == conversation.completion_digest
        np.testing.assert_array_equal(found.top_ids, top.indices)
        np.testing.assert_allclose(found.top_logprobs, top.values, atol=1e-5)
        np.testing.assert_allclose(found.observed_logprobs, observed, atol=1e-5)
        np.testing.assert_allclose(found.log_z, log_z, atol=1e-5)
        np.testing.assert_array_equal(
            found.byte_offsets, conversation.byte_offsets[conversation.is_trained]
        )


@pytest.mark.parametrize("family", CONFIGS)
def test_scores_do_not_depend_on_the_batch(family, tokenizer, texts, scoring):
    model = build(family, tokenizer, seed=2)

    alone = score_batch(model, texts, replace(scoring, batch_size=1))
    together = score_batch(model, texts, replace(scoring, batch_size=6))

    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one.top_ids, other.top_ids)
        np.testing.assert_allclose(one.top_logprobs, other.top_logprobs, atol=1e-5)


def test_small_chunks_change_nothing(tokenizer, texts, scoring, monkeypatch):
    model = build("llama", tokenizer, seed=2)
    whole = score_batch(model, texts, scoring)
    monkeypatch.setattr(logits, "_CHUNK_LOGITS", 3 * 384)
    monkeypatch.setattr(logits, "_GROUP_LOGITS", 2 * 384)

    for one, other in zip(whole, score_batch(model, texts, scoring), strict=True):
        np.testing.assert_array_equal(one.top_ids, other.top_ids)
        np.testing.assert_allclose(one.log_z, other.log_z, atol=1e-6)


def test_no_dense_tensor_of_all_positions_is_made(tokenizer, texts, scoring, monkeypatch):
    model = build("llama", tokenizer)
    monkeypatch.setattr(model.lm_head, "forward", None)

    assert len(score_batch(model, texts, scoring)) == len(texts)


def test_padded_rows_of_the_head_get_no_mass(tokenizer, texts, scoring):
    padded = build("llama", tokenizer, vocab_size=tokenizer.vocab_size + 50)
    padded.lm_head.weight.data[tokenizer.vocab_size :] = 9.0
    everything = replace(scoring, top_k=tokenizer.vocab_size)

    for (_, conversation), found in zip(texts, score_batch(padded, texts, everything), strict=True):
        assert found.top_ids.max() < tokenizer.vocab_size
        np.testing.assert_allclose(np.exp(found.top_logprobs).sum(1), 1.0, atol=1e-5)
        dense = dense_logprobs(padded, conversation, tokenizer.vocab_size)
        np.testing.assert_allclose(found.top_logprobs[:, 0], dense.amax(1), atol=1e-5)


def test_top_k_is_capped_at_the_vocabulary(tokenizer, texts, scoring):
    found = score_batch(build("llama", tokenizer), texts, replace(scoring, top_k=10_000))

    assert found[0].top_ids.shape[1] == tokenizer.vocab_size


def test_an_adapter_is_active_while_scoring(tokenizer, texts, scoring):
    torch.manual_seed(0)
    config = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    adapted = get_peft_model(build("llama", tokenizer), config)
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight)

    found = score_batch(adapted, texts, scoring)

    dense = dense_logprobs(adapted.eval(), texts[0][1], tokenizer.vocab_size)
    plain = dense_logprobs(build("llama", tokenizer), texts[0][1], tokenizer.vocab_size)
    np.testing.assert_allclose(found[0].top_logprobs[:, 0], dense.amax(1), atol=1e-5)
    assert not torch.allclose(dense, plain, atol=0.1)


def test_bfloat16_scores_stay_near_float32(tokenizer, texts, scoring):
    wide, narrow = build("llama", tokenizer), build("llama", tokenizer).to(torch.bfloat16)

    for one, other in zip(
        score_batch(wide, texts, scoring), score_batch(narrow, texts, scoring), strict=True
    ):
        np.testing.assert_allclose(one.top_logprobs, other.top_logprobs, atol=0.2)


def test_what_cannot_be_scored_is_refused(tokenizer, template, texts, scoring):
    model = build("llama", tokenizer)
    long = (Message("user", "z" * 200), Message("assistant", "yes"))
    too_long = ("long", encode_conversation(long, template, tokenizer))
    prompt_only = ("open", encode_conversation(long[:1], template, tokenizer))
    prompt_only = ("open", replace(prompt_only[1], ids=prompt_only[1].ids[:9]))

    with pytest.raises(InputError, match="tokens, the model's context 128"):
        score_batch(model, [*texts, too_long], scoring)
    with pytest.raises(InputError, match=r"has no answer to score: '<.user.>zzz"):
        score_batch(model, [*texts, prompt_only], scoring)
    with pytest.raises(ModelError, match="the tokenizer has 301 ids, the model's head 300 rows"):
        score_batch(model, texts, replace(scoring, vocab_size=301))


def test_nothing_to_score_gives_nothing(tokenizer, scoring):
    assert score_batch(build("llama", tokenizer), [], scoring) == []


DRAWN = {"top_k": 0, "num_draws": 40, "kd_temperatures": (1.5,), "seed": 3}


@pytest.mark.parametrize("top_k", [0, 5])
def test_draws_fill_what_the_kept_entries_leave(tokenizer, texts, scoring, top_k):
    model = build("qwen3", tokenizer, seed=1, vocab_size=tokenizer.vocab_size + 50)
    model.lm_head.weight.data[tokenizer.vocab_size :] = 9.0
    drawing = replace(scoring, **DRAWN | {"top_k": top_k})

    for (_, conversation), found in zip(texts, score_batch(model, texts, drawing), strict=True):
        dense = dense_logprobs(model, conversation, tokenizer.vocab_size)
        softened = (dense / 1.5).log_softmax(-1)
        entropy = -(softened.exp() * softened).sum(-1)
        draws, is_drawn = found.draws, found.draws.counts > 0
        np.testing.assert_allclose(draws.entropy, entropy, atol=1e-4)
        np.testing.assert_array_equal(draws.counts.sum(1), 40)
        assert draws.ids.max() < tokenizer.vocab_size
        assert not (draws.ids[~is_drawn] != 0).any()
        assert is_drawn.any(axis=0).all()
        for ids, drawn, kept in zip(draws.ids, is_drawn, found.top_ids, strict=True):
            assert (np.diff(ids[drawn]) > 0).all()
            assert not set(ids[drawn]) & set(kept)


def test_draws_belong_to_the_example_and_the_seed(tokenizer, texts, scoring):
    model = build("llama", tokenizer, seed=1)
    for parameter in model.parameters():  # logits that are the same in every batch
        parameter.data.zero_()
    drawing = replace(scoring, **DRAWN)

    def drawn(**changes):
        found = score_batch(model, texts, replace(drawing, **changes))
        return [(one.draws.ids.tobytes(), one.draws.counts.tobytes()) for one in found]

    assert drawn(batch_size=1) == drawn(batch_size=3) == drawn(batch_size=8)
    assert score_batch(model, texts[2:3], drawing)[0].draws.ids.tobytes() == drawn()[2][0]
    assert len(set(drawn())) == len(texts)
    assert all(one != other for one, other in zip(drawn(), drawn(seed=4), strict=True))


def test_draws_need_one_temperature(scoring):
    with pytest.raises(ValueError, match="draws need one kd_temperature"):
        replace(scoring, num_draws=5)
