"""The fused loss against its naive version, dense logits and autograd."""

import itertools

import pytest
import torch

from stillhouse.core.errors import ShapeError, UsageError
from stillhouse.losses import fused_linear
from stillhouse.losses.divergences import cross_entropy, forward_kl
from stillhouse.losses.fused_linear import HeadTensors, fused_linear_loss
from stillhouse.losses.sparse import SparseTargets, sparse_forward_kl
from stillhouse.losses.terms import CROSS_ENTROPY, Objective

N, H, V, K, PADDING = 13, 6, 30, 5, 4


def naive(hidden, head, targets, objective, weights):
    logits = head.logits(hidden)
    per_token = 0.0
    if objective.forward_kl:
        per_token = objective.forward_kl * sparse_forward_kl(
            logits,
            targets,
            kd_temperature=objective.kd_temperature,
            t2_scaling=objective.t2_scaling,
        )
    if objective.cross_entropy:
        per_token = per_token + objective.cross_entropy * cross_entropy(logits, targets.token_ids)
    return (weights * per_token).sum()


def make(dtype=torch.float64, *, num_tokens=N, top_k=K, kd_temperature=1.0, **head):
    generator = torch.Generator().manual_seed(5)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    hidden, weight, bias = draw(num_tokens, H), draw(V + PADDING, H), draw(V + PADDING)
    logprobs = (2 * draw(num_tokens, V)).log_softmax(-1)
    top = logprobs.topk(top_k)
    targets = SparseTargets(
        torch.randint(0, V, (num_tokens,), generator=generator),
        top.indices,
        top.values.to(dtype),
        (logprobs / kd_temperature).logsumexp(-1).to(dtype),
    )
    tensors = [value.to(dtype).requires_grad_() for value in (hidden, weight, bias)]
    weights = torch.rand(num_tokens, generator=generator).to(dtype)
    return tensors, HeadTensors(tensors[1], tensors[2], vocab_size=V, **head), targets, weights


CASES = list(
    itertools.product(
        [Objective(), CROSS_ENTROPY, Objective(0.3, 0.7), Objective(0.3, 0.7, 2.5)],
        [{}, {"logit_softcap": 3.0}, {"logit_scale": 0.4, "logit_softcap": 5.0}],
        [K, V],
    )
)


@pytest.mark.parametrize(("objective", "head", "top_k"), CASES)
def test_value_and_gradients_equal_the_naive_version(objective, head, top_k):
    tensors, head, targets, weights = make(
        top_k=top_k, kd_temperature=objective.kd_temperature, **head
    )
    fused = fused_linear_loss(tensors[0], head, targets, objective, weights, chunk_tokens=4)
    expected = naive(tensors[0], head, targets, objective, weights)
    ours = torch.autograd.grad(7 * fused.loss, tensors)
    theirs = torch.autograd.grad(7 * expected, tensors)
    torch.testing.assert_close(fused.loss, expected)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other)


@pytest.mark.parametrize("objective", [Objective(), Objective(0.3, 0.7, 2.5)])
def test_float32_is_within_a_millionth_of_a_float64_oracle(objective):
    results = []
    for dtype in (torch.float32, torch.float64):
        tensors, head, targets, weights = make(dtype, kd_temperature=objective.kd_temperature)
        loss = fused_linear_loss(tensors[0], head, targets, objective, weights).loss
        results.append([loss.double(), *torch.autograd.grad(loss, tensors)])
    for narrow, wide in zip(*results, strict=True):
        assert (narrow.double() - wide).norm() / wide.norm() < 1e-6


def test_chunks_change_nothing():
    tensors, head, targets, weights = make()
    objective = Objective(0.5, 0.5, 2.0)
    results = [
        fused_linear_loss(tensors[0], head, targets, objective, weights, chunk_tokens=chunk)
        for chunk in (1, 5, N, 0)
    ]
    for result in results[1:]:
        torch.testing.assert_close(result.loss, results[0].loss)
        torch.testing.assert_close(result.forward_kl_N, results[0].forward_kl_N)


def test_a_chunk_is_never_larger_than_its_limit(monkeypatch):
    seen = []
    one_chunk = fused_linear._one_chunk
    monkeypatch.setattr(fused_linear, "CHUNK_LOGITS", 4 * V)
    monkeypatch.setattr(
        fused_linear, "_one_chunk", lambda p, rows: (seen.append(rows), one_chunk(p, rows))[1]
    )
    tensors, head, targets, weights = make()
    fused_linear_loss(tensors[0], head, targets, Objective(), weights)
    assert [rows.stop - rows.start for rows in seen] == [4, 4, 4, 4]


def test_values_per_token_are_those_of_the_divergences():
    (hidden, _, _), head, targets, weights = make()
    fused = fused_linear_loss(hidden, head, targets, Objective(0.5, 0.5), weights)
    logits = head.logits(hidden)
    torch.testing.assert_close(fused.forward_kl_N, sparse_forward_kl(logits, targets).detach())
    torch.testing.assert_close(
        fused.cross_entropy_N, cross_entropy(logits, targets.token_ids).detach()
    )
    assert not fused.forward_kl_N.requires_grad


def test_a_token_of_weight_zero_changes_nothing():
    (hidden, weight, _bias), head, targets, weights = make()
    weights[3] = 0.0
    before = fused_linear_loss(hidden, head, targets, Objective(), weights).loss
    gradient = torch.autograd.grad(before, weight)[0]
    with torch.no_grad():
        hidden[3] = 1000.0
    after = fused_linear_loss(hidden, head, targets, Objective(), weights).loss
    torch.testing.assert_close(after, before)
    torch.testing.assert_close(torch.autograd.grad(after, weight)[0], gradient)


def test_no_token_gives_zero_with_a_graph():
    tensors, head, targets, weights = make(num_tokens=0)
    loss = fused_linear_loss(tensors[0], head, targets, Objective(0.5, 0.5), weights).loss
    gradients = torch.autograd.grad(loss, tensors)
    assert loss.item() == 0.0
    assert all(not gradient.any() for gradient in gradients)


def test_a_frozen_head_costs_no_gradient():
    (hidden, weight, bias), head, targets, weights = make()
    weight.requires_grad_(False)
    bias.requires_grad_(False)
    loss = fused_linear_loss(hidden, head, targets, Objective(), weights).loss
    held = loss.grad_fn.gradients
    loss.backward()
    assert held[1:] == [None, None]
    assert hidden.grad is not None
    assert weight.grad is None
    assert bias.grad is None


def test_nothing_is_formed_without_grad():
    (hidden, *_), head, targets, weights = make()
    with torch.no_grad():
        quiet = fused_linear_loss(hidden, head, targets, Objective(), weights)
    loud = fused_linear_loss(hidden, head, targets, Objective(), weights)
    assert not quiet.loss.requires_grad
    torch.testing.assert_close(quiet.loss, loud.loss.detach())
    torch.testing.assert_close(quiet.forward_kl_N, loud.forward_kl_N)


def test_tied_weights_receive_both_gradients():
    (_, weight, _), _, targets, weights = make()
    ids = torch.arange(N)
    hidden = torch.nn.functional.embedding(ids, weight)
    head = HeadTensors(weight, vocab_size=V)
    ours = torch.autograd.grad(
        fused_linear_loss(hidden, head, targets, Objective(), weights).loss, weight
    )
    hidden = torch.nn.functional.embedding(ids, weight)
    theirs = torch.autograd.grad(naive(hidden, head, targets, Objective(), weights), weight)
    torch.testing.assert_close(ours, theirs)


def test_padding_rows_get_no_gradient():
    tensors, head, targets, weights = make()
    loss = fused_linear_loss(tensors[0], head, targets, Objective(), weights).loss
    _, weight, bias = torch.autograd.grad(loss, tensors)
    assert not weight[V:].any()
    assert not bias[V:].any()
    assert weight[:V].any()


@pytest.mark.parametrize("autocast", [False, True])
def test_bfloat16_input_gives_gradients_in_bfloat16_close_to_the_oracle(autocast):
    tensors, head, targets, weights = make(torch.float32)
    wide = torch.autograd.grad(naive(tensors[0], head, targets, Objective(), weights), tensors)
    kind = torch.float32 if autocast else torch.bfloat16
    narrow = [tensor.detach().to(kind).requires_grad_() for tensor in tensors]
    head = HeadTensors(narrow[1], narrow[2], vocab_size=V)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        fused = fused_linear_loss(narrow[0], head, targets, Objective(), weights)
    gradients = torch.autograd.grad(fused.loss, narrow)
    assert fused.loss.dtype == torch.float32
    for ours, theirs in zip(gradients, wide, strict=True):
        assert ours.dtype == kind
        assert (ours.float() - theirs).norm() / theirs.norm() < 0.03


def test_a_backward_pass_may_be_repeated():
    tensors, head, targets, weights = make()
    loss = fused_linear_loss(tensors[0], head, targets, Objective(), weights).loss
    first = torch.autograd.grad(3 * loss, tensors, retain_graph=True)
    second = torch.autograd.grad(3 * loss, tensors)
    torch.testing.assert_close(first, second)


def test_counts_that_differ_are_refused():
    (hidden, *_), head, targets, weights = make()
    with pytest.raises(ShapeError, match="12 hidden states, 13 target tokens"):
        fused_linear_loss(hidden[:-1], head, targets, Objective(), weights)


def test_two_vocabularies_are_refused():
    with pytest.raises(ShapeError, match="two tokenizers"):
        forward_kl(torch.zeros(2, 5), torch.zeros(2, 6))


@pytest.mark.parametrize("values", [(0.0, 0.0), (-1.0, 1.0), (1.0, 0.0, 0.0)])
def test_an_objective_that_learns_nothing_is_refused(values):
    with pytest.raises(UsageError, match="weight"):
        Objective(*values)


def test_hard_targets_have_no_forward_kl():
    (hidden, *_), head, targets, weights = make()
    hard = SparseTargets.hard(targets.token_ids)
    fused = fused_linear_loss(hidden, head, hard, Objective(1.0, 1.0), weights)
    assert fused.forward_kl_N.abs().max() < 1e-12
