import os
import threading

import numpy as np
import pytest

from stillhouse.engines.frames import FrameError, FrameReader, SilenceError, write_frame


@pytest.fixture
def pipe():
    ends = os.pipe()
    closed = set()

    def close(end):
        if end not in closed:
            closed.add(end)
            os.close(end)

    yield (*ends, close)
    for end in ends:
        close(end)


ARRAYS = {
    "ids": np.arange(100_000, dtype=np.int32),
    "top": np.array([[1.5, -np.inf], [np.nan, 0.0]], np.float32),
    "nothing": np.zeros((0, 4), np.float64),
    "bytes": np.frombuffer(b"a\nb\0", np.uint8),
}


def test_what_is_written_is_read_array_by_array(pipe):
    read, write, close = pipe

    def say():
        write_frame(write, {"event": "answer", "of": "é\n"}, ARRAYS)
        write_frame(write, {"event": "alive"})
        close(write)

    speaker = threading.Thread(target=say)
    speaker.start()
    reader = FrameReader(read, 10.0)
    first, second, third = reader.read(), reader.read(), reader.read()
    speaker.join()

    assert first.head == {"event": "answer", "of": "é\n"}
    assert first.arrays.keys() == ARRAYS.keys()
    for name, one in ARRAYS.items():
        assert first.arrays[name].dtype == one.dtype
        np.testing.assert_array_equal(first.arrays[name], one)
    assert (second.head, second.arrays, third) == ({"event": "alive"}, {}, None)


def test_a_frame_is_torn_wherever_the_pipe_is_closed_in_it(tmp_path):
    path = tmp_path / "frame"
    with path.open("wb") as stream:
        write_frame(stream.fileno(), {"event": "answer"}, {"ids": np.arange(3, dtype=np.int32)})
    whole = path.read_bytes()
    with path.open("rb") as stream:
        assert FrameReader(stream.fileno()).read().arrays["ids"].tolist() == [0, 1, 2]

    for size in range(1, len(whole)):
        path.write_bytes(whole[:size])
        with path.open("rb") as stream, pytest.raises(FrameError, match="closed within"):
            FrameReader(stream.fileno()).read()


@pytest.mark.parametrize(
    "line",
    [
        b"llama_perf: 3 ms\n",
        b"[]\n",
        b"{}\n",
        b'{"arrays": []}\n',
        b'{"arrays": {"a": ["|O", [1]]}}\n',
        b'{"arrays": {"a": ["<f4", [-1]]}}\n',
        b'{"arrays": {"a": ["<f4", [9999999999, 9999999999]]}}\n',
        b'{"arrays": {"a": ["<f4"]}}\n',
        b"x" * (1 << 21),
    ],
)
def test_what_is_no_frame_is_told(line, tmp_path):
    path = tmp_path / "frame"
    path.write_bytes(line)

    with path.open("rb") as stream, pytest.raises(FrameError, match=r"no |without"):
        FrameReader(stream.fileno()).read()


def test_a_silent_writer_and_a_reader_that_takes_nothing_are_noticed(pipe):
    read, write, _ = pipe
    os.set_blocking(write, False)

    with pytest.raises(SilenceError):
        FrameReader(read, 0.05).read()
    with pytest.raises(SilenceError):
        write_frame(write, {}, {"much": np.zeros(1 << 20, np.int32)}, 0.05)
