"""Rows on several threads: nothing is lost, and torch's own setting stays."""

import threading

import pytest
import torch
from tests.losses.test_fused_linear import BOTH, KINDS, Case

from stillhouse.losses.row_threads import run_rows


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_every_row_is_run_once_by_threads_that_split_nothing(two_threads):
    seen = {}

    def run(part):
        for row in range(part.start, part.stop):
            seen[row] = (threading.current_thread().name, torch.get_num_threads())

    for num_rows in (0, 1, 7):
        seen.clear()
        run_rows(run, num_rows, "cpu")
        assert sorted(seen) == list(range(num_rows))
    assert {threads for _, threads in seen.values()} == {1}
    assert threading.current_thread().name not in {name for name, _ in seen.values()}
    assert torch.get_num_threads() == 2


def test_an_error_in_a_thread_is_raised(two_threads):
    with pytest.raises(ZeroDivisionError):
        run_rows(lambda part: 1 // 0, 7, "cpu")


@pytest.mark.parametrize("kind", KINDS)
def test_threads_change_no_loss(kind, two_threads):
    results = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        case = Case()
        loss = case.fused(kind, BOTH, chunk_tokens=5).loss
        results.append((loss.detach(), *torch.autograd.grad(loss, case.tensors)))
    torch.testing.assert_close(*results)


def test_threads_keep_inference_mode(two_threads):
    with torch.inference_mode():
        assert Case(dtype=torch.float32).fused("live", BOTH).loss.isfinite()
