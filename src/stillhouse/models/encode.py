"""Texts to vectors, by a model of sentence-transformers; torch is imported when the first is made.

Texts are taken in the order of their length, in lots. A lot that is made lies in a file, so that a
second start makes the missing ones alone, of the same texts and so with the same bits.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.core.errors import ModelError, UsageError
from stillhouse.core.files import write_atomic
from stillhouse.core.hashing import digest_file, digest_value
from stillhouse.models.source import read_header, weight_files

MODULES = "modules.json"
ENCODER_FILES = (
    MODULES,
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "*_*/config.json",
    "vocab.txt",
)
"""What a model of sentence-transformers has beside a language model's files."""

_READ = {".json", ".txt", ".model", ".safetensors"}
_PICKLES = {".bin", ".pt", ".pth", ".ckpt"}
_LOT = 2048
"""assumption: two to ten seconds of work on one processor, lost when it is killed."""
_BATCH = 64
"""assumption: of 256 tokens each, 100 MB at a hidden size of 384."""


@dataclass(frozen=True, slots=True)
class TextEncoder:
    """Makes vectors of texts; picklable, so that other processes can too.

    Attributes:
        folder: that `require_encoder` has accepted.
        kept: where lots are kept; None keeps none.
        device: as torch names it.
        dtype: of the weights, `float32` or `bfloat16`.
    """

    folder: Path
    kept: Path | None = None
    device: str = "cpu"
    dtype: str = "float32"

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The directions of texts.

        Args:
            texts: any; beyond the model's longest input they are cut.

        Returns:
            (N, H), each of length 1.

        Raises:
            ModelError: the model cannot be loaded, or gives a vector that is not finite or zero.
            UsageError: sentence-transformers is not installed.
        """
        distinct = sorted(set(texts), key=lambda text: (len(text), text))
        lots = [self._lot(distinct[s : s + _LOT]) for s in range(0, len(distinct), _LOT)]
        if not lots:
            return np.zeros((0, 1), np.float32)
        made = np.concatenate(lots)
        place = {text: number for number, text in enumerate(distinct)}
        return made[[place[text] for text in texts]]

    def _lot(self, texts: Sequence[str]) -> NDArray[np.float32]:
        path = self.kept / f"{digest_value(list(texts))[:32]}.npy" if self.kept else None
        if path and path.is_file():
            found: NDArray[np.float32] = np.load(path, allow_pickle=False)
            return found
        vectors = self._make(texts)
        if path:
            stream = io.BytesIO()
            np.save(stream, vectors, allow_pickle=False)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, stream.getvalue())
        return vectors

    def _make(self, texts: Sequence[str]) -> NDArray[np.float32]:
        model = _load(self.folder, self.device, self.dtype)
        # Half of a surrogate pair is no character that a tokenizer could take.
        readable = [text.encode("utf-8", "replace").decode() for text in texts]
        vectors = model.encode(
            readable, batch_size=_BATCH, show_progress_bar=False, convert_to_numpy=True
        ).astype(np.float32)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        bad = np.flatnonzero(~(np.isfinite(lengths[:, 0]) & (lengths[:, 0] > 0)))
        if len(bad):
            raise ModelError(
                f"{self.folder} gives no direction for {len(bad):,} of {len(texts):,} texts, first "
                f"for {texts[bad[0]][:60]!r}: not finite, or zero",
                "the weights may be damaged, or overflow: fetch them again, set compute.dtype: "
                "float32, or take another model",
            )
        directions: NDArray[np.float32] = vectors / lengths
        return directions


@functools.lru_cache(maxsize=1)
def _load(folder: Path, device: str, dtype: str) -> Any:
    try:
        import torch
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise UsageError(
            f"vectors of texts need {error.name}, which is not installed",
            'pip install "stillhouse[embed]", or take by: tfidf',
        ) from error
    from stillhouse.models.load import quiet_transformers

    try:
        with quiet_transformers():
            return SentenceTransformer(
                str(folder),
                device=device,
                local_files_only=True,
                trust_remote_code=False,
                model_kwargs={"dtype": getattr(torch, dtype), "use_safetensors": True},
            )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise ModelError(
            f"{folder} cannot be loaded as a model of sentence-transformers: "
            f"{type(error).__name__}: {error}",
            "check that the folder is whole, or take another model",
        ) from error


def require_encoder(folder: Path, *, with_weights: bool = True) -> None:
    """Make sure that a folder holds a model of sentence-transformers; no weight is loaded.

    Args:
        folder: of the model.
        with_weights: False for a folder that holds no weights so far.

    Raises:
        ModelError: there is none, a file is torn, or weights are pickled.
    """
    if not folder.is_dir():
        raise ModelError(
            f"there is no model folder {folder}", "check the path, or give a hub id with `hub:`"
        )
    if not (folder / MODULES).is_file():
        raise ModelError(
            f"{folder} is no model of sentence-transformers: it has no {MODULES}",
            "take one that was saved by sentence-transformers, such as "
            "sentence-transformers/all-MiniLM-L6-v2",
        )
    if not with_weights:
        return
    for name in weight_files(folder):
        read_header(folder / name)
    for path in folder.glob("*_*/*"):
        if path.suffix in _PICKLES and not (path.parent / "model.safetensors").is_file():
            raise ModelError(
                f"{path} is a pickle, which can run any code when it is opened",
                "take a revision of the model with safetensors",
            )


def digest_encoder(folder: Path) -> str:
    """sha256 over every file of a folder that shapes its vectors: weights, tokenizer, settings."""
    files = [path for path in folder.rglob("*") if path.suffix in _READ and path.is_file()]
    named = sorted((path.relative_to(folder).as_posix(), path) for path in files)
    return digest_value([[name, digest_file(path)] for name, path in named])
