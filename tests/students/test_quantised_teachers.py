"""A teacher in 8 or 4 bits teaches live what it would have written down, and so does a base."""

import pytest
import torch
from test_target_sources import scored
from tiny_students import VOCAB, build, distance, draw_examples, one_step

from stillhouse.models.adapters import add_lora
from stillhouse.models.load import LoadOptions, load_model
from stillhouse.models.quantised import is_quantised
from stillhouse.recipes.training import Lora
from stillhouse.students.assignment import TrainingData
from stillhouse.students.target_sources import AdapterOff, Cached, Live

pytest.importorskip("bitsandbytes")
LIMIT = 1e-5
SIZE = {"hidden_size": 64, "intermediate_size": 96, "attention_dropout": 0.0}
"""At which bitsandbytes would re-pack weights of 4 bits while they are only asked."""


@pytest.fixture(scope="module")
def held(tmp_path_factory):
    """`held(kind)` loads one model anew in few bits."""
    folder = tmp_path_factory.mktemp("held") / "llama"
    build("llama", seed=3, **SIZE).save_pretrained(folder)
    return lambda kind: load_model(folder, options=LoadOptions(kind))


@pytest.fixture(scope="module")
def rows():
    return draw_examples(6, soft=False)


@pytest.mark.parametrize("kind", ["int8", "nf4"])
def test_a_teacher_in_few_bits_teaches_what_its_full_targets_do(kind, held, rows, tmp_path):
    teacher = held(kind)
    assert is_quantised(teacher)
    cached = TrainingData(scored(rows, teacher), (), Cached(1), VOCAB)
    # Side by side alike: a row of 8-bit products depends on nothing else.
    loss, gradients = one_step(build(), cached, 3, 2, tmp_path / "cached")
    live = TrainingData(rows, (), Live(teacher), VOCAB)
    ours, seen = one_step(build(), live, 3, 2, tmp_path / "live")

    assert ours == pytest.approx(loss, rel=LIMIT)
    assert distance(seen, gradients) < LIMIT
    assert not any(parameter.requires_grad for parameter in teacher.parameters())


@pytest.mark.parametrize("kind", ["none", "int8", "nf4"])
def test_a_base_in_few_bits_teaches_what_a_copy_beside_the_student_does(kind, held, rows, tmp_path):
    found = {}
    for name, source in (("base", AdapterOff()), ("live", Live(held(kind)))):
        student = add_lora(held(kind), Lora(rank=4), 0)
        with torch.no_grad():
            torch.manual_seed(1)
            for parameter in student.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn_like(parameter), alpha=0.1)
        data = TrainingData(rows, (), source, VOCAB)
        found[name] = one_step(student, data, 3, 2, tmp_path / name)

    assert found["base"][0] == found["live"][0]
    assert distance(found["base"][1], found["live"][1]) < LIMIT
