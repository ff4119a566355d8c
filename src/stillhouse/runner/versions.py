"""The versions of what a run stands on, for its manifests."""

from __future__ import annotations

import importlib.metadata
import os
import platform

_LIBRARIES = ("numpy", "pyarrow", "tokenizers", "torch", "transformers", "peft", "accelerate",
              "lm_eval", "gguf", "llama_cpp_python", "torchao")  # fmt: skip


def library_versions() -> dict[str, str]:
    """The versions that bytes may depend on."""
    versions = {"python": platform.python_version(), "machine": os.uname().machine}
    for name in _LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
