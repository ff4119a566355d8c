"""A GGUF model through llama.cpp's own functions, every pointer looked at before it is used.

The binding's comfortable classes take a NULL pointer for a loaded model and then die of it, so its
plain functions are called here. Keys and values are kept in float32 and flash attention is off:
measured: with the defaults the logits of float32 weights are off by 2e-3, so by 2e-6.

Imported in the child process alone. Legend: T tokens, V vocabulary.
"""

from __future__ import annotations

import ctypes
import importlib
import os
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.core.errors import CapacityError, ModelError

_FLOAT32 = 0
"""paper: ggml.h, `GGML_TYPE_F32`."""

_NO_FLASH = 0
"""paper: llama.h, `LLAMA_FLASH_ATTN_TYPE_DISABLED`."""

_TROUBLE = (3, 4)
"""paper: ggml.h, `GGML_LOG_LEVEL_WARN` and `_ERROR`; the others tell the load line by line."""

_LEAST_ROOM = 256
"""assumption: tokens; a smaller room would save nothing that counts."""

_LOGITS_AT_ONCE = 1 << 25
"""assumption: 134 MB of logits a step, as in `models/logits.py`."""

_LINES = 2
"""assumption: the last of what goes wrong says why; llama.cpp repeats itself."""

_MOST_AT_ONCE = 512
"""llama.cpp's own default of tokens a step."""


def _say_nothing() -> None:
    """For whoever does not wait for signs."""


class Log:
    """What llama.cpp says went wrong; it must live as long as llama.cpp, which calls it."""

    def __init__(self, binding: Any) -> None:
        self._lines: deque[str] = deque(maxlen=_LINES)
        self._called = binding.llama_log_callback(self._take)
        binding.llama_log_set(self._called, ctypes.c_void_p(0))

    def last(self) -> str:
        """The last lines."""
        return " | ".join(self._lines) or "it does not say why"

    def _take(self, level: int, text: bytes, _: Any) -> None:
        if level in _TROUBLE:
            os.write(2, text)
            self._lines.append(text.decode("utf-8", "replace").strip())


class GgufModel:
    """A loaded file; a `Model` of the child process.

    Args:
        binding: the package `llama_cpp`.
        path: the file.
        threads: of every step.
        log: what went wrong in its own words.

    Raises:
        ModelError: llama.cpp refuses the file.
    """

    def __init__(self, binding: Any, path: Path, threads: int, log: Log) -> None:
        self._lib = binding
        self._log = log
        self._threads = threads
        settings = binding.llama_model_default_params()
        settings.use_mlock = False
        self._model = binding.llama_model_load_from_file(str(path).encode(), settings)
        if not self._model:
            raise ModelError(
                f"it cannot be loaded: {log.last()}",
                "it is cut off or damaged, or of an architecture that the installed "
                "llama-cpp-python does not know: make or download it again",
            )
        self._vocab = binding.llama_model_get_vocab(self._model)
        if not self._vocab:
            raise ModelError("it has no vocabulary", "make the file again with its tokenizer")
        self.after_step: Callable[[], None] = _say_nothing
        self.num_ids = int(binding.llama_vocab_n_tokens(self._vocab))
        self.context = int(binding.llama_model_n_ctx_train(self._model))
        named = (binding.llama_vocab_eos(self._vocab), binding.llama_vocab_eot(self._vocab))
        self.ends = tuple(sorted({int(token) for token in named if token >= 0}))
        self._step = max(1, min(_MOST_AT_ONCE, _LOGITS_AT_ONCE // self.num_ids))
        self._batch = binding.llama_batch_init(self._step, 0, 1)
        self._context: Any = None
        self._room = 0
        self._position = 0

    def texts(self) -> list[bytes]:
        """How the file's own vocabulary writes each id."""
        look_up = self._lib.llama_vocab_get_text
        return [look_up(self._vocab, token) or b"" for token in range(self.num_ids)]

    def begin(self, num_tokens: int) -> None:
        """Forget everything, and make room for a text of so many tokens.

        Args:
            num_tokens: of the whole text.

        Raises:
            CapacityError: there is no memory for it.
        """
        if num_tokens > self._room:
            self._make_room(num_tokens)
        self._lib.llama_memory_clear(self._lib.llama_get_memory(self._context), True)
        self._position = 0

    def feed(
        self, ids: NDArray[np.int32], wanted: NDArray[np.bool_]
    ) -> Iterator[NDArray[np.float32]]:
        """Go on with these tokens.

        Args:
            ids: (T,).
            wanted: (T,) after which of them the logits are asked for.

        Yields:
            (V,) each; overwritten by the next step.

        Raises:
            ModelError: llama.cpp refuses a step.
        """
        for start in range(0, len(ids), self._step):
            part = slice(start, start + self._step)
            self._decode(ids[part], wanted[part])
            self.after_step()
            for place in np.flatnonzero(wanted[part]).tolist():
                found = self._lib.llama_get_logits_ith(self._context, place)
                if not found:
                    raise ModelError("no logits are there for a token that was read")
                yield np.ctypeslib.as_array(found, (self.num_ids,))

    def _decode(self, ids: NDArray[np.int32], wanted: NDArray[np.bool_]) -> None:
        batch = self._batch
        batch.n_tokens = len(ids)
        for place, (token, is_wanted) in enumerate(zip(ids.tolist(), wanted.tolist(), strict=True)):
            batch.token[place] = token
            batch.pos[place] = self._position + place
            batch.n_seq_id[place] = 1
            batch.seq_id[place][0] = 0
            batch.logits[place] = is_wanted
        code = self._lib.llama_decode(self._context, batch)
        if code != 0:
            raise ModelError(f"{len(ids)} tokens are refused with code {code}: {self._log.last()}")
        self._position += len(ids)

    def _make_room(self, num_tokens: int) -> None:
        if self._context is not None:
            self._lib.llama_free(self._context)
            self._context, self._room = None, 0
        room = max(_LEAST_ROOM, 1 << (num_tokens - 1).bit_length())
        settings = self._lib.llama_context_default_params()
        settings.n_ctx = room
        settings.n_batch = settings.n_ubatch = self._step
        settings.n_seq_max = 1
        settings.n_threads = settings.n_threads_batch = self._threads
        settings.type_k = settings.type_v = _FLOAT32
        # Setting a field that a structure lacks would only make an attribute of it.
        fields = {one[0] for one in settings._fields_}
        if "flash_attn_type" in fields:
            settings.flash_attn_type = _NO_FLASH
        else:
            settings.flash_attn = False
        context = self._lib.llama_init_from_model(self._model, settings)
        if not context:
            raise CapacityError(
                f"there is no room for {room} tokens: {self._log.last()}",
                "lower prepare.max_tokens, or take a smaller model",
            )
        self._context, self._room = context, room


def open_gguf(path: Path, threads: int) -> GgufModel:
    """The model in a GGUF file.

    Args:
        path: the file.
        threads: of every step.

    Returns:
        It, loaded.

    Raises:
        ModelError: llama.cpp refuses the file.
    """
    binding = importlib.import_module("llama_cpp")
    log = Log(binding)
    binding.llama_backend_init()
    return GgufModel(binding, path, threads, log)
