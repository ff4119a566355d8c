"""The fused loss against its naive version: dense logits, the papers' formulas and autograd."""

from dataclasses import replace
from typing import get_args

import pytest
import torch
from tests.losses.naive import EVERY, naive, naive_sparse
from torch.utils._python_dispatch import TorchDispatchMode

from stillhouse.core.errors import ShapeError, UsageError
from stillhouse.losses import fused_linear, products
from stillhouse.losses.dense import cross_entropy
from stillhouse.losses.divergences import JSD, TVD, ForwardKL, ReverseKL, SkewKL
from stillhouse.losses.fused_linear import fused_linear_loss
from stillhouse.losses.head import HeadTensors, LowRank
from stillhouse.losses.onednn import Way
from stillhouse.losses.soft_targets import LiveTeacher, SampledTargets, SparseTargets
from stillhouse.losses.sparse import sampled_forward_kl
from stillhouse.losses.terms import CROSS_ENTROPY, Objective

N, H, WIDE, V, K, PADDING, RANK = 13, 6, 9, 30, 5, 4, 2
KINDS = ("sparse", "whole", "sampled", "live")
BOTH = Objective(((ForwardKL(), 0.3),), 0.7)
MANY = Objective(((ForwardKL(), 0.3), (JSD(), 0.2), (TVD(), 0.1)), 0.7, 2.5)


class Case:
    """A head, hidden states and one teacher in every form, from one seed."""

    def __init__(self, dtype=torch.float64, *, tokens=N, kd_temperature=1.0, rank=0, **head):
        generator = torch.Generator().manual_seed(5)

        def draw(*shape):
            return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

        hidden, weight, bias = draw(tokens, H), draw(V + PADDING, H), draw(V + PADDING)
        self.tensors = [hidden, weight, bias]
        low_rank = None
        if rank:
            self.tensors += [draw(rank, H), draw(V + PADDING, rank)]
            low_rank = LowRank(*self.tensors[3:], 0.6)
        for tensor in self.tensors:
            tensor.requires_grad_()
        self.hidden = hidden
        self.head = HeadTensors(weight, bias, vocab_size=V, low_rank=low_rank, **head)
        self.ids = torch.randint(0, V, (tokens,), generator=generator)
        self.weights = torch.rand(tokens, generator=generator).to(dtype)
        teacher_head = HeadTensors(draw(V + 2, WIDE), draw(V + 2), 0.7, 4.0, V)
        live = LiveTeacher(draw(tokens, WIDE), teacher_head)
        self.teacher_logits = live.head.logits(live.hidden_NH)
        logprobs = self.teacher_logits.log_softmax(-1)
        log_z = (logprobs / kd_temperature).logsumexp(-1)
        p = (logprobs / kd_temperature).softmax(-1)
        draws = torch.multinomial(p.double().clamp_min(1e-9), 8, True, generator=generator)
        entropy = -(p * p.log()).sum(-1)
        self.teachers = {"live": live}
        for name, size in (("sparse", K), ("whole", V)):
            top = logprobs.topk(size)
            self.teachers[name] = SparseTargets(top.indices, top.values, log_z)
        probs = torch.full(draws.shape, 1 / 8, dtype=dtype)
        probs[:, -1] = 0.0
        self.teachers["sampled"] = SampledTargets(draws, probs, entropy)

    def fused(self, kind, objective, **options):
        teacher = self.teachers.get(kind)
        arguments = (self.hidden, self.head, self.ids, teacher, objective, self.weights)
        return fused_linear_loss(*arguments, **options)

    def naive_terms(self, kind, objective):
        logits, heat = self.head.logits(self.hidden), objective.kd_temperature
        factor = heat**2 if objective.t2_scaling else 1
        terms = {}
        for divergence, _ in objective.active:
            if kind == "sampled":
                value = sampled_forward_kl(
                    logits, self.teachers[kind], kd_temperature=heat, t2_scaling=False
                )
            elif kind == "sparse":
                top_ids = self.teachers[kind].top_ids
                value = naive_sparse(divergence, logits, self.teacher_logits, top_ids, heat)
            else:
                p = (self.teacher_logits / heat).softmax(-1)
                value = naive(divergence, p, (logits / heat).softmax(-1))
            terms[divergence.name] = factor * value
        if objective.cross_entropy:
            terms["cross_entropy"] = cross_entropy(logits, self.ids)
        return terms

    def naive(self, kind, objective):
        terms, weights = self.naive_terms(kind, objective), objective.weights
        return (self.weights * sum(weights[name] * value for name, value in terms.items())).sum()


def agree(case, kind, objective, **options):
    fused, theirs = case.fused(kind, objective, **options), case.naive(kind, objective)
    torch.testing.assert_close(fused.loss, theirs)
    ours = torch.autograd.grad(7 * fused.loss, case.tensors)
    expected = torch.autograd.grad(7 * theirs, case.tensors)
    for mine, other in zip(ours, expected, strict=True):
        torch.testing.assert_close(mine, other)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "head",
    [
        {},
        {"logit_softcap": 3.0},
        {"logit_scale": 0.4, "logit_softcap": 5.0},
        {"rank": RANK, "logit_scale": 0.4},
        {"rank": RANK, "logit_softcap": 5.0},
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "objective",
    [Objective(), CROSS_ENTROPY, BOTH, replace(BOTH, kd_temperature=2.5, t2_scaling=False), MANY],
    ids=["kl", "ce", "both", "both-softened", "many"],
)
def test_value_and_gradients_equal_the_naive_version(kind, objective, head):
    if kind == "sampled" and objective.not_linear:
        pytest.skip("drawn tokens give linear objectives alone")
    case = Case(kd_temperature=objective.kd_temperature, **head)
    agree(case, kind, objective, chunk_tokens=4)


@pytest.mark.parametrize("kind", ["sparse", "whole", "live"])
@pytest.mark.parametrize("divergence", EVERY, ids=str)
def test_every_divergence_equals_its_formula(divergence, kind):
    objective = Objective(((divergence, 0.4),), 0.6, 1.7)
    agree(Case(kd_temperature=1.7), kind, objective, chunk_tokens=5)


@pytest.mark.parametrize("kind", ["sparse", "live"])
@pytest.mark.parametrize("divergence", EVERY, ids=str)
def test_float32_is_within_a_millionth_of_a_float64_oracle(divergence, kind):
    objective = Objective(((divergence, 0.4),), 0.6, 1.7)
    narrow, wide = (Case(dtype, kd_temperature=1.7) for dtype in (torch.float32, torch.float64))
    loss, oracle = narrow.fused(kind, objective).loss, wide.naive(kind, objective)
    ours = [loss, *torch.autograd.grad(loss, narrow.tensors)]
    theirs = [oracle, *torch.autograd.grad(oracle, wide.tensors)]
    for mine, other in zip(ours, theirs, strict=True):
        assert (mine.double() - other).norm() / other.norm() < 1e-6


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tile_bytes", [1, 1 << 20])
def test_chunks_and_tiles_change_nothing(kind, tile_bytes, monkeypatch):
    monkeypatch.setattr(fused_linear, "TILE_BYTES", tile_bytes)
    objective = replace(BOTH, kd_temperature=2.0)
    case = Case(kd_temperature=2.0)
    for chunk in (1, 5, N, 0):
        agree(case, kind, objective, chunk_tokens=chunk)


@pytest.mark.parametrize("kind", ["sparse", "live"])
def test_values_per_token_are_those_of_the_terms(kind):
    case = Case(kd_temperature=MANY.kd_temperature)
    fused, terms = case.fused(kind, MANY), case.naive_terms(kind, MANY)
    assert list(fused.per_token) == list(MANY.weights)
    for name, value in fused.per_token.items():
        torch.testing.assert_close(value, terms[name].detach())
        assert not value.requires_grad


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_of_weight_zero_changes_nothing(kind):
    case = Case()
    case.weights[3] = 0.0
    before = case.fused(kind, BOTH).loss
    gradient = torch.autograd.grad(before, case.tensors)[1]
    with torch.no_grad():
        case.hidden[3] = 1000.0
    after = case.fused(kind, BOTH).loss
    torch.testing.assert_close(after, before)
    torch.testing.assert_close(torch.autograd.grad(after, case.tensors)[1], gradient)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tokens", [0, N])
def test_no_token_and_all_masked_give_zero_with_a_graph(kind, tokens):
    case = Case(tokens=tokens, rank=RANK)
    case.weights.zero_()
    loss = case.fused(kind, BOTH).loss
    gradients = torch.autograd.grad(loss, case.tensors)
    assert loss.item() == 0.0
    assert all(not gradient.any() for gradient in gradients)


SIZES = ([H, V], [H, V + PADDING])


class OfTheHeadsSize(TorchDispatchMode):
    """Shapes of the results that are as large as a head and are not the head itself."""

    def __init__(self, head):
        super().__init__()
        self.own = head.untyped_storage().data_ptr()
        self.shapes = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        is_as_large = isinstance(result, torch.Tensor) and sorted(result.shape) in SIZES
        if is_as_large and result.untyped_storage().data_ptr() != self.own:
            self.shapes.append(tuple(result.shape))
        return result


@pytest.mark.parametrize("rank", [0, RANK])
@pytest.mark.parametrize("kind", ["sparse", "live"])
def test_a_frozen_head_costs_no_gradient(kind, rank):
    case = Case(rank=rank)
    for tensor in case.tensors[1:3]:
        tensor.requires_grad_(False)
    with OfTheHeadsSize(case.head.weight_VH) as seen:
        case.fused(kind, BOTH, chunk_tokens=5).loss.backward()
    assert seen.shapes == []
    assert case.head.weight_VH.grad is None
    assert case.head.bias_V.grad is None
    for tensor in (case.hidden, *case.tensors[3:]):
        assert tensor.grad is not None


@pytest.mark.parametrize("is_frozen", [False, True])
def test_only_a_head_that_learns_has_its_gradient_multiplied_out(is_frozen, monkeypatch):
    shapes = []
    multiply = products._add_product

    def spy(out, left, right, scale, keep):
        shapes.append(tuple(out.shape))
        multiply(out, left, right, scale, keep)

    monkeypatch.setattr(products, "_add_product", spy)
    case = Case()
    case.head.weight_VH.requires_grad_(not is_frozen)
    case.fused("live", BOTH).loss.backward()
    assert ((V, H) in shapes) is not is_frozen
    assert (V, WIDE) not in shapes


def test_an_input_that_needs_no_gradient_costs_none():
    case = Case()
    expected = torch.autograd.grad(case.naive("live", BOTH), case.head.weight_VH)
    case.hidden.requires_grad_(False)
    loss = case.fused("live", BOTH).loss
    torch.testing.assert_close(torch.autograd.grad(loss, case.head.weight_VH), expected)


def test_the_teacher_never_learns():
    case = Case()
    live = case.teachers["live"]
    tensors = (live.hidden_NH, live.head.weight_VH, live.head.bias_V)
    for tensor in tensors:
        tensor.requires_grad_()
    case.fused("live", BOTH).loss.backward()
    assert all(tensor.grad is None for tensor in tensors)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_formed_without_grad(kind):
    case = Case()
    with torch.no_grad():
        quiet = case.fused(kind, BOTH)
    loud = case.fused(kind, BOTH)
    assert not quiet.loss.requires_grad
    torch.testing.assert_close(quiet.loss, loud.loss.detach())
    torch.testing.assert_close(quiet.per_token, loud.per_token)


def test_tied_weights_receive_both_gradients():
    case = Case()
    weight = case.head.weight_VH
    case.head = replace(case.head, bias_V=None)
    results = []
    for loss_of in (lambda: case.fused("sparse", BOTH).loss, lambda: case.naive("sparse", BOTH)):
        case.hidden = torch.nn.functional.embedding(torch.arange(N), weight)
        results.append(torch.autograd.grad(loss_of(), weight))
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("kind", ["sparse", "live"])
def test_padding_rows_get_no_gradient(kind):
    case = Case(rank=RANK)
    loss = case.fused(kind, BOTH).loss
    _, weight, bias, _, up = torch.autograd.grad(loss, case.tensors)
    for gradient in (weight, bias, up):
        assert not gradient[V:].any()
        assert gradient[:V].any()


def test_dropout_of_an_adapter_is_drawn_once_for_both_directions():
    case = Case(rank=RANK)
    low_rank = replace(case.head.low_rank, dropout=0.5)
    case.head = replace(case.head, low_rank=low_rank)
    results = []
    for loss_of in (lambda: case.fused("sparse", BOTH).loss, lambda: case.naive("sparse", BOTH)):
        torch.manual_seed(11)
        results.append(torch.autograd.grad(loss_of(), case.tensors))
    torch.testing.assert_close(*results)


BF16_BOUND = 0.02
"""Of bfloat16 products against float32, norm-relative: 8 bits an input, added up in float32."""


@pytest.mark.parametrize("kind", ["sparse", "live"])
@pytest.mark.parametrize("is_autocast", [False, True])
@pytest.mark.parametrize("way", get_args(Way))
def test_bfloat16_gradients_are_near_the_oracle(kind, is_autocast, way, monkeypatch):
    monkeypatch.setattr(products, "onednn_offers", lambda _: way)
    wide, case = Case(torch.float32, rank=RANK), Case(torch.float32, rank=RANK)
    theirs = torch.autograd.grad(wide.naive(kind, BOTH), wide.tensors)
    kind_of = torch.float32 if is_autocast else torch.bfloat16
    case.tensors = [tensor.detach().to(kind_of).requires_grad_() for tensor in case.tensors]
    case.hidden, weight, bias, down, up = case.tensors
    low_rank = LowRank(down, up, 0.6)
    case.head = replace(case.head, weight_VH=weight, bias_V=bias, low_rank=low_rank)
    with torch.autocast("cpu", torch.bfloat16, enabled=is_autocast):
        fused = case.fused(kind, BOTH)
    gradients = torch.autograd.grad(fused.loss, case.tensors)
    assert fused.loss.dtype == torch.float32
    for ours, other in zip(gradients, theirs, strict=True):
        assert ours.dtype == kind_of
        assert (ours.float() - other).norm() / other.norm() < BF16_BOUND
    assert torch.backends.mkldnn.matmul.fp32_precision != "bf16"


def test_a_half_precision_head_is_widened_block_by_block(monkeypatch):
    monkeypatch.setattr(products, "_BLOCK_ROWS", 7)
    case = Case(torch.float32)
    with torch.no_grad():
        weight = case.head.weight_VH.bfloat16()
    case.head = replace(case.head, weight_VH=weight.float().requires_grad_())
    expected = torch.autograd.grad(case.naive("sparse", BOTH), case.hidden)
    case.head = replace(case.head, weight_VH=weight)
    torch.testing.assert_close(
        torch.autograd.grad(case.fused("sparse", BOTH).loss, case.hidden), expected
    )


def test_a_backward_pass_may_be_repeated():
    case = Case()
    for factor in (1, 3):
        loss = factor * case.fused("sparse", BOTH).loss
        first = torch.autograd.grad(loss, case.tensors, retain_graph=True)
        second = torch.autograd.grad(loss, case.tensors)
        torch.testing.assert_close(first, second)


def test_gradients_add_up_over_two_losses():
    case = Case()
    expected = torch.autograd.grad(
        case.naive("sparse", BOTH) + case.naive("live", BOTH), case.tensors
    )
    for kind in ("sparse", "live"):
        case.fused(kind, BOTH).loss.backward()
    torch.testing.assert_close(tuple(tensor.grad for tensor in case.tensors), expected)


def test_counts_that_differ_are_refused():
    case = Case()
    sparse = case.teachers["sparse"]
    case.weights = case.weights[1:]
    with pytest.raises(ShapeError, match="13 observed tokens, 12 weights"):
        case.fused("sparse", BOTH)
    case = Case()
    case.teachers["short"] = SparseTargets(sparse.top_ids[1:], sparse.top_logprobs, sparse.log_z)
    with pytest.raises(ShapeError, match="12 rows of soft targets"):
        case.fused("short", BOTH)
    drawn = case.teachers["sampled"]
    case.teachers["short"] = replace(drawn, ids=drawn.ids[1:])
    with pytest.raises(ShapeError, match="12 rows of drawn tokens"):
        case.fused("short", BOTH)
    live = case.teachers["live"]
    case.teachers["short"] = replace(live, hidden_NH=live.hidden_NH[1:])
    with pytest.raises(ShapeError, match="12 hidden states of the teacher"):
        case.fused("short", BOTH)


def test_a_teacher_of_another_vocabulary_is_refused():
    case = Case()
    live = case.teachers["live"]
    case.teachers["live"] = replace(live, head=replace(live.head, vocab_size=V - 1))
    with pytest.raises(ShapeError, match="30 tokens, the teacher's 29"):
        case.fused("live", BOTH)
    case.fused("live", CROSS_ENTROPY)


def test_drawn_tokens_are_refused_for_what_is_not_linear():
    objective = Objective(((ForwardKL(), 1.0), (ReverseKL(), 0.5), (SkewKL(), 0.1)))
    with pytest.raises(UsageError, match="no unbiased reverse_kl, skew_kl"):
        Case().fused("sampled", objective)


def test_divergences_without_a_teacher_are_refused():
    with pytest.raises(UsageError, match="forward_kl need a teacher"):
        Case().fused("none", BOTH)


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_derivative_is_refused_because_it_would_be_wrong(kind):
    case = Case()
    (gradient,) = torch.autograd.grad(
        case.fused(kind, BOTH).loss ** 2, case.hidden, create_graph=True
    )
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


@pytest.mark.parametrize("objective", [BOTH, MANY], ids=["forward_kl", "many"])
def test_a_token_that_both_heads_forbid_changes_nothing(objective):
    case = Case()
    forbidden = 4
    case.ids = case.ids.masked_fill(case.ids == forbidden, 5)
    with torch.no_grad():
        case.head.bias_V[forbidden] = -torch.inf
        case.teachers["live"].head.bias_V[forbidden] = -torch.inf
    fused = case.fused("live", objective)
    gradients = torch.autograd.grad(fused.loss, case.tensors)
    assert fused.loss.isfinite()
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_a_float16_gradient_is_scaled_before_it_is_narrowed():
    hidden = torch.randn(3, H).half().requires_grad_()
    head = HeadTensors(torch.randn(V, H))
    weights = torch.full((3,), 1e-7)
    loss = fused_linear_loss(hidden, head, torch.tensor([1, 2, 3]), None, CROSS_ENTROPY, weights)
    (gradient,) = torch.autograd.grad(loss.loss * 65536.0, hidden.requires_grad_())
    assert gradient.dtype == torch.float16
    assert (gradient != 0).float().mean() > 0.9
    assert gradient.isfinite().all()


@pytest.mark.parametrize("kind", ["sparse", "sampled"])
def test_a_column_of_another_length_is_refused(kind):
    case = Case()
    short = {"sparse": "log_z", "sampled": "entropy"}[kind]
    teacher = case.teachers[kind]
    case.teachers[kind] = replace(teacher, **{short: getattr(teacher, short)[:1]})
    with pytest.raises(ShapeError, match="equally many"):
        case.fused(kind, BOTH)
