"""Peak memory by part: what each setting of a recipe adds to it and takes from it."""

from dataclasses import replace

import pytest

from stillhouse.recipes.activations import Batch
from stillhouse.recipes.facts import facts_for
from stillhouse.recipes.memory import (
    ALONE,
    IN_FLOAT32,
    Beside,
    Held,
    inference_memory,
    training_memory,
    weight_bytes,
)
from stillhouse.recipes.sizes import sizes_of
from stillhouse.recipes.training import Galore, Length, Lora, Optimizer, Training

SIZES = sizes_of({"model_type": "qwen3", "hidden_size": 1024, "num_hidden_layers": 28})
BATCH = Batch(4096, 1024, 1024)
LORA = Lora(rank=16)


def plan(batch=BATCH, held=IN_FLOAT32, beside=ALONE, accumulation=1, **changes):
    length = Length(steps=10, batch_size=4, accumulation=accumulation)
    return training_memory(SIZES, Training(length=length, **changes), batch, held, beside)


def galore(**settings):
    return Optimizer(name="galore_adamw", galore=Galore(rank=64, **settings))


def test_the_parts_sum_to_the_peak_and_the_largest_comes_first():
    parts = plan()
    sizes = list(parts.by_name().values())
    assert sum(sizes) == parts.total
    assert sizes == sorted(sizes, reverse=True)


def test_adamw_holds_a_gradient_and_two_moments_of_each_weight():
    parts = plan(accumulation=2)
    assert parts.weights == 4 * SIZES.parameters
    assert parts.gradients >= 4 * SIZES.parameters
    assert parts.optimizer == pytest.approx(8 * SIZES.parameters, rel=1e-5)


def test_gradients_of_one_batch_wait_beside_the_activations_of_the_next():
    assert plan(accumulation=2).total > plan().total


def test_each_way_to_save_memory_saves_it_in_its_own_part():
    full = plan()
    lora, spared = plan(lora=LORA), plan(gradient_checkpointing=True)
    low_rank, narrow = plan(optimizer=galore()), plan(optimizer=Optimizer(name="adamw_8bit"))
    assert lora.optimizer < full.optimizer / 50
    assert lora.total < full.total
    assert spared.activations < full.activations / 4
    assert low_rank.optimizer < full.optimizer
    assert narrow.optimizer < full.optimizer / 2


def test_layerwise_steps_leave_no_gradients_beside_each_other():
    short = replace(BATCH, tokens=16, answers=8)
    whole = plan(short, optimizer=galore())
    layerwise = plan(short, optimizer=galore(layerwise=True))
    assert whole.total - layerwise.total > 3 * SIZES.body_parameters


def test_four_bits_hold_the_linear_layers_in_half_a_byte_and_their_scales():
    sizes = sizes_of(facts_for("Qwen/Qwen3-4B").shape.config())
    whole, few = weight_bytes(sizes, Held(2)), weight_bytes(sizes, Held(2, "nf4"))
    rest = (sizes.parameters - sizes.matrix_parameters) * 2
    assert whole == 2 * 4_022_468_096
    assert few - rest == pytest.approx(sizes.matrix_parameters * (0.5 + 1 / 64), rel=0.001)


def test_a_live_teacher_adds_its_weights_and_its_own_work():
    on_cuda = replace(BATCH, device="cuda")
    whole = plan(on_cuda, beside=Beside(teacher=SIZES, teacher_held=Held(2)))
    assert whole.teacher > 2 * SIZES.parameters
    few = plan(on_cuda, beside=Beside(teacher=SIZES, teacher_held=Held(2, "nf4")))
    assert few.teacher < whole.teacher - SIZES.parameters
    alone = plan(on_cuda)
    assert whole.total - alone.total >= whole.teacher


def test_a_file_that_is_quantised_on_a_cpu_stays_in_memory_and_is_told_apart():
    held = Held(2, "nf4")
    assert plan(held=held, lora=LORA).file == 2 * SIZES.matrix_parameters
    assert plan(replace(BATCH, device="cuda"), held=held, lora=LORA).file == 0


def test_a_cuda_device_holds_all_but_the_process_and_the_targets():
    parts = plan(replace(BATCH, device="cuda", is_narrow=True), beside=Beside(targets=1e9))
    assert parts.on_host == int(parts.process + 1e9)
    assert parts.on_device > parts.total - parts.on_host
    mac = plan(replace(BATCH, device="mps"))
    assert (mac.on_host, mac.on_device) == (mac.total, 0)


def test_writing_holds_a_cache_that_grows_with_rows_and_tokens():
    def cache(rows, longest):
        held = {"rows": rows, "longest": longest, "answers": 0}
        return inference_memory(SIZES, Held(2), **held).cache

    # keys and values of 28 layers, and of one that is being copied
    assert cache(8, 512) == 2 * 29 * 32 * 128 * 8 * 512 * 2
    assert cache(16, 1024) == 4 * cache(8, 512)
