"""What five plans claimed of memory and time, as the planner prices it on described machines.

docs/reference/planner.md tells each of these beside its claim.
"""

import pytest

from stillhouse.recipes.estimate import Corpus, Machine, training_cost
from stillhouse.recipes.facts import facts_for
from stillhouse.recipes.memory import Beside, Held, training_memory, weight_bytes
from stillhouse.recipes.rates import Rates
from stillhouse.recipes.sizes import sizes_of
from stillhouse.recipes.training import Galore, Length, Lora, Optimizer, Training

GB = 1e9
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
PERFECT_MAC = Machine(Rates.guessed(10e12 / 0.55), 2, "mps")
"""An M1 Max at every one of its 10 teraflops, which nothing reaches."""
T4, A100 = (Machine(Rates.guessed(flops), 2, "cuda") for flops in (65e12, 312e12))


def sizes(model_id):
    return sizes_of(facts_for(model_id).shape.config())


def told(claim, cost):
    parts = {name: f"{size / GB:.2f}" for name, size in cost.parts.items()}
    print(f"{claim}: host {cost.memory_bytes / GB:.1f} GB, device {cost.device_bytes / GB:.1f} GB, "
          f"{cost.seconds / 3600:.1f} h, {parts}")  # fmt: skip
    return cost


def test_twenty_billion_weights_in_float32_fit_no_64_gb():
    model = sizes("unsloth/gpt-oss-20b-BF16")
    training = Training(length=Length(epochs=1.0, batch_size=1))
    cost = told("gpt-oss-20b, all weights", training_cost(
        model, training, Corpus(1000, 600_000, 200_000, 600), Machine(Rates.guessed(1e12))
    ))  # fmt: skip
    assert weight_bytes(model, Held(4)) / GB == pytest.approx(83.7, abs=0.1)
    assert weight_bytes(model, Held(2)) / GB == pytest.approx(41.8, abs=0.1)
    states = sum(cost.parts[name] for name in ("weights", "gradients", "optimizer"))
    assert states / GB == pytest.approx(334.6, rel=0.01)


def test_adapters_on_bfloat16_weights_fit_64_gb_and_take_weeks_not_two_days():
    training = Training(
        length=Length(epochs=3.0, batch_size=1, accumulation=8),
        lora=Lora(rank=16, modules=ATTENTION),
        gradient_checkpointing=True,
    )
    corpus = Corpus(80_000, 80_000 * 600, 80_000 * 200, 2048)
    cost = told("gpt-oss-20b, 80,000 songs three times", training_cost(
        sizes("unsloth/gpt-oss-20b-BF16"), training, corpus, PERFECT_MAC, held=Held(2)
    ))  # fmt: skip
    assert cost.trainable_parameters == 7_962_624
    assert 42 * GB < cost.memory_bytes < 60 * GB
    assert cost.seconds > 48 * 3600


@pytest.mark.parametrize(("machine", "hours"), [(T4, (1.0, 6.0)), (A100, (0.2, 1.5))])
def test_four_gigabytes_are_a_floor_for_a_four_billion_student(machine, hours):
    training = Training(
        length=Length(epochs=1.0, batch_size=2, accumulation=8),
        lora=Lora(rank=32),
        gradient_checkpointing=True,
    )
    cost = told("Qwen3-4B, QLoRA, 8,000 pairs", training_cost(
        sizes("Qwen/Qwen3-4B"), training, Corpus(8_000, 8_000 * 500, 8_000 * 200, 2048),
        machine, held=Held(2, "nf4"),
    ))  # fmt: skip
    assert cost.trainable_parameters == 66_060_288
    assert 6 * GB < cost.device_bytes < 10 * GB
    assert hours[0] < cost.seconds / 3600 < hours[1]


def test_a_teacher_of_eight_billion_with_galore_does_not_fit_64_gb_as_planned():
    batch = PERFECT_MAC.batch(2048, 2048, 700, is_masked=False)
    length = Length(steps=100, batch_size=1, accumulation=8)

    def peak(**changes):
        galore = changes.pop("galore", Galore(rank=512, update_gap=400))
        optimizer = Optimizer(name="galore_adamw", galore=galore)
        training = Training(**({"length": length, "optimizer": optimizer} | changes))
        return training_memory(sizes("Qwen/Qwen3-8B"), training, batch, Held(4), Beside()).total

    layerwise = Galore(rank=512, update_gap=400, layerwise=True)
    one = Length(steps=100, batch_size=1)
    spared = peak(galore=layerwise, length=one, gradient_checkpointing=True)
    print(f"Qwen3-8B, GaLore rank 512: {peak() / GB:.0f} GB, "
          f"layerwise and checkpointed {spared / GB:.0f} GB")  # fmt: skip
    assert peak() > 64 * GB > spared
    ranks = [peak(galore=Galore(rank=rank), gradient_checkpointing=True) for rank in (128, 512)]
    assert ranks[0] < ranks[1]


def test_a_teacher_beside_a_student_fits_a_16_gb_machine_in_four_bits_alone():
    batch = PERFECT_MAC.batch(2048, 1024, 700, is_masked=True)
    training = Training(
        length=Length(steps=100, batch_size=2), lora=Lora(rank=16), gradient_checkpointing=True
    )

    def peak(quantization):
        held = Held(2, quantization)
        beside = Beside(teacher=sizes("Qwen/Qwen2.5-7B-Instruct"), teacher_held=held)
        student = sizes("Qwen/Qwen2.5-3B-Instruct")
        parts = training_memory(student, training, batch, held, beside)
        print({name: f"{size / GB:.1f}" for name, size in parts.by_name().items()})
        return parts.total

    assert 9 * GB < peak("nf4") < 16 * GB < peak("none")
