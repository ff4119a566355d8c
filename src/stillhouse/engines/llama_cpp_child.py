"""The process that holds a GGUF model: it is told token ids, and says what the model makes of them.

It knows no text, no template and no tokenizer. Started by `engines/llama_cpp.py`; it ends when its
standard input closes, and nothing of what llama.cpp may do to it reaches the process that asks.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from stillhouse.core.errors import StillhouseError
from stillhouse.engines.frames import Frame, FrameReader, write_frame
from stillhouse.engines.row_scores import RowScores, largest, log_sum_exp, pick
from stillhouse.models.scoring import Scoring
from stillhouse.models.tally import uniforms

_SECONDS_A_SIGN = 1.0
"""assumption: far below any silence that the other side allows."""

Rows = Iterator[NDArray[np.float32]]


class Model(Protocol):
    """A model that is fed token ids; it calls `after_step` while a long text is read."""

    num_ids: int
    context: int
    ends: tuple[int, ...]
    after_step: Callable[[], None]

    def texts(self) -> list[bytes]:
        """How the model's own vocabulary writes each id."""

    def begin(self, num_tokens: int) -> None:
        """Forget everything, and make room for a text of so many tokens."""

    def feed(self, ids: NDArray[np.int32], wanted: NDArray[np.bool_]) -> Rows:
        """Go on with these tokens; the logits (V,) after each wanted one, valid until the next."""


Open = Callable[[Path, int], Model]
"""Opens a file for so many threads."""


class Desk(Protocol):
    """Whoever answers a process's questions."""

    def answer(self, frame: Frame) -> None:
        """Write the answer to one question."""


def serve(open_model: Open) -> None:
    """Answer questions about a model's completions and scores until standard input closes."""
    serve_at(lambda answers: _Desk(open_model, answers))


def serve_at(build_desk: Callable[[int], Desk]) -> None:
    """Answer until standard input closes.

    Args:
        build_desk: of the file descriptor that answers are written to.
    """
    answers = os.dup(1)
    os.dup2(2, 1)  # what libraries print goes to the log
    # Also in the middle of a question nothing is left behind by a caller that was killed.
    threading.Thread(target=_end_with_caller, daemon=True).start()
    desk = build_desk(answers)
    reader = FrameReader(0)
    while (frame := reader.read()) is not None:
        try:
            desk.answer(frame)
        except Exception as error:
            traceback.print_exc()
            write_frame(answers, {"event": "error", **_describe(error)})


def _end_with_caller() -> None:
    lifeline = select.poll()
    lifeline.register(0, 0)  # only the hang-up, which is always told
    lifeline.poll()
    os._exit(1)


def _describe(error: Exception) -> dict[str, str]:
    if isinstance(error, StillhouseError):
        return {"kind": type(error).__name__, "message": error.message, "hint": error.hint}
    if isinstance(error, MemoryError):
        return {"kind": "CapacityError", "message": "out of memory", "hint": "take a smaller model"}
    return {"kind": "StillhouseError", "message": f"{type(error).__name__}: {error}"}


_Answer = tuple[dict[str, Any], dict[str, NDArray[Any]]]
"""Head and arrays of a frame."""


class _Desk:
    """The questions that can be asked."""

    def __init__(self, open_model: Open, answers: int) -> None:
        self._open_model = open_model
        self._answers = answers
        self._model: Model | None = None
        self._last_sign = 0.0

    def answer(self, frame: Frame) -> None:
        told = {"open": self._open, "score": self._score, "generate": self._generate}
        head, arrays = told[frame.head["ask"]](frame)
        write_frame(self._answers, {"event": "answer", **head}, arrays)

    def _open(self, frame: Frame) -> _Answer:
        model = self._open_model(Path(frame.head["path"]), frame.head["threads"])
        # What is read of a prompt gives no row, and may take longer than any silence.
        model.after_step = self._say_alive
        self._model = model
        texts = model.texts()
        arrays: dict[str, NDArray[Any]] = {
            "bytes": np.frombuffer(b"".join(texts), np.uint8),
            "lengths": np.array([len(text) for text in texts], np.int32),
        }
        return {"context": model.context, "ends": list(model.ends)}, arrays

    def _score(self, frame: Frame) -> _Answer:
        ids, is_trained = frame.arrays["ids"], frame.arrays["is_trained"].astype(np.bool_)
        told = frame.head["scoring"]
        scoring = Scoring(**{**told, "kd_temperatures": tuple(told["kd_temperatures"])})
        observed = ids[is_trained]
        numbers = uniforms(frame.head["example_id"], len(observed), scoring.num_draws, scoring.seed)
        scores = RowScores(scoring, observed, numbers)
        # What stands behind the last wanted place need not be read.
        wanted = is_trained[1 : 1 + int(np.flatnonzero(is_trained)[-1])]
        model = self._require_model()
        model.begin(len(wanted))
        for row in model.feed(ids[: len(wanted)], wanted):
            scores.add(row)
        return {}, scores.columns()

    def _generate(self, frame: Frame) -> _Answer:
        head, prompt = frame.head, frame.arrays["ids"]
        most, top_k = head["max_new_tokens"], head["top_k"]
        ends = frozenset(head["ends"])
        random = np.random.default_rng(head["seed"])
        model = self._require_model()
        model.begin(len(prompt) + most)
        row = _after(model, prompt)
        ids: list[int] = []
        logprobs: list[float] = []
        tops: list[tuple[NDArray[np.int64], NDArray[np.float64]]] = []
        finish = "length"
        while len(ids) < most:
            if ids:
                row = _after(model, np.array(ids[-1:], np.int32))
            logits = row[: head["vocab_size"]].astype(np.float64)
            chosen = _choose(logits, head["temperature"], random)
            if chosen in ends:
                finish = "stop"
                break
            logprobs_V = logits - log_sum_exp(logits)
            kept = largest(logits, top_k)
            ids.append(chosen)
            logprobs.append(float(logprobs_V[chosen]))
            tops.append((kept, logprobs_V[kept]))
        shape = (len(ids), min(top_k, head["vocab_size"]))
        return {"finish": finish}, {
            "ids": np.array(ids, np.int32),
            "logprobs": np.array(logprobs, np.float64),
            "top_ids": np.array([one for one, _ in tops], np.int32).reshape(shape),
            "top_logprobs": np.array([one for _, one in tops], np.float64).reshape(shape),
        }

    def _require_model(self) -> Model:
        if self._model is None:
            raise StillhouseError("asked before a model was opened")
        return self._model

    def _say_alive(self) -> None:
        now = time.monotonic()
        if now - self._last_sign >= _SECONDS_A_SIGN:
            self._last_sign = now
            write_frame(self._answers, {"event": "alive"})


def _after(model: Model, ids: NDArray[np.int32]) -> NDArray[np.float32]:
    """The logits (V,) that follow the last of these tokens."""
    wanted = np.zeros(len(ids), np.bool_)
    wanted[-1] = True
    (row,) = model.feed(ids, wanted)
    return row


def _choose(logits: NDArray[np.float64], temperature: float, random: np.random.Generator) -> int:
    log_z = log_sum_exp(logits)  # refuses what is no number
    if temperature == 0:
        return int(logits.argmax())
    softened = (logits - log_z) / temperature
    return int(pick(np.exp(softened - softened.max()), random.random(1))[0])


def run(answering: Callable[[], None]) -> None:
    """Let a process answer, and end with it."""
    with contextlib.suppress(BrokenPipeError):
        answering()
    sys.stderr.flush()
    # Nothing is left to be written; what a library does on its way out is of no interest.
    os._exit(0)


if __name__ == "__main__":
    from stillhouse.engines.llama_cpp_binding import open_gguf

    run(lambda: serve(open_gguf))
