"""Every loss weight of a recipe becomes its term, with its settings."""

import pytest

from stillhouse.losses.divergences import AKL, JSD, AlphaBeta, SkewKL, SkewReverseKL
from stillhouse.recipes.training import Length, LossOptions, LossWeights, Train
from stillhouse.stages.train import objective_of


def section(weights, **options):
    return Train(
        length=Length(steps=1),
        weights=LossWeights(**({"forward_kl": 0.0} | weights)),
        loss_options=LossOptions(**options),
        kd_temperature=2.0,
        t2_scaling=False,
    )


@pytest.mark.parametrize("name", LossWeights.model_fields)
def test_a_weight_is_the_weight_of_the_term_of_its_name(name):
    objective = objective_of(section({name: 0.25}))
    assert objective.weights == {name: 0.25}
    assert objective.needs_teacher is (name not in ("cross_entropy", "class_kl"))
    assert (objective.kd_temperature, objective.t2_scaling) == (2.0, False)


def test_settings_reach_their_terms():
    names = ("jsd", "skew_kl", "skew_reverse_kl", "akl", "alpha_beta")
    options = {"jsd_weight": 0.3, "skew": 0.2, "head_mass": 0.6, "alpha": 0.9, "beta": 0.4}
    objective = objective_of(section(dict.fromkeys(names, 1.0), **options))
    assert [divergence for divergence, _ in objective.active] == [
        JSD(0.3),
        SkewKL(0.2),
        SkewReverseKL(0.2),
        AKL(0.6),
        AlphaBeta(0.9, 0.4),
    ]


@pytest.mark.parametrize(
    "options", [{"jsd_weight": 1.0}, {"skew": 0.0}, {"head_mass": 1.0}, {"alpha": 0, "beta": 0.05}]
)
def test_settings_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match=r"greater than|less than|at least"):
        LossOptions(**options)
