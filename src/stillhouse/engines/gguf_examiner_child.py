"""The process that examines a GGUF file: its tokenizer, its ends, its logits, its adapters.

Started by `engines/gguf_examiner.py`. Legend: T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.core.errors import StillhouseError
from stillhouse.engines.frames import Frame, write_frame
from stillhouse.engines.gguf_examined import ExaminedModel, Examiner
from stillhouse.engines.llama_cpp_child import run, serve_at

_Answer = tuple[dict[str, Any], dict[str, NDArray[Any]]]
"""Head and arrays of a frame."""


class _Desk:
    """The questions that can be asked."""

    def __init__(self, answers: int) -> None:
        self._answers = answers
        self._examiner = Examiner()
        self._model: ExaminedModel | None = None

    def answer(self, frame: Frame) -> None:
        told = {
            "open": self._open,
            "tokenize": self._tokenize,
            "logits": self._logits,
            "greedy": self._greedy,
            "adapter": self._put_adapter,
            "quantise": self._quantise,
        }
        head, arrays = told[frame.head["ask"]](frame)
        write_frame(self._answers, {"event": "answer", **head}, arrays)

    def _open(self, frame: Frame) -> _Answer:
        model = self._examiner.open(Path(frame.head["path"]), frame.head["threads"])
        self._model = model
        head = {"context": model.context, "num_ids": model.num_ids, "stops": model.stops()}
        template = np.frombuffer(model.chat_template().encode(), np.uint8)
        return head, {"template": template}

    def _tokenize(self, frame: Frame) -> _Answer:
        model, is_wrapped = self._require_model(), bool(frame.head["is_wrapped"])
        rows = [model.tokenize(text, is_wrapped=is_wrapped) for text in _texts(frame)]
        joined = np.concatenate([*rows, np.zeros(0, np.int32)])
        return {}, {"ids": joined, "lengths": np.array([len(row) for row in rows], np.int32)}

    def _logits(self, frame: Frame) -> _Answer:
        model, ids = self._require_model(), frame.arrays["ids"]
        model.begin(len(ids))
        rows = [row.copy() for row in model.feed(ids, np.ones(len(ids), np.bool_))]
        return {}, {"logits": np.stack(rows)}

    def _greedy(self, frame: Frame) -> _Answer:
        model, prompt = self._require_model(), frame.arrays["ids"]
        most, ends = int(frame.head["max_new_tokens"]), frozenset(frame.head["ends"])
        model.begin(len(prompt) + most)
        ids: list[int] = []
        told = prompt
        while len(ids) < most:
            wanted = np.zeros(len(told), np.bool_)
            wanted[-1] = True
            (row,) = model.feed(told, wanted)
            chosen = int(row.argmax())
            if chosen in ends:
                break
            ids.append(chosen)
            told = np.array([chosen], np.int32)
        return {}, {"ids": np.array(ids, np.int32)}

    def _put_adapter(self, frame: Frame) -> _Answer:
        path = frame.head["path"]
        self._require_model().put_adapter(Path(path) if path else None)
        return {}, {}

    def _quantise(self, frame: Frame) -> _Answer:
        head = frame.head
        ends = np.cumsum(frame.arrays["lengths"])[:-1]
        columns = np.split(frame.arrays["importance"], ends)
        self._examiner.quantise(
            Path(head["source"]),
            Path(head["target"]),
            head["weights"],
            head["threads"],
            dict(zip(head["names"], columns, strict=False)),
        )
        return {}, {}

    def _require_model(self) -> ExaminedModel:
        if self._model is None:
            raise StillhouseError("asked before a model was opened")
        return self._model


def _texts(frame: Frame) -> Iterator[bytes]:
    stored, end = frame.arrays["bytes"].tobytes(), 0
    for length in frame.arrays["lengths"].tolist():
        start, end = end, end + length
        yield stored[start:end]


if __name__ == "__main__":
    run(lambda: serve_at(_Desk))
