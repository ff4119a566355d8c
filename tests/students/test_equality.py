"""Loss and gradient of one step equal the naive dense oracle, however the step is cut."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_students import BOTH, CONFIGS, build, distance, draw_examples, one_step, oracle

from stillhouse.losses.terms import CROSS_ENTROPY

LIMIT = 1e-5


@pytest.fixture(scope="module")
def eight():
    return draw_examples(8)


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("kind", CONFIGS)
def test_a_step_equals_the_oracle_for_every_architecture(kind, lora, eight, tmp_path):
    loss, gradients = oracle(build(kind, lora=lora, attention_dropout=0.0), eight)
    student = build(kind, lora=lora, attention_dropout=0.0)
    ours, seen = one_step(student, eight, 4, 2, tmp_path)
    assert ours == pytest.approx(loss, rel=LIMIT)
    assert distance(seen, gradients) < LIMIT


@pytest.mark.parametrize(("batch_size", "accumulation"), [(8, 1), (4, 2), (2, 4), (1, 8), (3, 3)])
def test_batch_size_and_accumulation_change_nothing(batch_size, accumulation, eight, tmp_path):
    loss, gradients = oracle(build(), eight)
    ours, seen = one_step(build(), eight, batch_size, accumulation, tmp_path)
    assert ours == pytest.approx(loss, rel=LIMIT)
    assert distance(seen, gradients) < LIMIT


def test_cross_entropy_alone_needs_no_targets(tmp_path):
    examples = draw_examples(5, soft=False)
    loss, gradients = oracle(build(), examples, CROSS_ENTROPY)
    ours, seen = one_step(build(), examples, 3, 2, tmp_path, CROSS_ENTROPY)
    assert ours == pytest.approx(loss, rel=LIMIT)
    assert distance(seen, gradients) < LIMIT


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
def test_gradient_checkpointing_changes_nothing(lora, eight, tmp_path):
    loss, gradients = oracle(build(lora=lora), eight)
    student = build(lora=lora)
    ours, seen = one_step(student, eight, 4, 2, tmp_path, BOTH, gradient_checkpointing=True)
    assert ours == pytest.approx(loss, rel=LIMIT)
    assert distance(seen, gradients) < LIMIT


def test_two_processes_change_nothing_even_when_rows_do_not_divide(tmp_path):
    out = tmp_path / "errors.json"
    driver = Path(__file__).with_name("two_processes.py")
    command = [sys.executable, str(driver), str(tmp_path), str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert out.is_file(), done.stderr[-3000:]
    errors = json.loads(out.read_text())
    assert len(errors) == 6
    assert max(errors.values()) < LIMIT, errors
