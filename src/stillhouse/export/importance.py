"""How much goes through each column of a student's matrices: llama.cpp's importance matrix.

A weight that is multiplied with large numbers should be rounded with more care, so that files of
few bits weigh each column by the mean square of its input. It is measured here, on texts that the
student learned from, and written as llama.cpp's own tools read it. Legend: H columns.

Source: llama.cpp, `tools/imatrix` and `llama_model_imatrix_data`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from stillhouse.core.errors import ModelError
from stillhouse.core.rows import Example
from stillhouse.export.gguf_tensors import tensor_names
from stillhouse.export.gguf_write import TensorToWrite, write_tensors
from stillhouse.export.reference import logits_of
from stillhouse.tokens.encode import encode_conversation, encode_prompt
from stillhouse.tokens.template import Template
from stillhouse.tokens.tokenizer import TextTokenizer

_DATASET = "prompts and answers that the student learned from"


@dataclass(frozen=True, slots=True, eq=False)
class Importance:
    """The importance of every column.

    Attributes:
        squares: llama.cpp's name of a matrix -> (H,) sums of the squares of its inputs, float64.
        num_tokens: over which they are summed.
        num_texts: whose tokens these are.
        longest: tokens of the longest text.
    """

    squares: dict[str, NDArray[np.float64]]
    num_tokens: int
    num_texts: int
    longest: int

    def means(self) -> dict[str, NDArray[np.float32]]:
        """(H,) mean squares, by the name of the matrix."""
        return {
            name: (squares_H / self.num_tokens).astype(np.float32)
            for name, squares_H in self.squares.items()
        }


def texts_of(
    examples: Sequence[Example], template: Template, tokenizer: TextTokenizer
) -> list[NDArray[np.int32]]:
    """(T,) ids of conversations; of prompts alone where no answer is known."""
    return [
        encode_conversation(one.messages(), template, tokenizer).ids
        if one.answer is not None
        else encode_prompt(one.prompt, template, tokenizer)
        for one in examples
    ]


def measure_importance(model: PreTrainedModel, texts: Sequence[NDArray[np.int32]]) -> Importance:
    """Watch the inputs of every linear layer while a model reads texts.

    Args:
        model: merged; left as it is.
        texts: (T,) token ids each.

    Returns:
        What went through each column.

    Raises:
        ModelError: there is no text.
    """
    if not texts:
        raise ModelError(
            "export.gguf.importance is measured on examples that the student learned from, and "
            "there are none",
            "name a part with examples under train.parts, or take importance out",
        )
    found: dict[str, NDArray[np.float64]] = {}
    with _watched(model, found):
        for ids in texts:
            logits_of(model, ids)
    return Importance(found, sum(map(len, texts)), len(texts), max(map(len, texts)))


def write_importance(importance: Importance, path: Path) -> None:
    """Write it as `llama-quantize --imatrix` reads it.

    Args:
        importance: what was measured.
        path: replaced by the whole file, or left as it is.
    """
    writer = gguf.GGUFWriter(None, "imatrix")
    # The writer names an architecture by itself, of which such a file has none.
    writer.kv_data[0].clear()
    writer.add_type("imatrix")
    writer.add_array("imatrix.datasets", [_DATASET])
    writer.add_uint32("imatrix.chunk_count", importance.num_texts)
    writer.add_uint32("imatrix.chunk_size", importance.longest)
    count = np.array([importance.num_tokens], np.float32)
    tensors = []
    for name, squares_H in sorted(importance.squares.items()):
        sums_H = squares_H.astype(np.float32)
        tensors.append(_tensor(f"{name}.in_sum2", sums_H[None]))
        tensors.append(_tensor(f"{name}.counts", count[None]))
    write_tensors(writer, path, tensors, "f32")


def _tensor(name: str, values: NDArray[np.float32]) -> TensorToWrite:
    return TensorToWrite(name, values.shape, True, lambda: values)


@contextmanager
def _watched(model: PreTrainedModel, found: dict[str, NDArray[np.float64]]) -> Iterator[None]:
    names = tensor_names(model.config.to_dict())
    embedding = model.get_input_embeddings()
    handles = []
    for name, layer in model.named_modules():
        if not isinstance(layer, nn.Linear | Conv1D):
            continue
        is_tied = layer.weight is embedding.weight
        own = names.get_name(f"{name}.weight", (".weight",))
        target = "token_embd.weight" if is_tied else own
        if target is not None:
            handles.append(layer.register_forward_pre_hook(_adding(found, target)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _adding(found: dict[str, NDArray[np.float64]], name: str) -> Callable[[Any, Any], None]:
    def add(_: nn.Module, told: tuple[Tensor, ...]) -> None:
        hidden_BTH = told[0].detach().to(torch.float64)
        squares_H = hidden_BTH.square().flatten(0, -2).sum(dim=0).cpu().numpy()
        found[name] = found.get(name, np.zeros_like(squares_H)) + squares_H

    return add
