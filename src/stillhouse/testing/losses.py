"""A conformance suite for distillation losses: declare what a loss claims, put it on trial.

    claims = TokenClaims(formula=forward_kl(), t2_scaling=False)
    print(check_laws(my_loss, claims))

    @pytest.mark.parametrize("law", laws_for(claims), ids=str)
    def test_my_loss(law):
        law.check(my_loss).require()

A loss comes in one of two forms: per token (`TokenLoss`), or as a trainer calls it
(`TrainingLoss`). It may be anyone's: nothing here imports a loss of this package.
"""

from __future__ import annotations

from typing import overload

from stillhouse.testing.formulas import (
    Formula,
    akl,
    alpha_beta,
    forward_kl,
    jsd,
    reverse_kl,
    skew_kl,
    skew_reverse_kl,
    tvd,
)
from stillhouse.testing.measuring import TokenLoss, one_by_one
from stillhouse.testing.token_claims import TokenClaims
from stillhouse.testing.token_laws import token_laws
from stillhouse.testing.training_claims import Head, TrainingBatch, TrainingClaims, TrainingLoss
from stillhouse.testing.training_laws import training_laws
from stillhouse.testing.verdicts import Law, Outcome, Report, Verdict

__all__ = [
    "Formula",
    "Head",
    "Law",
    "Outcome",
    "Report",
    "TokenClaims",
    "TokenLoss",
    "TrainingBatch",
    "TrainingClaims",
    "TrainingLoss",
    "Verdict",
    "akl",
    "alpha_beta",
    "check_laws",
    "forward_kl",
    "jsd",
    "laws_for",
    "one_by_one",
    "reverse_kl",
    "skew_kl",
    "skew_reverse_kl",
    "tvd",
]


@overload
def laws_for(claims: TokenClaims) -> list[Law[TokenLoss]]: ...
@overload
def laws_for(claims: TrainingClaims) -> list[Law[TrainingLoss]]: ...
def laws_for(
    claims: TokenClaims | TrainingClaims,
) -> list[Law[TokenLoss]] | list[Law[TrainingLoss]]:
    """All laws for a loss with these claims; those that do not apply say why in `Law.absent`.

    Args:
        claims: of a loss per token or of a training loss.

    Returns:
        The laws; `ids=str` names them in a parametrised test.
    """
    return token_laws(claims) if isinstance(claims, TokenClaims) else training_laws(claims)


@overload
def check_laws(loss: TokenLoss, claims: TokenClaims) -> Report: ...
@overload
def check_laws(loss: TrainingLoss, claims: TrainingClaims) -> Report: ...
def check_laws(loss: TokenLoss | TrainingLoss, claims: TokenClaims | TrainingClaims) -> Report:
    """Every law's verdict on one loss; `print` shows the table, `require` asserts it.

    Args:
        loss: in the form of the claims.
        claims: what the loss says of itself.

    Returns:
        One verdict a law, also for those that do not apply.
    """
    return Report(tuple(law.check(loss) for law in laws_for(claims)))  # type: ignore[arg-type]
