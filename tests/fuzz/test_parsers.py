"""Parsers of remote text on damaged replies: no exception, and an end in good time."""

import random
import re
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fuzz.mutations import HARD, TEXTS, damaged
from tests.fuzz.parsers import PARSERS
from tests.fuzz.samples import as_bytes

_LONGEST_S = 5.0
"""assumption: of processor time for one input; sound ones take a millisecond."""


@pytest.mark.parametrize("name", PARSERS)
def test_sound_and_hopeless_texts_are_read(name):
    parser = PARSERS[name]
    for start in (*parser.starts, *TEXTS, *map(str.encode, map(ascii, HARD))):
        started = time.process_time()
        parser.run(as_bytes(start))
        assert time.process_time() - started < _LONGEST_S


@pytest.mark.parametrize("name", PARSERS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_damaged_replies_are_read_too(name, data):
    parser = PARSERS[name]
    start = data.draw(st.sampled_from(parser.starts))
    content = damaged(start, lambda below: data.draw(st.integers(0, below - 1)))
    started = time.process_time()
    parser.run(content)
    assert time.process_time() - started < _LONGEST_S


def write_seeds(folder, starts):
    """Sound replies as they are, and bytes that steer damage to them; the last byte says which."""
    draw = random.Random(5)
    for number, start in enumerate(starts):
        (folder / f"sound-{number}").write_bytes(as_bytes(start) + b"\x01")
    for number in range(64):
        (folder / f"damage-{number}").write_bytes(draw.randbytes(256) + b"\x00")


@pytest.mark.long
@pytest.mark.parametrize("name", PARSERS)
def test_inputs_guided_by_what_they_reach_find_nothing(name, tmp_path):
    pytest.importorskip("atheris", reason="install the extra fuzz")
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    write_seeds(corpus, PARSERS[name].starts)
    words = [sys.executable, "-m", "tests.fuzz.harness", name, "-runs=30000", "-timeout=10"]
    more = ["-len_control=0", "-max_len=4096", "-seed=1", "-print_final_stats=1"]
    done = subprocess.run(
        [*words, *more, f"-artifact_prefix={tmp_path}/", str(corpus)],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    told = re.findall(r"number_of_executed_units: (\d+)|slowest_unit_time_sec: +(\d+)", done.stderr)
    covered = re.findall(r"DONE +cov: (\d+)", done.stderr)
    figures = [max(pair) for pair in told]
    print(f"\n{name}: {figures[:1]} inputs, slowest {figures[1:2]} s, {covered} edges")
    assert done.returncode == 0, done.stderr[-3000:]
    assert covered
