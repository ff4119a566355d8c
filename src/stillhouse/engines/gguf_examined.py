"""A loaded GGUF file that also tells how it cuts texts, and takes an adapter.

Imported in the child process alone. Legend: T tokens, H columns.
"""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.core.errors import ModelError
from stillhouse.engines.llama_cpp_binding import GgufModel, Log

FILE_TYPES = {"q8_0": 7, "q4_k_m": 15, "mxfp4": 38}
"""paper: llama.h, `llama_ftype`."""


class ExaminedModel(GgufModel):
    """A loaded file.

    Args:
        binding: the package `llama_cpp`.
        path: the file.
        threads: of every step.
        log: what went wrong in llama.cpp's own words.

    Raises:
        ModelError: llama.cpp refuses the file.
    """

    def __init__(self, binding: Any, path: Path, threads: int, log: Log) -> None:
        super().__init__(binding, path, threads, log)
        self._adapter: Any = None
        self._adapters: dict[Path, Any] = {}

    def stops(self) -> list[int]:
        """Every id after which llama.cpp writes nothing more."""
        is_end = self._lib.llama_vocab_is_eog
        return [token for token in range(self.num_ids) if is_end(self._vocab, token)]

    def chat_template(self) -> str:
        """The Jinja text in the file; empty where there is none."""
        found = self._lib.llama_model_chat_template(self._model, None)
        return (found or b"").decode("utf-8", "replace")

    def tokenize(self, text: bytes, *, is_wrapped: bool) -> NDArray[np.int32]:
        """The ids of a text, special tokens read as such.

        Args:
            text: UTF-8.
            is_wrapped: with the tokens that the file puts around every text.

        Returns:
            (T,).

        Raises:
            ModelError: llama.cpp does not cut it.
        """
        room = len(text) + 8  # a token has a byte at least; the rest wraps a text
        ids = (self._lib.llama_token * room)()
        count = self._lib.llama_tokenize(self._vocab, text, len(text), ids, room, is_wrapped, True)
        if count < 0:
            raise ModelError(f"a text of {len(text)} bytes has {-count} tokens: {self._log.last()}")
        return np.array(ids[:count], np.int32)

    def put_adapter(self, path: Path | None) -> None:
        """Compute with an adapter from now on, or with none.

        Args:
            path: of its file.

        Raises:
            ModelError: llama.cpp refuses it, or cannot use it.
        """
        if path is not None and path not in self._adapters:
            found = self._lib.llama_adapter_lora_init(self._model, str(path).encode())
            if not found:
                raise ModelError(
                    f"the adapter {path} cannot be loaded: {self._log.last()}",
                    "it is damaged, or belongs to another base model",
                )
            self._adapters[path] = found
        self._adapter = None if path is None else self._adapters[path]
        if self._context is not None:
            self._use_adapter()

    def _make_room(self, num_tokens: int) -> None:
        super()._make_room(num_tokens)
        self._use_adapter()

    def _use_adapter(self) -> None:
        count = 0 if self._adapter is None else 1
        kind = self._lib.llama_adapter_lora_p_ctypes
        adapters, scales = (kind * 1)(self._adapter), (ctypes.c_float * 1)(1.0)
        code = self._lib.llama_set_adapters_lora(self._context, adapters, count, scales)
        if code != 0:
            raise ModelError(f"the adapter cannot be used: {self._log.last()}")


class Examiner:
    """llama.cpp, asked about files."""

    def __init__(self) -> None:
        self._lib = importlib.import_module("llama_cpp")
        self._log = Log(self._lib)
        self._lib.llama_backend_init()

    def open(self, path: Path, threads: int) -> ExaminedModel:
        """The model in a file."""
        return ExaminedModel(self._lib, path, threads, self._log)

    def quantise(
        self,
        source: Path,
        target: Path,
        weights: str,
        threads: int,
        importance: Mapping[str, NDArray[np.float32]],
    ) -> None:
        """Write a file anew with fewer bits a weight.

        Args:
            source: with float weights.
            target: written.
            weights: a key of `FILE_TYPES`.
            threads: at work.
            importance: name of a matrix -> (H,) weight of each of its columns; empty where all
                count alike.

        Raises:
            ModelError: llama.cpp refuses it.
        """
        settings = self._lib.llama_model_quantize_default_params()
        settings.ftype = FILE_TYPES[weights]
        settings.nthread = threads
        kind = self._lib.llama_model_imatrix_data
        # Ended by an entry without a name. Both lists live until llama.cpp has read them.
        entries = (kind * (len(importance) + 1))()
        kept = {name: np.ascontiguousarray(values) for name, values in importance.items()}
        for entry, (name, values) in zip(entries, kept.items(), strict=False):
            entry.name, entry.size = name.encode(), len(values)
            entry.data = values.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        if kept:
            settings.imatrix = ctypes.cast(entries, ctypes.POINTER(kind))
        code = self._lib.llama_model_quantize(
            str(source).encode(), str(target).encode(), ctypes.byref(settings)
        )
        if code != 0:
            raise ModelError(f"{source} is not written as {weights}: {self._log.last()}")
