"""What a report shows, and how a loss is handed in."""

import pytest
import torch
from tests.testing import broken_token_losses as token

from stillhouse.testing.losses import Outcome, TokenClaims, check_laws, forward_kl, laws_for
from stillhouse.testing.losses import one_by_one as wrap

FORWARD = TokenClaims(forward_kl())


def test_a_report_has_one_verdict_a_law_and_a_reason_where_none_applies():
    report = check_laws(token.sound, FORWARD)
    assert [v.law for v in report.verdicts] == [law.name for law in laws_for(FORWARD)]
    absent = [v for v in report.verdicts if v.outcome is Outcome.NOT_APPLICABLE]
    assert {v.law: v.detail for v in absent}["sampled_targets_are_unbiased"] == "nothing is sampled"
    assert all(v.detail for v in absent)
    assert report.failures == ()
    report.require()


def test_a_report_names_what_fails_and_by_how_much():
    report = check_laws(token.t2_is_in_the_value_only, FORWARD)
    text = str(report)
    assert "at T = 4 the value is 16 and the gradient 1 times" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 120
    with pytest.raises(AssertionError, match=f"{len(report.failures)} laws fail"):
        report.require()


def test_a_loss_that_raises_fails_with_its_error():
    def raising(student, teacher, t):
        raise ValueError("two tokenizers")

    verdict = laws_for(FORWARD)[0].check(raising)
    assert verdict.outcome is Outcome.FAILS
    assert "raised ValueError: two tokenizers" in verdict.detail
    with pytest.raises(AssertionError) as caught:
        verdict.require()
    assert isinstance(caught.value.__cause__, ValueError)


def test_a_mean_is_refused_with_the_way_to_wrap_it():
    def mean(student, teacher, t):
        return token.sound(student, teacher, t).mean()

    verdict = laws_for(FORWARD)[0].check(mean)
    assert "one_by_one" in verdict.detail
    check_laws(wrap(mean), FORWARD).require()


def test_a_loss_of_float32_is_held_to_what_float32_can_do():
    def narrow(student, teacher, t):
        return token.sound(student.float(), teacher.float(), t)

    assert check_laws(narrow, FORWARD).failures
    claims = TokenClaims(forward_kl(), computes_in=torch.float32)
    check_laws(narrow, claims).require()


def test_a_loss_without_a_temperature_is_not_asked_for_one():
    claims = TokenClaims(forward_kl(), kd_temperatures=(1.0,))
    report = check_laws(token.temperature_is_ignored, claims)
    reasons = {v.law: v.detail for v in report.verdicts}
    report.require()
    assert reasons["temperature_acts_on_both_sides"] == "the loss has no temperature"
