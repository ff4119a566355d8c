"""Examples in a file are those that were written, in any order, and train the same bits."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from tiny_students import BOTH, ONE_THREAD, build, data_of, draw_examples, quick, weights_of

from stillhouse.core.targets import Draws
from stillhouse.recipes.training import Validation
from stillhouse.students.batches import Collator
from stillhouse.students.example_file import lengths_of, write_examples
from stillhouse.students.train import Setting, train_model


def with_draws(example, width, seed):
    rng = np.random.default_rng(seed)
    count = len(example.targets.token_ids)
    draws = Draws(
        rng.integers(0, 61, (count, width)).astype(np.int32),
        rng.integers(1, 4, (count, width)).astype(np.int32),
        rng.random(count).astype(np.float32),
    )
    return replace(example, targets=replace(example.targets, draws=draws))


KINDS = {
    "with targets": draw_examples(7),
    "without": draw_examples(7, soft=False),
    "with draws of several widths": [
        with_draws(one, 1 + place % 3, place) for place, one in enumerate(draw_examples(7))
    ],
    "with draws alone": [
        with_draws(one, 2, place) for place, one in enumerate(draw_examples(7, top_k=0))
    ],
}


def assert_same(read, written):
    assert np.array_equal(read.ids, written.ids)
    assert np.array_equal(read.is_trained, written.is_trained)
    assert (read.targets is None) == (written.targets is None)
    if written.targets is None:
        return
    for name in ("token_ids", "top_ids", "top_logprobs", "log_z"):
        ours, theirs = getattr(read.targets, name), getattr(written.targets, name)
        assert ours.dtype == theirs.dtype
        assert np.array_equal(ours, theirs), name
    if written.targets.draws:
        for field in fields(Draws):
            assert np.array_equal(
                getattr(read.targets.draws, field.name), getattr(written.targets.draws, field.name)
            )


@pytest.mark.parametrize("kind", KINDS)
def test_an_example_is_read_as_it_was_written_in_any_order(kind, tmp_path):
    written = KINDS[kind]
    found = write_examples(tmp_path, iter(written))
    assert len(found) == len(written)
    assert lengths_of(found).tolist() == [len(one.ids) for one in written]
    for place in (3, 0, 6, 3, -1):
        assert_same(found[place], written[place])
    for read, own in zip(found[2:5], written[2:5], strict=True):
        assert_same(read, own)
    with pytest.raises(IndexError):
        found[len(written)]


@pytest.mark.parametrize("kind", ["with targets", "with draws alone"])
def test_batches_of_a_file_hold_the_same_bits(kind, tmp_path):
    written, found = KINDS[kind], write_examples(tmp_path, iter(KINDS[kind]))
    chosen = [4, 1, 5]
    ours, theirs = (Collator(1)([rows[place] for place in chosen]) for rows in (found, written))
    for name in theirs["targets"]:
        assert torch.equal(ours["targets"][name], theirs["targets"][name]), name
    assert torch.equal(ours["input_ids"], theirs["input_ids"])


def test_a_training_from_files_ends_in_the_same_bits(tmp_path):
    train, validation = draw_examples(11), draw_examples(4, seed=1)
    results = []
    for name in ("memory", "file"):
        rows = [train, validation]
        if name == "file":
            rows = [write_examples(tmp_path, iter(part)) for part in rows]
        student = build()
        section = quick(steps=6, validation=Validation(every_steps=2))
        setting = Setting(ONE_THREAD, tmp_path / name, "plan")
        result = train_model(student, data_of(*rows), BOTH, section, setting)
        results.append((weights_of(student), result.record))
    assert results[0][1] == results[1][1]
    assert all(torch.equal(results[0][0][name], results[1][0][name]) for name in results[0][0])


def test_the_file_has_no_name_and_no_examples_make_an_empty_one(tmp_path):
    found = write_examples(tmp_path, iter(()))
    assert not found
    assert lengths_of(found).tolist() == []
    write_examples(tmp_path, iter(draw_examples(3)))
    assert list(tmp_path.iterdir()) == []
