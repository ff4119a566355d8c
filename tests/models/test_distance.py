from dataclasses import replace

import pytest
import torch
from tests.models.texts import dense_logprobs, encode_texts
from tests.models.tiny_models import CONFIGS, build

from stillhouse.core.errors import ArtifactError
from stillhouse.models.distance import score_against
from stillhouse.models.score import score_batch
from stillhouse.models.scoring import Scoring

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")


@pytest.fixture(scope="module")
def texts(tokenizer, template):
    return encode_texts(template, tokenizer)


@pytest.fixture(scope="module")
def scoring(tokenizer):
    return Scoring(tokenizer.vocab_size, top_k=7, batch_size=4)


@pytest.fixture(scope="module")
def sizes(tokenizer):
    return {"vocab_size": tokenizer.vocab_size, "batch_size": 4}


@pytest.mark.parametrize("family", CONFIGS)
def test_distance_to_the_teacher_is_the_dense_one_when_all_is_kept(
    family, tokenizer, texts, scoring, sizes
):
    teacher, student = build(family, tokenizer, seed=1), build(family, tokenizer, seed=2)
    everything = replace(scoring, top_k=tokenizer.vocab_size)
    targets = score_batch(teacher, texts, everything)

    found = score_against(student, texts, targets, **sizes)

    for (_, conversation), one in zip(texts, found, strict=True):
        p = dense_logprobs(teacher, conversation, tokenizer.vocab_size)
        q = dense_logprobs(student, conversation, tokenizer.vocab_size)
        observed = torch.from_numpy(conversation.ids[conversation.is_trained]).long()
        assert one.num_tokens == conversation.num_trained
        assert one.kl_sum == pytest.approx(float((p.exp() * (p - q)).sum()), rel=1e-5)
        assert one.nll_sum == pytest.approx(-float(q.gather(1, observed[:, None]).sum()), rel=1e-5)
        assert one.num_right == int((q.argmax(1) == observed).sum())
        assert one.num_agreeing == int((p.argmax(1) == q.argmax(1)).sum())
        m = ((p.exp() + q.exp()) / 2).log()
        jsd = ((p.exp() * (p - m)).sum() + (q.exp() * (q - m)).sum()) / 2
        assert one.jsd_sum == pytest.approx(float(jsd), rel=1e-4)
        shared = torch.minimum(p.exp(), q.exp()).sum()
        assert one.acceptance_sum == pytest.approx(float(shared), rel=1e-5)


def test_a_short_list_with_its_tail_is_a_lower_bound_that_grows(tokenizer, texts, scoring, sizes):
    teacher, student = build("llama", tokenizer, seed=1), build("llama", tokenizer, seed=2)

    def distance(top_k):
        targets = score_batch(teacher, texts, replace(scoring, top_k=top_k))
        found = score_against(student, texts, targets, **sizes)
        sums = [(one.kl_sum, one.jsd_sum, -one.acceptance_sum) for one in found]
        return [sum(column) for column in zip(*sums, strict=True)]

    kept = [1, 5, 50, tokenizer.vocab_size - 1, tokenizer.vocab_size]
    for distances in zip(*map(distance, kept), strict=True):
        assert distances[0] < distances[1] < distances[2] < distances[-1]
        assert distances[-2] == pytest.approx(distances[-1], rel=1e-6)


@pytest.mark.parametrize("top_k", [5, 300])
def test_a_model_is_at_distance_zero_of_itself(tokenizer, texts, scoring, top_k, sizes):
    model = build("qwen3", tokenizer)
    targets = score_batch(model, texts, replace(scoring, top_k=top_k))

    for one in score_against(model, texts, targets, **sizes):
        assert one.kl_sum == pytest.approx(0.0, abs=1e-5)
        assert one.jsd_sum == pytest.approx(0.0, abs=1e-5)
        assert one.acceptance_sum == pytest.approx(one.num_tokens, rel=1e-5)
        assert one.num_agreeing == one.num_tokens


def test_targets_of_another_text_are_refused(tokenizer, texts, scoring, sizes):
    model = build("llama", tokenizer)
    targets = score_batch(model, texts, scoring)

    with pytest.raises(ArtifactError, match="targets of example-1 belong to another text than"):
        score_against(model, texts, [targets[1], targets[0], *targets[2:]], **sizes)
