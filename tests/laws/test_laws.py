"""The laws of a distillation loss; each was broken by some library that is in use."""

import itertools

import pytest
import torch
from tests.laws.losses_under_law import EXACT, LOSSES, sparse_targets
from torch.autograd import gradcheck

from stillhouse.losses.dense import forward_kl
from stillhouse.losses.divergences import ForwardKL
from stillhouse.losses.sparse import sparse_divergence

N, V = 7, 40
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
every_temperature = pytest.mark.parametrize("kd_temperature", [0.5, 1.0, 4.0])


@pytest.fixture
def logits():
    generator = torch.Generator().manual_seed(3)
    student = torch.randn(N, V, generator=generator, dtype=torch.float64) * 2
    teacher = torch.randn(N, V, generator=generator, dtype=torch.float64) * 3
    return student, teacher


@every_loss
@every_temperature
def test_zero_when_student_equals_teacher(loss, kd_temperature, logits):
    _, teacher = logits
    student = teacher.clone().requires_grad_()
    value = loss(student, teacher, kd_temperature, True)
    (gradient,) = torch.autograd.grad(value.sum(), student)
    assert value.abs().max() < 1e-12
    assert gradient.abs().max() < 1e-12


@every_loss
@every_temperature
def test_never_negative(loss, kd_temperature, logits):
    student, teacher = logits
    assert loss(student, teacher, kd_temperature, True).min() > 0


@every_loss
def test_adding_a_constant_to_all_logits_changes_nothing(loss, logits):
    student, teacher = logits
    shifted = loss(student + 100.0, teacher - 30.0, 2.0, True)
    torch.testing.assert_close(shifted, loss(student, teacher, 2.0, True))


@every_loss
@every_temperature
def test_gradient_equals_finite_differences(loss, kd_temperature, logits):
    student, teacher = logits
    student.requires_grad_()
    assert gradcheck(lambda s: loss(s, teacher, kd_temperature, True), student, atol=1e-6)


@every_loss
def test_gradient_over_a_row_sums_to_zero(loss, logits):
    student, teacher = logits
    student.requires_grad_()
    (gradient,) = torch.autograd.grad(loss(student, teacher, 2.0, True).sum(), student)
    assert gradient.sum(-1).abs().max() < 1e-12


@every_loss
def test_kd_temperature_squared_scales_value_and_gradient_alike(loss, logits):
    student, teacher = logits
    student.requires_grad_()
    scaled, plain = (loss(student, teacher, 4.0, flag) for flag in (True, False))
    gradients = [torch.autograd.grad(value.sum(), student)[0] for value in (scaled, plain)]
    torch.testing.assert_close(scaled, 16 * plain)
    torch.testing.assert_close(gradients[0], 16 * gradients[1])


@every_loss
def test_gradient_keeps_its_size_when_the_temperature_grows(loss, logits):
    student, teacher = logits
    student.requires_grad_()
    norms = []
    for kd_temperature in (4.0, 16.0):
        value = loss(student, teacher, kd_temperature, True).sum()
        norms.append(torch.autograd.grad(value, student)[0].norm())
    assert 0.5 < norms[1] / norms[0] < 2


@every_loss
def test_half_precision_input_is_computed_in_float32(loss, logits):
    student, teacher = (half.bfloat16() for half in logits)
    value = loss(student, teacher.float(), 2.0, True)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss(student.float(), teacher.float(), 2.0, True))


@every_loss
def test_one_token_and_no_token(loss, logits):
    student, teacher = logits
    one = loss(student[:1], teacher[:1], 2.0, True)
    torch.testing.assert_close(one, loss(student, teacher, 2.0, True)[:1])
    assert loss(student[:0], teacher[:0], 2.0, True).shape == (0,)


@every_loss
def test_float32_agrees_with_float64(loss, logits):
    gradients = []
    for values in (logits, [half.float() for half in logits]):
        student = values[0].clone().requires_grad_()
        value = loss(student, values[1], 2.0, True).sum()
        gradients.append(torch.autograd.grad(value, student)[0].double())
    assert (gradients[0] - gradients[1]).norm() / gradients[0].norm() < 1e-6


@pytest.mark.parametrize("name", EXACT)
@every_temperature
def test_the_whole_vocabulary_gives_the_dense_value(name, kd_temperature, logits):
    student, teacher = logits
    value = LOSSES[name](student, teacher, kd_temperature, True)
    naive = _naive(student, teacher, kd_temperature)
    torch.testing.assert_close(value, naive)


@every_temperature
def test_top_k_with_a_tail_grows_with_k_up_to_the_dense_value(kd_temperature, logits):
    student, teacher = logits
    values = [
        sparse_divergence(
            ForwardKL(),
            student,
            sparse_targets(teacher, k, kd_temperature),
            kd_temperature=kd_temperature,
        )
        for k in (0, 1, 2, 5, 10, 20, 39, 40)
    ]
    dense = forward_kl(student, teacher, kd_temperature=kd_temperature)
    for fewer, more in itertools.pairwise(values):
        assert (fewer <= more + 1e-12).all()
    torch.testing.assert_close(values[-1], dense)
    torch.testing.assert_close(values[-2], dense, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kd_temperature", [1.0, 8.0])
def test_a_tail_that_is_almost_nothing_does_not_cancel(kd_temperature):
    teacher = torch.tensor([[40.0, 0.0, -1.0, -2.0]], dtype=torch.float64)
    student = torch.tensor([[60.0, 0.0, -3.0, -9.0]], dtype=torch.float64)
    targets = sparse_targets(teacher, 1, kd_temperature)
    value = sparse_divergence(ForwardKL(), student.float(), targets, kd_temperature=kd_temperature)
    exact = sparse_divergence(ForwardKL(), student, targets, kd_temperature=kd_temperature)
    assert value.isfinite().all()
    torch.testing.assert_close(value.double(), exact, rtol=1e-5, atol=1e-12)


def _naive(student, teacher, kd_temperature):
    p = torch.softmax(teacher / kd_temperature, -1)
    q = torch.softmax(student / kd_temperature, -1)
    return kd_temperature**2 * (p * (p / q).log()).sum(-1)
