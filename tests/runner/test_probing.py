"""A probe of the machine is kept in the runs folder, and runs once."""

import json
import time

import pytest

import stillhouse
from stillhouse.core.errors import StillhouseError
from stillhouse.recipes.compute import ResolvedCompute
from stillhouse.recipes.rates import PROBED_ROWS, PROBED_WIDTHS, Rates
from stillhouse.runner import probing
from stillhouse.runner.probing import probe, rates_of

CPU = ResolvedCompute("cpu", "float32", 1)
TOLD = {
    "products": [[1e9 * row] * len(PROBED_WIDTHS) for row in PROBED_ROWS],
    "head_products": [1e9, 2e9, 4e9, 8e9],
    "copy_bytes": 5e9,
    "touch_bytes": 1e9,
    "op_s": 5e-6,
}


def kept(folder, compute, told):
    path = probing._path(folder, compute)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(told if isinstance(told, str) else json.dumps(told))
    return path


def test_what_was_probed_is_used_and_not_probed_again(tmp_path, monkeypatch):
    kept(tmp_path, CPU, TOLD)
    monkeypatch.setattr(probing.subprocess, "run", None)
    assert probe(tmp_path, CPU) == rates_of(tmp_path, CPU) == Rates.read(TOLD)
    other = ResolvedCompute("cpu", "float32", 2)
    assert not rates_of(tmp_path, other).is_probed


def test_a_torn_probe_is_thrown_away(tmp_path):
    path = kept(tmp_path, CPU, '{"products": [[')
    assert not rates_of(tmp_path, CPU).is_probed
    assert not path.exists()


def test_a_probe_that_fails_says_why_and_leaves_nothing(tmp_path):
    with pytest.raises(StillhouseError, match="the probe of cuda failed") as caught:
        probe(tmp_path, ResolvedCompute("cuda", "float32", 1))
    assert "--probe" in caught.value.hint
    assert not any((tmp_path / "artifacts" / "measured").iterdir())


def test_rates_lie_between_those_that_were_probed():
    rates = Rates.read(TOLD)
    # 1 row at 1e9, 8 rows at 8e9 operations a second: in between on the line of logarithms
    assert rates.product_s(1, 256, 256) == pytest.approx(2 * 256**2 / 1e9)
    assert rates.product_s(3, 256, 256) == pytest.approx(2 * 3 * 256**2 / 3e9, rel=1e-6)
    assert rates.product_s(10_000, 64, 64) == pytest.approx(2e4 * 64**2 / 512e9)
    assert rates.head_s(1, 4096, 100) == pytest.approx(2 * 4096 * 100 / 8e9)


def test_check_tells_hours_by_the_probe_that_it_was_asked_for(tmp_path, monkeypatch, tiny_recipe):
    call = stillhouse.Call(runs=str(tmp_path))
    guessed = stillhouse.check(str(tiny_recipe), call)
    kept(tmp_path, guessed.compute, TOLD | {"products": [[1e6] * 4] * 4})
    monkeypatch.setattr(probing.subprocess, "run", None)
    slow = stillhouse.check(str(tiny_recipe), call, probe=True)
    assert (guessed.is_probed, slow.is_probed) == (False, True)
    assert slow.seconds > 10 * guessed.seconds


@pytest.mark.long
def test_a_probe_of_this_machine_ends_in_time_and_tells_every_rate(tmp_path):
    began = time.monotonic()
    rates = probe(tmp_path, CPU)
    assert time.monotonic() - began < 60
    assert rates.is_probed
    told = [*rates.head_products, *(one for row in rates.products for one in row)]
    assert all(1e7 < one < 1e14 for one in told)
    assert 1e8 < rates.touch_bytes < rates.copy_bytes * 2 < 1e12
    assert 1e-7 < rates.op_s < 1e-3
