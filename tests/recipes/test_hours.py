"""What a step's time is planned to be made of."""

from dataclasses import replace

import pytest

from stillhouse.recipes import hours
from stillhouse.recipes.activations import Batch
from stillhouse.recipes.hours import step_seconds
from stillhouse.recipes.rates import Rates
from stillhouse.recipes.sizes import sizes_of
from stillhouse.recipes.training import Length, Lora, Training

MODEL = sizes_of({
    "model_type": "qwen3", "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
    "num_key_value_heads": 4, "head_dim": 64, "intermediate_size": 2560, "vocab_size": 16384,
})  # fmt: skip
BATCH = Batch(1536, 192, 768, is_masked=False)
FAST = replace(Rates.guessed(1e12), copy_bytes=20e9, touch_bytes=40e9)
"""New memory costs as much as writing it."""
SLOW = replace(FAST, touch_bytes=2e9)


def cost_of_new_memory(training, batch=BATCH):
    return step_seconds(MODEL, training, batch, SLOW) - step_seconds(MODEL, training, batch, FAST)


def training_of(**changes):
    return Training(length=Length(steps=2), gradient_checkpointing=True, **changes)


@pytest.fixture(autouse=True)
def no_head(monkeypatch):
    """The gradient of the head is new memory in every training."""
    monkeypatch.setattr(hours, "_head", lambda *_, **__: 0.0)


def test_blocks_that_go_back_at_once_cost_the_time_to_ask_for_them_anew():
    page_faults = 2_809_806
    """Of a step, this adapter and batch, measured on Linux 6.18 with pages of 4,096 bytes."""
    seconds = page_faults * 4096 * (1 / 2e9 - 0.5 / 20e9)
    assert cost_of_new_memory(training_of(lora=Lora(rank=16))) == pytest.approx(seconds, rel=0.1)


@pytest.mark.parametrize("batch", [
    replace(BATCH, device="cuda"), Batch(256, 64, 128, is_masked=False)
])  # fmt: skip
def test_on_a_device_and_for_small_tensors_nothing_goes_back(batch):
    assert cost_of_new_memory(training_of(), batch) == 0


def test_without_checkpointing_nothing_goes_back():
    training = training_of().model_copy(update={"gradient_checkpointing": False})
    assert cost_of_new_memory(training) == 0


def test_adapters_and_gradients_of_weights_ask_for_memory_beside_the_activations():
    few, all_of_them = Lora(rank=16, modules=("q_proj",)), Lora(rank=16)
    each = [cost_of_new_memory(training_of(lora=lora)) for lora in (few, all_of_them)]
    assert each[0] < each[1]
    assert cost_of_new_memory(training_of()) > 0
