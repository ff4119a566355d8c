"""What is measured while a model trains is priced with the training."""

from dataclasses import replace

import pytest

from stillhouse.recipes.estimate import Corpus, Machine, generation_cost, training_cost
from stillhouse.recipes.hours import forward_seconds
from stillhouse.recipes.measuring_cost import Asked, Measured, with_measurements
from stillhouse.recipes.rates import Rates
from stillhouse.recipes.sizes import sizes_of
from stillhouse.recipes.training import EarlyStopping, Length, Lora, Training, Validation

SIZES = sizes_of({"model_type": "qwen3", "hidden_size": 1024, "num_hidden_layers": 28})
MACHINE = Machine(Rates.guessed(1e11))
LEARNED = Corpus(1000, 200_000, 50_000, 512)
VALIDATION = Corpus(64, 64 * 200, 64 * 50, 200, (200,) * 64)


def training(**changes):
    return Training(**{"length": Length(steps=100, batch_size=8), "lora": Lora(rank=8)} | changes)


def priced(measured, machine=MACHINE, **changes):
    section = training(**changes)
    alone = training_cost(SIZES, section, LEARNED, machine)
    return alone, with_measurements(alone, SIZES, section, measured, machine)


def test_a_loss_is_one_pass_over_the_part_each_time():
    alone, ten_times = priced(Measured(VALIDATION))
    one_batch = MACHINE.batch(8 * 200, 200, 8 * 50, is_masked=True)
    seconds = 10 * 8 * forward_seconds(SIZES, one_batch, MACHINE.rates)
    assert ten_times.seconds - alone.seconds == pytest.approx(seconds, rel=0.01)
    assert ten_times.tokens - alone.tokens == 10 * VALIDATION.tokens
    assert ten_times.parts == alone.parts


def test_more_measurements_and_a_live_teacher_cost_more():
    def added(measured, **changes):
        alone, whole = priced(measured, **changes)
        return whole.seconds - alone.seconds

    seldom = added(Measured(VALIDATION), validation=Validation(every_steps=50))
    often = added(Measured(VALIDATION), validation=Validation(every_steps=5))
    assert often == pytest.approx(10 * seldom)
    beside = added(Measured(VALIDATION, teacher=SIZES), validation=Validation(every_steps=50))
    assert beside == pytest.approx(2 * seldom)


def test_nothing_is_measured_without_a_part_validation():
    alone, whole = priced(Measured(Corpus(0, 0, 0, 1)))
    assert whole == alone


def test_answers_cost_what_writing_and_scoring_them_costs():
    asked = Asked(VALIDATION, 32, 100.0)
    alone, loss = priced(Measured(VALIDATION))
    _, whole = priced(Measured(VALIDATION, asked=asked))
    one = generation_cost(
        SIZES, VALIDATION, MACHINE, batch_size=32, answer_tokens=50, longest_answer=100.0
    )
    assert whole.seconds - loss.seconds > 0.9 * 10 * one.seconds
    assert loss.seconds > alone.seconds


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_answers_that_need_more_memory_than_a_step_lift_the_peak_where_they_are(device):
    many = replace(VALIDATION, examples=4096)
    machine = replace(MACHINE, device=device)
    few, lifted = priced(Measured(many, asked=Asked(many, 4096, 100.0)), machine)
    host, card = (
        getattr(lifted, one) - getattr(few, one) for one in ("memory_bytes", "device_bytes")
    )
    assert (host == 0) == (device == "cuda")
    assert (card == 0) == (device == "cpu")
    assert host + card == sum(lifted.parts.values()) - sum(few.parts.values()) > 0
    assert lifted.parts["cache"] > 0


def test_the_best_measurement_has_a_checkpoint():
    plain = training(validation=Validation(every_steps=7))
    assert (plain.measured_every(100), plain.saved_every(100)) == (7, 10)
    stopping = training(validation=Validation(every_steps=7), early_stopping=EarlyStopping())
    assert stopping.saved_every(100) == 7
    assert training(validation=Validation(every_steps=500)).measured_every(100) == 100
