"""The library that multiplies is chosen by the processor, and its error is what it says."""

import pytest
import torch

from stillhouse.losses import onednn
from stillhouse.losses.onednn import multiplied, onednn_may_round, onednn_offers

CAPABILITIES = {"avx512_bf16": True, "amx_bf16": False, "cpu_name": "AMD EPYC"}


def precision():
    return torch.backends.mkldnn.matmul.fp32_precision


@pytest.fixture
def processor(monkeypatch):
    """Pretend another processor: what it can, whether it rounds, whether it gains."""

    def pretend(rounds, gains=False, **known):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known, raising=False)
        monkeypatch.setattr(onednn, "_rounds", lambda: rounds)
        monkeypatch.setattr(onednn, "_gains", lambda: gains)
        return onednn_offers.__wrapped__("cpu")

    return pretend


def test_the_processor_is_asked_once_a_process():
    first = onednn_offers("cpu")
    before = onednn_offers.cache_info().hits
    assert onednn_offers("cpu") == first
    assert onednn_offers.cache_info().hits == before + 1
    assert onednn_offers("cuda") == "default"


def test_autocast_does_not_change_the_answer():
    with torch.autocast("cpu", torch.bfloat16):
        assert onednn_offers.__wrapped__("cpu") == onednn_offers("cpu")


def test_amd_without_rounding_multiplies_in_float32_elsewhere(processor):
    assert processor(False, **CAPABILITIES) == "onednn float32"
    assert processor(False, **CAPABILITIES | {"cpu_name": "Intel Xeon"}) == "default"
    assert processor(False, **CAPABILITIES | {"avx512_bf16": False}) == "default"


def test_a_processor_that_rounds_is_used_for_it_where_that_is_faster(processor):
    assert processor(True, **CAPABILITIES | {"amx_bf16": True}) == "onednn bfloat16"
    assert processor(True, avx512_bf16=False, cpu_name="AMD EPYC") == "default"
    assert processor(True, gains=True) == "onednn bfloat16"
    assert processor(True, gains=False) == "default"


@pytest.mark.parametrize("shape", [(1, 64, 70_000), (100, 256, 4096), (256, 33, 1000)])
def test_a_product_has_the_error_that_the_way_promises(shape):
    rows, width, columns = shape
    left, right = torch.randn(rows, width), torch.randn(width, columns)
    exact = left.double() @ right.double()
    way = onednn_offers("cpu")
    with multiplied(way, rows * width * columns):
        error = ((left @ right).double() - exact).norm() / exact.norm()
    assert error < (0.01 if way == "onednn bfloat16" else 2e-6)


def test_small_products_stay_where_they_are():
    with multiplied("onednn float32", 1000):
        assert precision() != "bf16"
    with multiplied("onednn float32", 10**8):
        assert precision() == "bf16"
    with multiplied("onednn bfloat16", 1000):
        assert precision() == "bf16"
    with multiplied("default", 10**8):
        assert precision() != "bf16"


def test_the_setting_is_put_back_after_an_error():
    before = precision()
    with pytest.raises(ValueError, match="x"), onednn_may_round():
        raise ValueError("x")
    assert precision() == before
