"""Puts the losses of TRL and Liger on trial: which laws of `stillhouse.testing.losses` they keep.

    benchmarks/peers.sh                                    makes the environment
    benchmarks/.peers/bin/python benchmarks/laws_of_peers.py

Each loss is called as its own trainer calls it: the teacher without a gradient, labels shifted by
the caller where the trainer does that, `num_items_in_batch` passed on where it is passed on. A
claim is what the library documents: TRL and Liger do not multiply by T², so nobody is asked to.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from types import SimpleNamespace

import torch
from torch import Tensor

from stillhouse.testing.losses import (
    Formula,
    Outcome,
    Report,
    TokenClaims,
    TokenLoss,
    TrainingBatch,
    TrainingClaims,
    TrainingLoss,
    check_laws,
    forward_kl,
    jsd,
    one_by_one,
    reverse_kl,
)

PACKAGES = ("torch", "trl", "liger-kernel", "transformers", "stillhouse")
FORMULAS = {0.0: forward_kl(), 0.5: jsd(0.5), 1.0: reverse_kl()}
"""beta of both libraries -> what it stands for."""
MODEL_DOES = frozenset({"bias", "logit_scale", "logit_softcap"})
"""What the model's own forward does before a loss on logits sees them."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A loss with what it claims.

    Attributes:
        loss: one of the two forms.
        claims: of that form.
        note: how it was called, where that is not plain.
    """

    loss: TokenLoss | TrainingLoss
    claims: TokenClaims | TrainingClaims
    note: str = ""


def main() -> None:
    """Print a table a loss, or one line of JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true", help="every law, not only those that fail")
    parser.add_argument("--json", action="store_true", help="one line: loss -> law -> outcome")
    parser.add_argument("--only", default="", help="losses whose name holds this text")
    given = parser.parse_args()
    # TRL says where its experimental parts may move to.
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    trials = {name: trial for name, trial in all_trials().items() if given.only in name}
    reports = {name: check_laws(trial.loss, trial.claims) for name, trial in trials.items()}  # type: ignore[arg-type]
    versions = {package: version(package) for package in PACKAGES}
    if given.json:
        found = {
            name: {verdict.law: verdict.outcome.value for verdict in report.verdicts}
            for name, report in reports.items()
        }
        print(json.dumps({"benchmark": "laws_of_peers", "figures": found, "versions": versions}))
        return
    print(", ".join(f"{name} {number}" for name, number in versions.items()))
    for name, report in reports.items():
        _show(name, trials[name].note, report, full=given.full)


def _show(name: str, note: str, report: Report, *, full: bool) -> None:
    count = {
        outcome: sum(v.outcome is outcome for v in report.verdicts) for outcome in list(Outcome)
    }
    counts = ", ".join(f"{outcome} {number}" for outcome, number in count.items())
    print(f"\n{name}: {counts}" + (f" ({note})" if note else ""))
    print(report if full else Report(report.failures))


def all_trials() -> dict[str, Trial]:
    """Name -> loss on trial."""
    return _gkd() | _gold() | _trl_chunked() | _liger()


def logits_of(batch: TrainingBatch) -> Tensor:
    """(B, T, V) what the student's own forward gives, padded columns included."""
    head = batch.head
    bias = None if head.bias_V is None else head.bias_V
    logits = torch.nn.functional.linear(batch.hidden_BTH, head.weight_VH, bias)
    logits = logits * head.logit_scale
    cap = head.logit_softcap
    return logits if cap is None else cap * torch.tanh(logits / cap)


def _gkd() -> dict[str, Trial]:
    from trl.experimental.gkd.gkd_trainer import GKDTrainer

    trials = {}
    for beta, formula in FORMULAS.items():

        def per_token(student: Tensor, teacher: Tensor, t: float, beta: float = beta) -> Tensor:
            value = GKDTrainer.generalized_jsd_loss(
                student, teacher.detach(), beta=beta, temperature=t, reduction="none"
            )
            return value.sum(-1)

        claims = TokenClaims(formula, t2_scaling=False)
        trials[f"TRL generalized_jsd_loss, {formula.name}"] = Trial(per_token, claims)

    # GKDTrainer.compute_loss hands no temperature to the loss: there it belongs to sampling alone.
    def in_training(batch: TrainingBatch) -> Tensor:
        return GKDTrainer.generalized_jsd_loss(
            logits_of(batch)[:, :-1],
            batch.teacher_logits_BTU.detach()[:, :-1],
            labels=batch.labels_BT[:, 1:],
            beta=0.5,
            num_items_in_batch=torch.tensor(batch.num_items),
        )

    claims_of_training = TrainingClaims(jsd(0.5), kd_temperatures=(1.0,), heads=MODEL_DOES)
    trials["TRL GKDTrainer"] = Trial(
        in_training, claims_of_training, "head by the model's forward; vocabularies must be equal"
    )
    return trials


def _gold() -> dict[str, Trial]:
    from trl.experimental.gold.gold_trainer import GOLDTrainer, ULDLoss

    def in_training(batch: TrainingBatch) -> Tensor:
        return GOLDTrainer.generalized_jsd_loss(
            logits_of(batch)[:, :-1],
            batch.teacher_logits_BTU.detach()[:, :-1],
            labels=batch.labels_BT[:, 1:],
            beta=0.5,
            temperature=batch.kd_temperature,
            num_items_in_batch=torch.tensor(batch.num_items),
        )

    trials = {
        "TRL GOLDTrainer, one tokenizer": Trial(
            in_training,
            TrainingClaims(jsd(0.5), t2_scaling=False, heads=MODEL_DOES),
            "head by the model's forward",
        )
    }
    for strategy in ("observed", "bayesian"):
        settings = SimpleNamespace(
            uld_crossentropy_weight=0.0,
            uld_distillation_weight=1.0,
            uld_student_temperature=1.0,
            uld_teacher_temperature=1.0,
            uld_skip_student_eos=False,
            uld_skip_teacher_eos=False,
            use_extended_uld=False,
            uld_token_merge_strategy=strategy,
        )
        uld = ULDLoss(settings)

        def in_uld(batch: TrainingBatch, uld: ULDLoss = uld) -> Tensor:
            ids = batch.labels_BT.clamp_min(0)
            teacher = batch.teacher_logits_BTU.detach()
            loss = uld(logits_of(batch), teacher, batch.labels_BT, batch.labels_BT, ids, ids)
            return loss.reshape(())

        trials[f"TRL GOLDTrainer, ULD, {strategy}"] = Trial(
            in_uld,
            TrainingClaims(_sorted_distance(), kd_temperatures=(1.0,), heads=MODEL_DOES),
            "both end-of-sequence skips off; ULD is given no count of tokens",
        )
    return trials


def _sorted_distance() -> Formula:
    def value(log_p: Tensor, log_q: Tensor) -> Tensor:
        p, q = (x.exp().sort(-1, descending=True).values for x in (log_p, log_q))
        return (p - q).abs().sum(-1)

    return Formula("uld", value, is_f_divergence=False, is_symmetric=True, is_smooth=False)


def _trl_chunked() -> dict[str, Trial]:
    from trl.kernels.chunked_divergence import ChunkedDivergenceFunction
    from trl.trainer.distillation_trainer import _chunked_divergence_loss

    trials = {}
    for beta, formula in FORMULAS.items():

        def per_token(student: Tensor, teacher: Tensor, t: float, beta: float = beta) -> Tensor:
            eye = torch.eye(student.shape[1], dtype=student.dtype)
            heads = (student, eye, None, teacher.detach(), eye, None)
            value: Tensor = ChunkedDivergenceFunction.apply(*heads, beta, t, 1.0, None, 1.0, None)[
                0
            ]
            return value

        claims = TokenClaims(formula, t2_scaling=False, computes_in=torch.float32)
        trials[f"TRL chunked divergence, {formula.name}"] = Trial(per_token, claims)

    def in_training(batch: TrainingBatch) -> Tensor:
        teacher, head = batch.teacher_logits_BTU.detach(), batch.head
        eye = torch.eye(teacher.shape[-1], dtype=teacher.dtype)
        return _chunked_divergence_loss(
            batch.hidden_BTH,
            teacher,
            head.weight_VH,
            eye,
            batch.is_predicting,
            0.5,
            num_items_in_batch=torch.tensor(batch.num_items),
            student_lm_head_bias=head.bias_V,
            student_logit_scale=head.logit_scale,
            student_final_logit_softcapping=head.logit_softcap,
            temperature=batch.kd_temperature,
        )[0]

    claims_of_training = TrainingClaims(
        jsd(0.5), t2_scaling=False, heads=MODEL_DOES, computes_in=torch.float32
    )
    trials["TRL DistillationTrainer"] = Trial(
        in_training, claims_of_training, "the path without Triton"
    )
    return trials


def _liger() -> dict[str, Trial]:
    from liger_kernel.chunked_loss import LigerFusedLinearJSDLoss

    def liger(beta: float, t: float, hard: float) -> Callable[..., Tensor]:
        return LigerFusedLinearJSDLoss(
            weight_hard_loss=hard,
            weight_soft_loss=1 - hard,
            beta=beta,
            temperature=t,
            compiled=False,
            chunk_size=4,
        )

    trials = {}
    for beta, formula in FORMULAS.items():

        def mean(student: Tensor, teacher: Tensor, t: float, beta: float = beta) -> Tensor:
            eye = torch.eye(student.shape[1], dtype=student.dtype)
            labels = torch.zeros(len(student), dtype=torch.int64)
            return liger(beta, t, 0.0)(student, eye, teacher.detach(), eye, labels)

        # Its scalar is float32 whatever comes in.
        claims = TokenClaims(formula, t2_scaling=False, computes_in=torch.float32)
        trials[f"Liger JSD, {formula.name}"] = Trial(one_by_one(mean), claims, "one token a call")

    def in_training(batch: TrainingBatch) -> Tensor:
        head, teacher = batch.head, batch.teacher_logits_BTU[:, :-1].detach().flatten(0, 1)
        used = slice(0, head.vocab_size)
        labels = batch.labels_BT[:, 1:].flatten()
        return liger(0.5, batch.kd_temperature, 0.5)(
            batch.hidden_BTH[:, :-1].flatten(0, 1),
            head.weight_VH[used],
            teacher,
            torch.eye(teacher.shape[-1], dtype=teacher.dtype),
            labels,
            None if head.bias_V is None else head.bias_V[used],
            None,
        )

    def rescaled(batch: TrainingBatch) -> Tensor:
        share = int(batch.is_predicting.sum()) / max(batch.num_items, 1)
        return in_training(batch) * share

    claims_of_training = TrainingClaims(
        jsd(0.5),
        kd_weight=0.5,
        ce_weight=0.5,
        t2_scaling=False,
        heads=frozenset({"bias", "padding"}),
        computes_in=torch.float32,
    )
    trials["Liger JSD in training"] = Trial(
        in_training, claims_of_training, "its own mean; weights 0.5 and 0.5 are its defaults"
    )
    trials["Liger JSD in training, rescaled"] = Trial(
        rescaled, claims_of_training, "the caller multiplies by own count / global count"
    )
    return trials


if __name__ == "__main__":
    main()
