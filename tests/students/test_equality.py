"""Loss and gradient of one step equal the naive dense oracle, however the step is cut."""

import json
import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
from modes import MODES
from tiny_students import BOTH, CONFIGS, build, distance, draw_examples, one_step, oracle

from stillhouse.losses.terms import CROSS_ENTROPY
from stillhouse.students import branch

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


@pytest.fixture(scope="module", params=MODES)
def taught(request, eight):
    """A way to be taught, what its oracle says of the eight examples, and the errors of its steps.

    `pytest -s` shows the largest of them, relative.
    """
    errors = {}
    yield MODES[request.param], MODES[request.param].oracle(eight), errors
    for case, (loss, gradient) in errors.items():
        print(f"\n{request.param:7} {case:36} loss {loss:.1e}  gradient {gradient:.1e}", end="")


def _layouts():
    """All of them; the ordinary tests take each value of each once, with every other one."""
    chosen = {(8, 1): ("packed", True), (4, 2): ("padded", False), (2, 4): ("padded", True),
              (1, 8): ("packed", False), (3, 3): ("packed", True)}  # fmt: skip
    for size, ordinary in chosen.items():
        for rest in product(("packed", "padded"), (False, True)):
            marks = () if rest == ordinary else pytest.mark.long
            yield pytest.param(*size, *rest, marks=marks)


@pytest.mark.parametrize(("batch_size", "accumulation", "rows", "checkpointing"), [*_layouts()])
def test_however_a_step_is_laid_out_it_is_the_same(
    taught, batch_size, accumulation, rows, checkpointing, eight, tmp_path, monkeypatch
):
    mode, (loss, gradients), errors = taught
    if rows == "padded":
        monkeypatch.setattr(branch, "find_packed_reader", lambda _model: None)
    data, layout = mode.data(eight), (batch_size, accumulation)
    ours, seen = one_step(
        mode.student(), data, *layout, tmp_path, gradient_checkpointing=checkpointing
    )
    error = abs(ours / loss - 1), distance(seen, gradients)
    recomputed = ", recomputed" if checkpointing else ""
    errors[f"{batch_size} x {accumulation}, {rows}{recomputed}"] = error
    assert max(error) < LIMIT


def test_cross_entropy_alone_needs_no_targets(tmp_path):
    examples = draw_examples(5, soft=False)
    loss, gradients = oracle(build(), examples, CROSS_ENTROPY)
    ours, seen = one_step(build(), examples, 3, 2, tmp_path, CROSS_ENTROPY)
    assert ours == pytest.approx(loss, rel=LIMIT)
    assert distance(seen, gradients) < LIMIT


def test_an_adapter_may_be_recomputed_too(eight, tmp_path):
    loss, gradients = oracle(build(lora=True), eight)
    student = build(lora=True)
    ours, seen = one_step(student, eight, 4, 2, tmp_path, BOTH, gradient_checkpointing=True)
    assert ours == pytest.approx(loss, rel=LIMIT)
    assert distance(seen, gradients) < LIMIT


@pytest.mark.parametrize(
    ("driver", "cases"),
    [("two_processes.py", 8), ("sharded_processes.py", 3)],
    ids=["copies", "shards"],
)
def test_two_processes_change_nothing_even_when_rows_do_not_divide(driver, cases, tmp_path):
    out = tmp_path / "errors.json"
    command = [sys.executable, str(Path(__file__).with_name(driver)), str(tmp_path), str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert out.is_file(), done.stderr[-3000:]
    errors = json.loads(out.read_text())
    assert len(errors) == cases
    assert max(errors.values()) < LIMIT, errors
