"""Each divergence against its paper's formula, and what none of them may do."""

import pytest
import torch
from tests.losses.naive import EVERY, naive, naive_sparse

from stillhouse.core.errors import ShapeError, UsageError
from stillhouse.losses import dense
from stillhouse.losses.class_level import class_divergence
from stillhouse.losses.dense import dense_divergence
from stillhouse.losses.divergences import (
    AKL,
    JSD,
    AlphaBeta,
    Categories,
    ForwardKL,
    ReverseKL,
    SkewKL,
    SkewReverseKL,
)
from stillhouse.losses.soft_targets import SampledTargets, SparseTargets
from stillhouse.losses.sparse import sampled_forward_kl, sparse_divergence
from stillhouse.losses.terms import Objective

N, V, K = 9, 40, 6
every_divergence = pytest.mark.parametrize("divergence", EVERY, ids=str)
every_temperature = pytest.mark.parametrize("kd_temperature", [1.0, 2.5])


@pytest.fixture
def logits():
    generator = torch.Generator().manual_seed(3)
    student = torch.randn(N, V, generator=generator, dtype=torch.float64) * 2
    teacher = torch.randn(N, V, generator=generator, dtype=torch.float64) * 3
    return student.requires_grad_(), teacher


def sparse_targets(teacher, top_k, kd_temperature=1.0):
    logprobs = teacher.log_softmax(-1)
    top = logprobs.topk(top_k)
    return SparseTargets(top.indices, top.values, (logprobs / kd_temperature).logsumexp(-1))


def gradient_of(value, student):
    (gradient,) = torch.autograd.grad(value.sum(), student)
    return gradient


@every_divergence
@every_temperature
def test_value_and_gradient_are_those_of_the_formula(divergence, kd_temperature, logits):
    student, teacher = logits
    ours = dense_divergence(divergence, student, teacher, kd_temperature=kd_temperature)
    p, q = ((side / kd_temperature).softmax(-1) for side in (teacher, student))
    theirs = kd_temperature**2 * naive(divergence, p, q)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(gradient_of(ours, student), gradient_of(theirs, student))


@every_divergence
@every_temperature
@pytest.mark.parametrize("top_k", [0, 1, K, V - 1, V])
def test_kept_entries_and_tail_are_categories(divergence, kd_temperature, top_k, logits):
    student, teacher = logits
    targets = sparse_targets(teacher, top_k, kd_temperature)
    ours = sparse_divergence(divergence, student, targets, kd_temperature=kd_temperature)
    theirs = kd_temperature**2 * naive_sparse(
        divergence, student, teacher, targets.top_ids, kd_temperature
    )
    if top_k == 0:
        # One category alone: nothing to learn, and 0 / 0 in one formula.
        assert ours.abs().max() < 1e-12
        assert gradient_of(ours, student).abs().max() < 1e-12
        return
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-9)
    gradients = [gradient_of(value, student) for value in (ours, theirs)]
    torch.testing.assert_close(*gradients, rtol=1e-6, atol=1e-9)


@every_divergence
def test_the_named_function_is_the_divergence(divergence, logits):
    named = getattr(dense, divergence.name)
    settings = {name: getattr(divergence, name) for name in vars(divergence)}
    settings = {{"weight": "jsd_weight"}.get(key, key): value for key, value in settings.items()}
    ours = named(*logits, kd_temperature=2.0, t2_scaling=False, **settings)
    other = dense_divergence(divergence, *logits, kd_temperature=2.0, t2_scaling=False)
    torch.testing.assert_close(ours, other, rtol=0, atol=0)


@every_divergence
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_masked_tokens_and_certainty_never_give_nan(divergence, dtype):
    masked = torch.tensor([[0.0, 1.0, -torch.inf, 2.0], [-torch.inf, -torch.inf, 3.0, -torch.inf]])
    other = torch.tensor([[-torch.inf, 1.0, 0.5, 2.0], [1e4, -1e4, 0.0, 90.0]])
    for student, teacher in ((masked, other), (other, masked), (masked, masked)):
        student = student.to(dtype).requires_grad_()
        teacher = teacher.to(dtype)
        targets = sparse_targets(teacher, 2)
        for value in (
            dense_divergence(divergence, student, teacher),
            sparse_divergence(divergence, student, targets),
        ):
            assert value.isfinite().all()
            assert (value > -1e-6).all()
            assert gradient_of(value, student).isfinite().all()


@every_divergence
def test_a_tail_that_rounding_took_away_is_finite_and_small(divergence):
    teacher = torch.tensor([[30.0, 0.0, -1.0, -2.0, -3.0]])
    student = torch.tensor([[0.0, 0.0, 0.0, 0.0, 0.0]], requires_grad=True)
    targets = sparse_targets(teacher, 2)
    assert targets.softened(1.0, 5).p[0, -1] == 0
    value = sparse_divergence(divergence, student, targets)
    dense_value = dense_divergence(divergence, student, teacher)
    assert value.isfinite().all()
    assert gradient_of(value, student).isfinite().all()
    if divergence.is_f_divergence:
        assert value <= dense_value + 1e-6


def test_the_tail_is_floored_at_half_a_step_below_one():
    targets = SparseTargets(torch.tensor([[0]]), torch.zeros(1, 1), torch.zeros(1))
    softened = targets.softened(1.0, 4)
    assert softened.log_p[0, -1].exp().item() == pytest.approx(2.0**-24)
    assert not targets.softened(1.0, 1).has_tail


def test_alpha_beta_ends_in_the_two_kls(logits):
    student, teacher = logits
    for alpha, beta, end in ((1.0, 0.0, ForwardKL()), (0.0, 1.0, ReverseKL())):
        for step in (0.0, 1e-7):
            theirs = dense_divergence(end, student, teacher)
            divergence = AlphaBeta(abs(alpha - step), abs(beta - step))
            ours = dense_divergence(divergence, student, teacher)
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-9)
            torch.testing.assert_close(
                gradient_of(ours, student), gradient_of(theirs, student), rtol=1e-4, atol=1e-6
            )


@pytest.mark.parametrize("size", [50, 3000])
def test_the_head_of_akl_is_found_whatever_its_size(size):
    generator = torch.Generator().manual_seed(1)
    for sharpness in (0.01, 0.5, 3.0):
        teacher = sharpness * torch.randn(2, size, generator=generator, dtype=torch.float64)
        student = torch.randn(2, size, generator=generator, dtype=torch.float64)
        ours = dense_divergence(AKL(0.7), student, teacher)
        theirs = naive(AKL(0.7), teacher.softmax(-1), student.softmax(-1))
        torch.testing.assert_close(ours, theirs)


def test_equally_likely_tokens_are_all_head_or_all_tail():
    p = torch.full((1, 4), 0.25, dtype=torch.float64)
    q = torch.tensor([[0.4, 0.3, 0.2, 0.1]], dtype=torch.float64)
    ours, _ = AKL(0.5).measure(Categories.of(p.log(), q.log()))
    torch.testing.assert_close(ours, naive(ForwardKL(), p, q))


def test_drawn_tokens_give_forward_kl_on_average(logits):
    student, teacher = logits
    p = teacher.softmax(-1)
    entropy = -(p * p.log()).sum(-1)
    everything = SampledTargets(torch.arange(V).expand(N, V), p, entropy)
    ours = sampled_forward_kl(student, everything)
    theirs = dense_divergence(ForwardKL(), student, teacher)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(gradient_of(ours, student), gradient_of(theirs, student))
    draws = torch.multinomial(p, 4000, replacement=True, generator=torch.Generator().manual_seed(2))
    drawn = SampledTargets(draws, torch.full(draws.shape, 1 / 4000, dtype=torch.float64), entropy)
    value = sampled_forward_kl(student, drawn)
    torch.testing.assert_close(value, theirs, rtol=0, atol=0.15)


@every_divergence
def test_classes_are_a_small_vocabulary(divergence, logits):
    student, teacher = logits
    probs = teacher.softmax(-1)
    ours = class_divergence(divergence, student, 3 * probs, kd_temperature=2.0)
    theirs = dense_divergence(divergence, student, teacher, kd_temperature=2.0)
    torch.testing.assert_close(ours, theirs)
    certain = torch.zeros(1, 3)
    certain[0, 1] = 1
    scores = torch.zeros(1, 3, requires_grad=True)
    assert gradient_of(class_divergence(divergence, scores, certain), scores).isfinite().all()


def test_two_vocabularies_are_refused():
    with pytest.raises(ShapeError, match="two tokenizers"):
        dense.forward_kl(torch.zeros(2, 5), torch.zeros(2, 6))
    with pytest.raises(ShapeError, match="same classes"):
        class_divergence(ForwardKL(), torch.zeros(2, 5), torch.zeros(2, 6))


@pytest.mark.parametrize("kind", [JSD, SkewKL, SkewReverseKL, AKL])
@pytest.mark.parametrize("value", [0.0, 1.0, -0.1, float("nan")])
def test_shares_lie_inside_zero_and_one(kind, value):
    with pytest.raises(UsageError, match="between 0 and 1"):
        kind(value)


@pytest.mark.parametrize("values", [(-0.1, 1.0), (0.05, 0.0)])
def test_alpha_and_beta_are_not_negative_nor_both_next_to_nothing(values):
    with pytest.raises(UsageError, match="alpha and beta"):
        AlphaBeta(*values)


@pytest.mark.parametrize(
    "values",
    [
        (((ForwardKL(), 0.0),), 0.0),
        ((), 0.0),
        (((ForwardKL(), -1.0),), 1.0),
        (((ForwardKL(), float("nan")),), 1.0),
        (((ForwardKL(), 1.0),), 0.0, 0.0),
    ],
)
def test_an_objective_that_learns_nothing_is_refused(values):
    with pytest.raises(UsageError, match="weight"):
        Objective(*values)


def test_an_objective_names_its_active_terms():
    objective = Objective(((JSD(), 0.5), (ForwardKL(), 0.0)), 0.25)
    assert objective.weights == {"jsd": 0.5, "cross_entropy": 0.25}
    assert objective.not_linear == ("jsd",)
    with pytest.raises(UsageError, match="stands twice"):
        Objective(((JSD(), 0.5), (JSD(0.1), 0.5)))
