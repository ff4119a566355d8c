"""What a model folder says about itself, read without loading a weight.

A folder that passes `open_folder` has a config, a tokenizer, safetensors weights whose files all
exist, and an embedding with a row for every token.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stillhouse.core.errors import ModelError
from stillhouse.core.hashing import digest_file, digest_value
from stillhouse.tokens.tokenizer import TextTokenizer, load_tokenizer

WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_EMBEDDINGS = (
    "embed_tokens.weight",
    "shared.weight",
    "wte.weight",
    "word_embeddings.weight",
    "embed_in.weight",
    "tok_embeddings.weight",
    "embeddings.weight",
    "lm_head.weight",
)
GENERATION_CONFIG = "generation_config.json"
"""Names tokens that end a completion."""
_CONTEXT_KEYS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "n_ctx")
_MAX_HEADER_BYTES = 100_000_000  # assumption: the limit of the safetensors format itself


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A checked folder of one model; made by `open_folder`.

    Attributes:
        path: the folder.
        config: `config.json`.
        shapes: tensor name -> shape, for every stored tensor.
        tokenizer: text to ids.
        num_rows: rows of the embedding; more than the tokenizer's ids when they are padded.
    """

    path: Path
    config: dict[str, Any]
    shapes: dict[str, tuple[int, ...]]
    tokenizer: TextTokenizer
    num_rows: int

    @property
    def context_tokens(self) -> int | None:
        """The longest conversation the model was built for; None when its config has no limit."""
        return context_tokens(self.config)

    def weights_digest(self) -> str:
        """sha256 over the config and every weight file: what the model computes with."""
        names = ["config.json", *weight_files(self.path)]
        if (self.path / GENERATION_CONFIG).is_file():
            names.append(GENERATION_CONFIG)
        if "auto_map" in self.config:
            names += sorted(path.name for path in self.path.glob("*.py"))
        return digest_value([[name, digest_file(self.path / name)] for name in names])


def open_folder(path: Path, *, with_weights: bool = True) -> ModelFolder:
    """The model in a folder, checked.

    Args:
        path: an ordinary Hugging Face model folder.
        with_weights: False for a folder that holds config and tokenizer alone so far.

    Returns:
        What the folder says, without a weight loaded.

    Raises:
        ModelError: something is missing, torn, pickled or does not fit together.
    """
    if not path.is_dir():
        raise ModelError(
            f"there is no model folder {path}", "check the path, or give a hub id with `hub:`"
        )
    config = _read_json(path / "config.json", "a model folder has one beside its weights")
    tokenizer = load_tokenizer(path)
    shapes = _read_shapes(path) if with_weights else {}
    num_tokens = tokenizer.vocab_size
    num_rows = _embedding_rows(shapes, config)
    if num_tokens > num_rows:
        raise ModelError(
            f"{path}: the tokenizer's highest id is {num_tokens - 1}, but the embedding has "
            f"{num_rows} rows (ids 0 to {num_rows - 1})",
            "tokenizer and weights are of two models, or tokens were added without "
            "resize_token_embeddings: take both from one place",
        )
    return ModelFolder(path, config, shapes, tokenizer, num_rows)


def tokenizer_difference(teacher: ModelFolder, student: ModelFolder) -> str:
    """The first thing in which two models' tokenizers differ, in words; empty if they do not.

    Args:
        teacher: checked folder.
        student: checked folder.

    Returns:
        A clause; equal tokenizers cut any text into the same ids.
    """
    ours, theirs = teacher.tokenizer, student.tokenizer
    return "" if ours.digest == theirs.digest else _difference(ours, theirs)


def context_tokens(config: dict[str, Any]) -> int | None:
    """The longest input, in tokens, that a config allows; None when it names no limit."""
    for part in (config, config.get("text_config") or {}):
        for key in _CONTEXT_KEYS:
            if isinstance(part.get(key), int):
                return int(part[key])
    return None


def weight_files(path: Path) -> tuple[str, ...]:
    """Names of the safetensors files that hold the model.

    Args:
        path: a model folder.

    Returns:
        File names, sorted.

    Raises:
        ModelError: there are none, only pickles, or the index names a file that is missing.
    """
    if (path / WEIGHTS_INDEX).is_file():
        return _indexed_files(path)
    if (path / WEIGHTS).is_file():
        return (WEIGHTS,)
    pickles = sorted(file.name for pattern in _PICKLES for file in path.glob(pattern))
    if pickles:
        raise ModelError(
            f"{path} holds pickle weights only ({', '.join(pickles[:3])}); a pickle can run any "
            "code when it is opened, so it is never loaded",
            "take the model's safetensors revision, or convert it where you trust the file: "
            "AutoModelForCausalLM.from_pretrained(folder, use_safetensors=False)"
            ".save_pretrained(new_folder)",
        )
    raise ModelError(
        f"{path} has no {WEIGHTS} and no {WEIGHTS_INDEX}",
        "the download may be incomplete; a folder that holds an adapter alone needs its base model",
    )


def read_header(file: Path) -> dict[str, tuple[int, ...]]:
    """The tensors of one safetensors file, from its header alone.

    Args:
        file: a safetensors file.

    Returns:
        Name -> shape.

    Raises:
        ModelError: the file is torn or no safetensors file.
    """
    return {name: tuple(entry["shape"]) for name, entry in read_entries(file).items()}


def read_entries(file: Path) -> dict[str, dict[str, Any]]:
    """What the header of one safetensors file says of each tensor.

    Args:
        file: a safetensors file.

    Returns:
        Name -> `dtype`, `shape` and `data_offsets`, which count from the start of the file.

    Raises:
        ModelError: the file is torn or no safetensors file.
    """
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > min(size - 8, _MAX_HEADER_BYTES):
                raise ValueError(f"the header says {length} bytes, the file has {size}")
            header = json.loads(stream.read(length))
        header.pop("__metadata__", None)
        end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
        if size != 8 + length + end:
            raise ValueError(f"the file should have {8 + length + end} bytes, it has {size}")
        return {
            name: {
                "dtype": entry["dtype"],
                "shape": entry["shape"],
                "data_offsets": [8 + length + place for place in entry["data_offsets"]],
            }
            for name, entry in header.items()
        }
    except (struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{file} is no whole safetensors file: {error}", "download or export it again"
        ) from error


def _indexed_files(path: Path) -> tuple[str, ...]:
    index = _read_json(path / WEIGHTS_INDEX)
    names = sorted(set(index.get("weight_map", {}).values()))
    missing = [n for n in names if Path(n).name != n or not (path / n).is_file()]
    if missing or not names:
        raise ModelError(
            f"{path / WEIGHTS_INDEX} names {len(names)} files, of which "
            f"{', '.join(missing) or 'all'} {'are' if len(missing) != 1 else 'is'} missing",
            "the download or copy is incomplete: fetch the missing files",
        )
    return tuple(names)


def _read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for name in weight_files(path):
        shapes |= read_header(path / name)
    if not (path / WEIGHTS_INDEX).is_file():
        return shapes
    missing = sorted(set(_read_json(path / WEIGHTS_INDEX)["weight_map"]) - shapes.keys())
    if missing:
        raise ModelError(
            f"{path}: no file holds {len(missing)} tensors of the index, first {missing[0]}",
            "index and weight files are of two versions: fetch both again",
        )
    return shapes


def _embedding_rows(shapes: dict[str, tuple[int, ...]], config: dict[str, Any]) -> int:
    for suffix in _EMBEDDINGS:
        for name, shape in shapes.items():
            if name.endswith(suffix) and len(shape) == 2:
                return shape[0]
    stated = config.get("vocab_size") or (config.get("text_config") or {}).get("vocab_size")
    if not isinstance(stated, int):
        raise ModelError(
            "no embedding found among the weights and no vocab_size in config.json",
            "only causal language models over tokens can be used",
        )
    return stated


def _read_json(path: Path, hint: str = "") -> dict[str, Any]:
    if not path.is_file():
        raise ModelError(f"{path.parent} has no {path.name}", hint)
    try:
        value = json.loads(path.read_bytes())
    except ValueError as error:
        raise ModelError(f"{path} is no JSON: {error}", "download or copy it again") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path} holds no JSON object", "download or copy it again")
    return value


def _difference(teacher: TextTokenizer, student: TextTokenizer) -> str:
    sizes = teacher.vocab_size, student.vocab_size
    for token_id in range(min(sizes)):
        ours, theirs = teacher.token_of(token_id), student.token_of(token_id)
        if ours != theirs:
            return f"id {token_id} is {ours!r} for the teacher and {theirs!r} for the student"
    if sizes[0] != sizes[1]:
        return f"{sizes[0]} ids against {sizes[1]}"
    return "the same tokens, but other rules for cutting text, or other special tokens"
