"""Batches hold what was encoded, in an order that follows from the seed alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_students import BOTH, ONE_THREAD, VOCAB, build, data_of, draw_examples, quick

from stillhouse.core.errors import InputError, ShapeError
from stillhouse.students.batches import Collator, ExampleDataset, load_batches
from stillhouse.students.examples import check_examples
from stillhouse.students.order import FILLER, FixedSampler, Layout, StepSampler
from stillhouse.students.train import Setting, train_model

LENGTHS = [5, 9, 3, 7, 4, 8, 6]


def rows_by_step(layout, num_steps=6, seed=0):
    """The set of rows that each step takes, over all processes."""
    steps = [[] for _ in range(num_steps)]
    for rank in range(layout.num_processes):
        batches = list(StepSampler(LENGTHS, replace(layout, rank=rank), num_steps, seed))
        assert len(batches) == num_steps * layout.accumulation
        for index, batch in enumerate(batches):
            assert len(batch) == layout.batch_size
            steps[index // layout.accumulation] += batch
    return [sorted(step) for step in steps]


@pytest.mark.parametrize("layout", [Layout(2, 2), Layout(1, 4), Layout(2, 1, 2), Layout(1, 2, 2)])
def test_a_step_takes_the_same_rows_however_it_is_laid_out(layout):
    assert rows_by_step(layout) == rows_by_step(Layout(4))


def test_a_pass_sees_each_row_once_and_fills_its_last_step():
    steps = rows_by_step(Layout(4))
    for start in (0, 2, 4):
        assert sorted(steps[start] + steps[start + 1]) == [FILLER, *range(7)]
    assert steps[0] != steps[2]
    assert rows_by_step(Layout(4), seed=1) != steps


def test_rows_of_a_step_are_sorted_by_length_so_that_batches_need_less_padding():
    batches = list(StepSampler(LENGTHS, Layout(2, 3), 1, 0))
    lengths = [LENGTHS[row] for batch in batches for row in batch]
    assert lengths == sorted(lengths, reverse=True)


@pytest.mark.parametrize("num_processes", [1, 2, 3])
def test_measuring_sees_each_row_once(num_processes):
    layouts = [Layout(2, 1, num_processes, rank) for rank in range(num_processes)]
    samplers = [FixedSampler(LENGTHS, layout) for layout in layouts]
    rows = [row for sampler in samplers for batch in sampler for row in batch]
    assert sorted(row for row in rows if row != FILLER) == list(range(7))
    assert len({len(sampler) for sampler in samplers}) == 1


@pytest.mark.parametrize("is_packed", [True, False], ids=["packed", "padded"])
def test_targets_are_flat_and_stand_where_their_token_is_predicted(is_packed):
    examples = draw_examples(7)
    batch = Collator(1, is_packed)(examples)
    ids, targets = batch["input_ids"].numpy(), batch["targets"]
    row = 0
    for start, example in sorted((start_of(ids, example), example) for example in examples):
        for place in np.flatnonzero(example.is_trained):
            assert targets["positions"][row] == start + place - 1
            assert targets["token_ids"][row] == example.ids[place]
            stored = np.flatnonzero(np.flatnonzero(example.is_trained) == place)[0]
            np.testing.assert_array_equal(targets["top_ids"][row], example.targets.top_ids[stored])
            assert targets["log_z"][row] == example.targets.log_z[stored, 1]
            row += 1
    assert row == len(targets["token_ids"]) == len(targets["top_ids"])


def start_of(ids, example):
    """The flat index of an example's first token."""
    wanted = example.ids.tobytes()
    flat, length = ids.reshape(-1).astype(np.int32), len(example.ids)
    return next(s for s in range(flat.size) if flat[s : s + length].tobytes() == wanted)


def test_packed_rows_count_positions_from_the_start_of_each_example():
    examples = draw_examples(7)
    batch = Collator(1)(examples)
    ids, places = batch["input_ids"].numpy(), batch["position_ids"].numpy().reshape(-1)
    assert "attention_mask" not in batch
    assert ids.shape == (len(ids), max(len(example.ids) for example in examples))
    assert len(ids) < len(examples)
    for example in examples:
        start = start_of(ids, example)
        assert places[start : start + len(example.ids)].tolist() == list(range(len(example.ids)))
    assert (places == 0).sum() == len(examples)


def test_padded_rows_hold_one_example_each():
    examples = draw_examples(3)
    batch = Collator(1, is_packed=False)(examples)
    assert "position_ids" not in batch
    assert batch["attention_mask"].sum(1).tolist() == [len(example.ids) for example in examples]


@pytest.mark.parametrize("is_packed", [True, False], ids=["packed", "padded"])
def test_fillers_add_nothing_unless_they_are_alone(is_packed):
    examples = draw_examples(2)
    data = ExampleDataset(examples)
    collator = Collator(1, is_packed)
    full, filled = collator(examples), collator([data[FILLER], data[0], data[1], data[FILLER]])
    for name, value in full["targets"].items():
        assert value.equal(filled["targets"][name])
    assert full["input_ids"].equal(filled["input_ids"])
    assert collator([data[FILLER]] * 4)["input_ids"].shape == (1, 1)


def test_a_loader_draws_nothing_from_the_global_generator():
    before = torch.random.get_rng_state()
    data = ExampleDataset(draw_examples(3))
    list(load_batches(data, FixedSampler([1, 1, 1], Layout(2)), Collator()))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_examples_that_do_not_fit_are_refused_by_name():
    examples = draw_examples(2)
    check_examples(examples, VOCAB, 2)
    with pytest.raises(InputError, match="no example"):
        check_examples([], VOCAB, 0)
    with pytest.raises(ShapeError, match="example 0 holds token id"):
        check_examples(examples, 20, 0)
    with pytest.raises(ShapeError, match="2 columns of log Z"):
        check_examples(examples, VOCAB, 3)
    swapped = replace(examples[0], targets=examples[1].targets)
    with pytest.raises(ShapeError, match="tokens that are not the same"):
        check_examples([swapped], VOCAB, 2)


def test_a_conversation_longer_than_the_students_positions_is_refused_with_both_numbers():
    examples = draw_examples(2)
    longest = max(len(example.ids) for example in examples)
    named = [len(example.ids) for example in examples].index(longest)

    check_examples(examples, VOCAB, 2, longest)
    check_examples(examples, VOCAB, 2, 0)

    message = f"example {named} has {longest} tokens, but .* positions for {longest - 1}"
    with pytest.raises(InputError, match=message) as caught:
        check_examples(examples, VOCAB, 2, longest - 1)
    assert "prepare.max_tokens" in caught.value.hint


@pytest.mark.parametrize("lora", [False, True])
def test_training_refuses_what_its_model_has_no_positions_for(lora, tmp_path):
    model = build("gpt2", lora=lora, n_positions=4)

    with pytest.raises(InputError, match="the student has positions for 4"):
        train_model(
            model, data_of(draw_examples(2)), BOTH, quick(), Setting(ONE_THREAD, tmp_path, "plan")
        )
