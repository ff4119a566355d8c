"""A child process without llama.cpp: the file says what vocabulary it has and how it dies.

The file is `GGUF` and then JSON: `texts`, `context`, `ends`, and perhaps `fault` with its `kind`,
the `tokens` of the texts that bring it, how many `times`, and the file that `counts` them.
"""

import ctypes
import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from stillhouse.core.errors import ModelError
from stillhouse.engines import llama_cpp_child
from stillhouse.engines.llama_cpp_child import serve


def write_model(path, texts, context=128, ends=(), fault=None):
    told = {"texts": texts, "context": context, "ends": list(ends), "fault": fault}
    path.write_bytes(b"GGUF" + json.dumps(told).encode())
    return path


def logits_after(prefix, num_ids):
    """(V,) what the fake makes of a text."""
    return np.random.default_rng(list(prefix)).normal(0.0, 3.0, num_ids).astype(np.float32)


class FakeModel:
    def __init__(self, path, threads):
        told = json.loads(path.read_bytes()[4:])
        self._texts, self._fault = told["texts"], told["fault"]
        self.num_ids, self.context = len(self._texts), told["context"]
        self.ends = tuple(told["ends"])
        self.after_step, self._token_s = (lambda: None), 0.0
        self._fail(0, "load")

    def texts(self):
        return [text.encode() for text in self._texts]

    def begin(self, num_tokens):
        self._seen, self._scale = [], np.float32(1.0)
        self._fail(num_tokens, "begin")

    def feed(self, ids, wanted):
        for token, is_wanted in zip(ids.tolist(), wanted.tolist(), strict=True):
            self._seen.append(token)
            time.sleep(self._token_s)
            self.after_step()
            if is_wanted:
                yield logits_after(self._seen, self.num_ids) * self._scale

    def _fail(self, num_tokens, place):
        fault = self._fault
        if not fault or fault.get("place", "begin") != place or num_tokens < fault["tokens"]:
            return
        counts = Path(fault["counts"])
        seen = int(counts.read_text()) if counts.exists() else 0
        if seen < fault["times"]:
            counts.write_text(str(seen + 1))
            FAULTS[fault["kind"]](self)


def _slow(model):
    model._token_s = 0.1


def _no_numbers(model):
    model._scale = np.float32(np.nan)


def _refuse(model):
    raise ModelError("3 tokens are refused with code -3", "take another")


def _say_and_abort(model):
    os.write(2, b"loading\n\nGGML_ASSERT(false) failed\n")
    os.kill(os.getpid(), signal.SIGABRT)


FAULTS = {
    "kill": lambda model: os.kill(os.getpid(), signal.SIGKILL),
    "null": lambda model: ctypes.string_at(0),
    "abort": _say_and_abort,
    "exit": lambda model: os._exit(7),
    "hang": lambda model: time.sleep(3600),
    "stop": lambda model: os.kill(os.getpid(), signal.SIGSTOP),
    "torn": lambda model: (os.write(TO_CALLER, b'{"event": "answer", "arrays": {"a'), os._exit(0)),
    "noise": lambda model: os.write(TO_CALLER, b"llama_perf: 3 ms\n"),
    "nan": _no_numbers,
    "slow": _slow,
    "refuse": _refuse,
    "crash": lambda model: 1 / 0,
}

if __name__ == "__main__":
    TO_CALLER = os.dup(1)
    llama_cpp_child._SECONDS_A_SIGN = 0.1
    if len(sys.argv) > 1:
        # The caller is in another process group: what ends it does not end this one.
        os.setpgrp()
    serve(FakeModel)
