"""What llama.cpp makes of a GGUF file, asked of a process of its own.

llama.cpp ends its process on files that it does not expect; whoever asks gets an error for it.
Legend: T tokens, V vocabulary, H columns of a matrix.
"""

from __future__ import annotations

import errno
import importlib.util
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from stillhouse.core.errors import ModelError, UsageError
from stillhouse.core.files import disk_full_is_clear, sync_folder, temporary_beside
from stillhouse.engines.child_process import ChildProcess
from stillhouse.engines.frames import Frame
from stillhouse.engines.gguf_head import read_gguf_head

_COMMAND = (sys.executable, "-m", "stillhouse.engines.gguf_examiner_child")
_NO_ROOM_BYTES = 16 * 2**20  # assumption: a failed write leaves less room than this

_SILENCE_S = 3600.0
"""assumption: longer than any file takes to be loaded or quantised."""


@dataclass(frozen=True, slots=True)
class GgufFile:
    """What llama.cpp says of a file.

    Attributes:
        context: tokens that it was built for.
        num_ids: of its vocabulary.
        stops: ids after which nothing more is written.
        chat_template: Jinja text; empty where it has none.
    """

    context: int
    num_ids: int
    stops: frozenset[int]
    chat_template: str


class GgufExaminer:
    """A process with one file; a context manager that ends it.

    Args:
        path: the file.
        threads: of llama.cpp; 0 takes every processor.

    Raises:
        UsageError: llama-cpp-python is not installed.
        ModelError: the file is none, or llama.cpp refuses it.
        EngineDiedError: llama.cpp crashed on it.
    """

    def __init__(self, path: Path, threads: int = 0) -> None:
        require_llama_cpp()
        read_gguf_head(path)
        self._child = _start(path)
        try:
            opened = self._child.ask(
                "loading the file", {"ask": "open", "path": str(path), "threads": _threads(threads)}
            )
        except BaseException:
            self._child.close()
            raise
        self.file = GgufFile(
            int(opened.head["context"]),
            int(opened.head["num_ids"]),
            frozenset(opened.head["stops"]),
            opened.arrays["template"].tobytes().decode(),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        self._child.close()

    def tokenize(
        self, texts: Sequence[str], *, is_wrapped: bool = False
    ) -> list[NDArray[np.int32]]:
        """The ids that llama.cpp gives to texts, special tokens read as such.

        Args:
            texts: any.
            is_wrapped: with the tokens that the file puts around every text.

        Returns:
            (T,) each.
        """
        stored = [text.encode() for text in texts]
        told: dict[str, NDArray[Any]] = {
            "bytes": np.frombuffer(b"".join(stored), np.uint8),
            "lengths": np.array([len(text) for text in stored], np.int32),
        }
        frame = self._ask("cutting texts", {"ask": "tokenize", "is_wrapped": is_wrapped}, told)
        ends = np.cumsum(frame.arrays["lengths"])[:-1]
        return list(np.split(frame.arrays["ids"], ends))

    def logits(self, ids: NDArray[np.int32]) -> NDArray[np.float32]:
        """The logits (T, V) after each of these tokens, (T,)."""
        frame = self._ask("computing logits", {"ask": "logits"}, {"ids": ids})
        return frame.arrays["logits"]

    def greedy(
        self, ids: NDArray[np.int32], max_new_tokens: int, ends: frozenset[int] | None = None
    ) -> NDArray[np.int32]:
        """What the model writes after a prompt, the likeliest token at a time.

        Args:
            ids: (T,) of the prompt.
            max_new_tokens: at most.
            ends: ids that end it; the file's own when None.

        Returns:
            (T,), without the token that ended it.
        """
        stops = self.file.stops if ends is None else ends
        question = {"ask": "greedy", "max_new_tokens": max_new_tokens, "ends": sorted(stops)}
        return self._ask("completing a prompt", question, {"ids": ids}).arrays["ids"]

    def put_adapter(self, path: Path | None) -> None:
        """Compute with an adapter's file from now on; None takes it off.

        Args:
            path: of the file.

        Raises:
            ModelError: it is none, or of another model.
        """
        if path is not None:
            read_gguf_head(path)
        self._ask("loading an adapter", {"ask": "adapter", "path": str(path or "")})

    def _ask(
        self, doing: str, question: dict[str, Any], arrays: dict[str, NDArray[Any]] | None = None
    ) -> Frame:
        return self._child.ask(doing, question, arrays)


def quantise_gguf(
    source: Path,
    target: Path,
    weights: str,
    threads: int = 0,
    importance: Mapping[str, NDArray[np.float32]] | None = None,
) -> None:
    """Write a file anew with fewer bits a weight, whole or not at all.

    Args:
        source: with float weights.
        target: of the new file.
        weights: `q8_0` or `q4_k_m`.
        threads: of llama.cpp; 0 takes every processor.
        importance: name of a matrix -> (H,) weight of each of its columns, where rounding is to
            look at them; None where all count alike.

    Raises:
        UsageError: llama-cpp-python is not installed.
        ModelError: llama.cpp refuses it.
        DiskFullError: there is no room for it.
    """
    require_llama_cpp()
    read_gguf_head(source)
    temporary = temporary_beside(target)
    question = {
        "ask": "quantise",
        "source": str(source),
        "target": str(temporary),
        "weights": weights,
        "threads": _threads(threads),
        "names": list(importance or {}),
    }
    columns = [np.zeros(0, np.float32)] if not importance else list(importance.values())
    told: dict[str, NDArray[Any]] = {
        "importance": np.concatenate(columns),
        "lengths": np.array([len(one) for one in columns], np.int32),
    }
    child = _start(source)
    with disk_full_is_clear(target.parent):
        try:
            child.ask(f"writing {weights}", question, told)
            read_gguf_head(temporary)
            _sync(temporary)
            temporary.replace(target)
        except ModelError as error:
            # A stream of C++ that met a full disk does not say so.
            if shutil.disk_usage(target.parent).free < _NO_ROOM_BYTES:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
            raise
        finally:
            child.close()
            temporary.unlink(missing_ok=True)
        sync_folder(target.parent)


def require_llama_cpp() -> None:
    """Make sure that llama.cpp can be asked here; nothing is imported.

    Raises:
        UsageError: names the extra that brings it.
    """
    if importlib.util.find_spec("llama_cpp") is None:
        raise UsageError(
            "a GGUF file is proved by llama-cpp-python, which is not installed",
            'pip install "stillhouse[gguf]"',
        )


def _start(path: Path) -> ChildProcess:
    return ChildProcess(_COMMAND, f"llama.cpp with {path}", _SILENCE_S)


def _threads(asked: int) -> int:
    return asked or os.cpu_count() or 1


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
