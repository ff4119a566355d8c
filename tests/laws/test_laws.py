"""Our losses are under every law of `stillhouse.testing.losses` that their claims call for."""

from dataclasses import replace

import pytest
import torch
from tests.laws import losses_on_trial

from stillhouse.losses.divergences import ForwardKL
from stillhouse.losses.sparse import sparse_divergence
from stillhouse.testing.losses import Outcome, check_laws, laws_for

TRIALS = {
    **{f"token-{name}": trial for name, trial in losses_on_trial.token_trials().items()},
    **{f"training-{name}": trial for name, trial in losses_on_trial.training_trials().items()},
}
BEYOND_PROBABILITIES = {
    f"token-{name}-classes" for name in ("reverse_kl", "akl(0.5)", "alpha_beta(0,1)")
}
"""Given probabilities, not logits, nothing tells e^-200 from 0, of which these take a logarithm."""


@pytest.mark.parametrize("name", TRIALS)
def test_a_loss_keeps_every_law(name):
    report = check_laws(*TRIALS[name])
    expected = {"extreme_logits_stay_finite"} if name in BEYOND_PROBABILITIES else set()
    assert {verdict.law for verdict in report.failures} == expected, f"\n{report}"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", TRIALS)
def test_a_loss_keeps_every_law_on_a_gpu(name):
    loss, claims = TRIALS[name]
    report = check_laws(loss, replace(claims, device="cuda"))
    expected = {"extreme_logits_stay_finite"} if name in BEYOND_PROBABILITIES else set()
    assert {verdict.law for verdict in report.failures} == expected, f"\n{report}"


def test_what_does_not_apply_is_known():
    reasons = {
        (law.name, law.absent)
        for _, claims in TRIALS.values()
        for law in laws_for(claims)
        if law.absent and not getattr(claims, "is_sampled", False)
    }
    by_law = {name: sorted(reason for one, reason in reasons if one == name) for name, _ in reasons}
    assert by_law.keys() == {
        "gradient_equals_finite_differences",
        "a_tail_uses_the_true_log_z",
        "sparse_is_never_above_dense",
        "more_kept_entries_come_closer",
        "sampled_targets_are_unbiased",
        "a_symmetric_divergence_is_symmetric",
        "a_jsd_ends_in_the_two_kls",
    }
    assert by_law["gradient_equals_finite_differences"] == [
        "akl(0.5) holds weights constant, so it is not its value's gradient"
    ]
    assert by_law["sparse_is_never_above_dense"] == [
        "akl(0.5) is not an f-divergence: merging may raise it",
        "alpha_beta(0.2,0.7) is not an f-divergence: merging may raise it",
        "no entry is merged",
    ]


@pytest.mark.parametrize("ours", losses_on_trial.DIVERGENCES, ids=str)
def test_a_divergence_says_of_itself_what_its_formula_says(ours):
    formula = losses_on_trial.DIVERGENCES[ours]
    # The alpha-beta family has members that are more than the family is.
    if ours.name != "alpha_beta":
        assert ours.is_f_divergence == formula.is_f_divergence
        assert ours.is_linear == formula.is_linear
    else:
        assert (ours.is_f_divergence, ours.is_linear) == (False, False)


def test_every_divergence_is_on_trial_in_every_form():
    forms = {"dense", "classes", "live", "sparse-1", "sparse-8", "sparse-all"}
    forms |= {"fused-1", "fused-8", "fused-all"}
    for formula in losses_on_trial.DIVERGENCES.values():
        found = {
            name.removeprefix(f"token-{formula.name}-")
            for name in TRIALS
            if name.startswith(f"token-{formula.name}-")
        }
        assert forms <= found


def test_drawn_targets_are_refused_for_all_but_forward_kl():
    for name, (loss, claims) in TRIALS.items():
        if name.endswith("-fused-drawn") and not claims.formula.is_linear:
            (law,) = (one for one in laws_for(claims) if not one.absent)
            verdict = law.check(loss)
            assert verdict.outcome is Outcome.HOLDS
            assert verdict.detail == "refused with UsageError"


@pytest.mark.parametrize("kd_temperature", [1.0, 8.0])
def test_a_tail_that_is_almost_nothing_does_not_cancel(kd_temperature):
    teacher = torch.tensor([[40.0, 0.0, -1.0, -2.0]], dtype=torch.float64)
    student = torch.tensor([[60.0, 0.0, -3.0, -9.0]], dtype=torch.float64)
    targets = losses_on_trial.sparse_targets(teacher, 1, kd_temperature)
    value = sparse_divergence(ForwardKL(), student.float(), targets, kd_temperature=kd_temperature)
    exact = sparse_divergence(ForwardKL(), student, targets, kd_temperature=kd_temperature)
    assert value.isfinite().all()
    torch.testing.assert_close(value.double(), exact, rtol=1e-5, atol=1e-12)
