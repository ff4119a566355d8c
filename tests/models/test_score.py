from dataclasses import replace

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from tests.models.tiny_models import CONFIGS, build

from stillhouse.core.errors import ArtifactError, InputError, ModelError
from stillhouse.core.rows import Message
from stillhouse.models import score
from stillhouse.models.score import Scoring, score_against, score_batch
from stillhouse.tokens.encode import encode_conversation

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")

TEMPERATURES = (1.0, 2.0, 0.5)
ANSWERS = [
    "yes",
    "the quick brown fox jumps",
    "no: it has a reason, and another",
    "0",
    "home again",
]


@pytest.fixture(scope="module")
def texts(tokenizer, template):
    turns = [
        (Message("user", "a question " * (number + 1)), Message("assistant", answer))
        for number, answer in enumerate(ANSWERS)
    ]
    turns.append((*turns[0], *turns[1]))  # two answers in one conversation
    encoded = [encode_conversation(messages, template, tokenizer) for messages in turns]
    return [(f"example-{number}", one) for number, one in enumerate(encoded)]


@pytest.fixture(scope="module")
def scoring(tokenizer):
    return Scoring(tokenizer.vocab_size, top_k=7, kd_temperatures=TEMPERATURES, batch_size=4)


def dense_logprobs(model, conversation, vocab_size):
    """The naive way: all logits of one conversation, the rows before its trained tokens."""
    ids = torch.from_numpy(conversation.ids).long()[None]
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0, :, :vocab_size].double()
    rows = np.flatnonzero(conversation.is_trained) - 1
    return logits[rows].log_softmax(-1)


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
    monkeypatch.setattr(score, "_CHUNK_LOGITS", 3 * tokenizer.vocab_size)

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


@pytest.mark.parametrize("top_k", [1, 3, 5, 6])
def test_equal_entries_are_kept_by_the_smaller_id(top_k):
    logprobs = torch.tensor([[0.0, 2.0, 1.0, 1.0, 2.0, 1.0], [3.0, 3.0, 3.0, 3.0, 3.0, 3.0]])

    _, ids = score._top_k(logprobs, top_k)

    assert ids.tolist() == [[1, 4, 2, 3, 5, 0][:top_k], [0, 1, 2, 3, 4, 5][:top_k]]


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


@pytest.mark.parametrize("family", CONFIGS)
def test_distance_to_the_teacher_is_the_dense_one_when_all_is_kept(
    family, tokenizer, texts, scoring
):
    teacher, student = build(family, tokenizer, seed=1), build(family, tokenizer, seed=2)
    everything = replace(scoring, top_k=tokenizer.vocab_size)
    targets = score_batch(teacher, texts, everything)

    found = score_against(student, texts, targets, scoring)

    for (_, conversation), one in zip(texts, found, strict=True):
        p = dense_logprobs(teacher, conversation, tokenizer.vocab_size)
        q = dense_logprobs(student, conversation, tokenizer.vocab_size)
        observed = torch.from_numpy(conversation.ids[conversation.is_trained]).long()
        assert one.num_tokens == conversation.num_trained
        assert one.kl_sum == pytest.approx(float((p.exp() * (p - q)).sum()), rel=1e-5)
        assert one.nll_sum == pytest.approx(-float(q.gather(1, observed[:, None]).sum()), rel=1e-5)
        assert one.num_agreeing == int((p.argmax(1) == q.argmax(1)).sum())


def test_a_short_list_with_its_tail_is_a_lower_bound_that_grows(tokenizer, texts, scoring):
    teacher, student = build("llama", tokenizer, seed=1), build("llama", tokenizer, seed=2)

    def distance(top_k):
        targets = score_batch(teacher, texts, replace(scoring, top_k=top_k))
        return sum(one.kl_sum for one in score_against(student, texts, targets, scoring))

    sizes = [1, 5, 50, tokenizer.vocab_size - 1, tokenizer.vocab_size]
    distances = [distance(top_k) for top_k in sizes]

    assert 0 < distances[0] < distances[1] < distances[2] < distances[-1]
    assert distances[-2] == pytest.approx(distances[-1], rel=1e-6)


@pytest.mark.parametrize("top_k", [5, 300])
def test_a_model_is_at_distance_zero_of_itself(tokenizer, texts, scoring, top_k):
    model = build("qwen3", tokenizer)
    targets = score_batch(model, texts, replace(scoring, top_k=top_k))

    for one in score_against(model, texts, targets, scoring):
        assert one.kl_sum == pytest.approx(0.0, abs=1e-5)
        assert one.num_agreeing == one.num_tokens


def test_targets_of_another_text_are_refused(tokenizer, texts, scoring):
    model = build("llama", tokenizer)
    targets = score_batch(model, texts, scoring)

    with pytest.raises(ArtifactError, match="targets of example-1 belong to another text than"):
        score_against(model, texts, [targets[1], targets[0], *targets[2:]], scoring)


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
