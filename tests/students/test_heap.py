"""Freed blocks go back to the system where memory is to be spared."""

import sys
from pathlib import Path

import numpy as np
import pytest

from stillhouse.recipes import hours
from stillhouse.students import heap
from stillhouse.students.heap import sparing_heap

BLOCK, COUNT = 4 << 20, 40


def resident_bytes():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc keeps freed blocks")
def test_blocks_between_others_are_given_back_at_once():
    with sparing_heap():
        blocks = [np.ones(BLOCK, np.uint8) for _ in range(COUNT)]
        before = resident_bytes()
        del blocks[::2]
        given_back = before - resident_bytes()
    assert len(blocks) == COUNT // 2
    # The C library may hold some blocks from before.
    assert given_back > 0.6 * BLOCK * COUNT // 2


def test_the_planner_knows_from_which_size_on_blocks_go_back():
    assert heap._LARGE == hours._GIVEN_BACK_BYTES
