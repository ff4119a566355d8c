"""What is said of an optimizer before anything is spent."""

import importlib.util

import pytest

import stillhouse
from stillhouse.core.errors import RecipeError
from stillhouse.recipes.compute import Host

pytestmark = pytest.mark.xdist_group("e2e")
GALORE = ["finetune.optimizer.name=galore_adamw"]


@pytest.fixture
def check(tiny_recipe, tmp_path):
    """`check` of the tiny recipe with these overrides."""
    return lambda *overrides: stillhouse.check(
        str(tiny_recipe), stillhouse.Call(runs=str(tmp_path), overrides=overrides)
    )


def test_a_projection_that_is_never_renewed_and_a_warm_up_that_never_ends_are_said(check):
    found = check(
        *GALORE, "finetune.length.steps=133", "finetune.optimizer.galore={update_gap: 400}",
        "train.length.steps=9", "train.optimizer.warmup_steps=500",
    )  # fmt: skip
    assert [line for line in found.cautions if ".optimizer." in line] == [
        "finetune.optimizer.galore.update_gap is 400, the training has 133 steps: the projection "
        "is computed once and never renewed",
        "train.optimizer.warmup_steps is 500, the training has 9 steps: the learning rate never "
        "reaches its top",
    ]


def test_a_lower_rank_lowers_the_peak(check):
    wide = [
        "teacher.scratch.config.hidden_size=2048",
        "teacher.scratch.config.intermediate_size=8192",
        "finetune.length.batch_size=1",
    ]
    peaks = []
    for optimizer in ([], GALORE, [*GALORE, "finetune.optimizer.galore={rank: 4}"]):
        found = check(*wide, *optimizer)
        peaks.append(next(i.cost.memory_bytes for i in found.instances if i.key == "finetune"))
    assert peaks == sorted(peaks, reverse=True)
    assert len(set(peaks)) == 3


def test_moments_in_8_bits_need_their_extra(check, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *a: None if name == "bitsandbytes" else real(name, *a),
    )
    with pytest.raises(RecipeError, match=r"train\.optimizer\.name needs bitsandbytes") as told:
        check("train.optimizer.name=adamw_8bit")
    assert 'pip install "stillhouse[qlora]"' in told.value.hint


def test_moments_in_8_bits_are_refused_on_an_apple_gpu(check, monkeypatch):
    apple = Host(8, 64 << 30, has_mps=True)
    for module in ("resolve", "pairing"):
        monkeypatch.setattr(f"stillhouse.runner.{module}.this_host", lambda: apple)
    with pytest.raises(RecipeError, match=r"train\.optimizer\.name: bitsandbytes has no kernels"):
        check("train.optimizer.name=adamw_8bit", "compute.device=mps")
