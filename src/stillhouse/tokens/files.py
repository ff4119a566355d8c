"""The files that make a tokenizer and its chat template, in an ordinary Hugging Face folder."""

from __future__ import annotations

import shutil
from pathlib import Path

from stillhouse.core.errors import ModelError
from stillhouse.core.files import write_atomic
from stillhouse.core.hashing import digest_file, digest_value

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
)


def digest_tokenizer(folder: Path) -> str:
    """sha256 over the names and bytes of a tokenizer's own files that are there."""
    names = [name for name in TOKENIZER_FILES if (folder / name).is_file()]
    return digest_value([[name, digest_file(folder / name)] for name in names])


def copy_tokenizer(source: Path, folder: Path) -> None:
    """Copy a tokenizer's own files, and nothing else, from a model folder.

    Args:
        source: where they lie.
        folder: made when missing.

    Raises:
        ModelError: there is no tokenizer.json to copy.
    """
    if not (source / "tokenizer.json").is_file():
        raise ModelError(f"{source} has no tokenizer.json to put beside the weights")
    if source.resolve() == folder.resolve():
        return
    folder.mkdir(parents=True, exist_ok=True)
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)


def write_template(folder: Path, text: str) -> None:
    """Put a chat template beside a tokenizer's files, where it goes before any other there."""
    write_atomic(folder / "chat_template.jinja", text.encode())
