"""The textbook formulas against numbers worked out by hand, and their own properties."""

import math

import pytest
import torch

from stillhouse.core.errors import UsageError
from stillhouse.testing import formulas
from stillhouse.testing.losses import (
    akl,
    alpha_beta,
    forward_kl,
    jsd,
    reverse_kl,
    skew_kl,
    skew_reverse_kl,
    tvd,
)

P, Q = [0.5, 0.3, 0.2], [0.2, 0.2, 0.6]
FORWARD = 0.5 * math.log(2.5) + 0.3 * math.log(1.5) + 0.2 * math.log(1 / 3)
REVERSE = 0.2 * math.log(0.4) + 0.2 * math.log(2 / 3) + 0.6 * math.log(3)
BY_HAND = {
    forward_kl(): FORWARD,
    reverse_kl(): REVERSE,
    # m = 0.25 p + 0.75 q = (0.275, 0.225, 0.5)
    jsd(0.25): 0.25
    * (0.5 * math.log(0.5 / 0.275) + 0.3 * math.log(0.3 / 0.225) + 0.2 * math.log(0.4))
    + 0.75 * (0.2 * math.log(0.2 / 0.275) + 0.2 * math.log(0.2 / 0.225) + 0.6 * math.log(1.2)),
    skew_kl(0.25): 0.5 * math.log(0.5 / 0.275) + 0.3 * math.log(0.3 / 0.225) + 0.2 * math.log(0.4),
    # m = 0.75 p + 0.25 q = (0.425, 0.275, 0.3)
    skew_reverse_kl(0.25): 0.2 * math.log(0.2 / 0.425)
    + 0.2 * math.log(0.2 / 0.275)
    + 0.6 * math.log(2),
    tvd(): 0.4,
    # The head is the first category alone: gap 0.3 of 0.8.
    akl(0.5): 0.375 * FORWARD + 0.625 * REVERSE,
    # The head is the first two: gap 0.4 of 0.8.
    akl(0.6): 0.5 * FORWARD + 0.5 * REVERSE,
    alpha_beta(1, 0): FORWARD,
    alpha_beta(0, 1): REVERSE,
    # Half the squared Euclidean distance.
    alpha_beta(1, 1): (0.3**2 + 0.1**2 + 0.4**2) / 2,
}


def logprobs(probs):
    return torch.tensor([probs], dtype=torch.float64).log()


@pytest.mark.parametrize(("formula", "expected"), BY_HAND.items(), ids=lambda x: str(x)[:30])
def test_a_formula_gives_what_was_worked_out_by_hand(formula, expected):
    assert formula.value(logprobs(P), logprobs(Q)).item() == pytest.approx(expected, abs=1e-14)


@pytest.mark.parametrize("signs", [(1, 1), (1, 0), (0, 1), (0, 0), (1, -1)])
def test_the_limits_of_alpha_beta_are_its_limits(signs):
    near = alpha_beta(*(0.7 * sign + 1e-5 for sign in signs))
    limit = alpha_beta(*(0.7 * sign for sign in signs))
    values = [one.value(logprobs(P), logprobs(Q)).item() for one in (near, limit)]
    assert values[0] == pytest.approx(values[1], rel=1e-4)


@pytest.mark.parametrize("formula", [f for f in BY_HAND if f.is_symmetric], ids=lambda f: f.name)
def test_what_is_called_symmetric_is(formula):
    there, back = formula.value(logprobs(P), logprobs(Q)), formula.value(logprobs(Q), logprobs(P))
    torch.testing.assert_close(there, back)


def test_merging_keeps_the_teachers_likeliest_and_sums_the_rest():
    kept = forward_kl().merged(logprobs(P), logprobs(Q), 1).item()
    assert kept == pytest.approx(0.5 * math.log(2.5) + 0.5 * math.log(0.5 / 0.8))
    assert forward_kl().merged(logprobs(P), logprobs(Q), 3).item() == pytest.approx(FORWARD)


def test_the_bucket_is_never_in_the_head_of_akl():
    # Kept is 0.5 alone, which is the head: gap 0.3 of 0.6; the bucket weighs as much but is tail.
    kl = [forward_kl(), reverse_kl()]
    expected = sum(one.merged(logprobs(P), logprobs(Q), 1).item() for one in kl) / 2
    assert akl(0.9).merged(logprobs(P), logprobs(Q), 1).item() == pytest.approx(expected)


@pytest.mark.parametrize("name", ["jsd", "skew_kl", "skew_reverse_kl", "akl"])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_share_at_its_end_is_refused(name, value):
    with pytest.raises(UsageError, match="in \\(0, 1\\)"):
        getattr(formulas, name)(value)
