"""How the GGUF files of a bundle are called, and the one key in them that is our own."""

from __future__ import annotations

from pathlib import Path

FOLDER = "gguf"
"""Of a bundle."""

_ADAPTER, _IMPORTANCE, _FILE = "-adapter", "-imatrix", ".gguf"
CONVERTER = "convert_hf_to_gguf.py"
"""llama.cpp's own, in the folder of its sources."""

WEIGHTS_KEY = "stillhouse.weights.sha256"
"""In a file: of the model that it was made from; an adapter names the one that it belongs to."""


def file_name(name: str, weights: str) -> str:
    """Of a whole student's file, as the Hugging Face Hub and Ollama read it."""
    return f"{name}{file_ending(weights)}"


def adapter_name(name: str) -> str:
    """Of an adapter's file."""
    return f"{name}{_ADAPTER}{_FILE}"


def importance_name(name: str) -> str:
    """Of the file with the importance of the matrices' columns."""
    return f"{name}{_IMPORTANCE}{_FILE}"


def file_ending(weights: str) -> str:
    """What the name of a whole student's file ends in."""
    return f"-{weights.upper()}{_FILE}"


def is_adapter(name: str) -> bool:
    """Whether a file is called as an adapter's."""
    return name.endswith(_ADAPTER + _FILE)


def is_student(name: str) -> bool:
    """Whether a file is called as a whole student's, which can be asked as it is."""
    return name.endswith(_FILE) and not name.endswith((_ADAPTER + _FILE, _IMPORTANCE + _FILE))


def gguf_file(bundle: Path, weights: str) -> Path:
    """The whole student's file of those weights in a bundle."""
    (found,) = (bundle / FOLDER).glob(f"*{file_ending(weights)}")
    return found
