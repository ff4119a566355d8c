"""The student with its linear layers in 8 bits, in transformers' layout: safetensors, no pickle.

torchao rounds each row of a linear layer to 8 bits with a scale of its own; embeddings, head and
vectors stay in bfloat16. It passes over whatever is no linear layer without a word, such as GPT-2's
matrices and the experts of a mixture, so that such a student would ship as large as it was: it is
refused. Source: torchao, `Int8WeightOnlyConfig`; its safetensors layout,
`torchao.prototype.safetensors`.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import struct
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedModel, TorchAoConfig

from stillhouse.core.errors import ArtifactError, ModelError, UsageError
from stillhouse.core.files import disk_full_is_clear
from stillhouse.export.int8_order import INSTEAD, INT8, Int8Report, require_linear
from stillhouse.export.reference import (
    Distance,
    Reference,
    compare_answers,
    greedy_answer,
    logits_of,
    require_schema,
)
from stillhouse.models.load import load_model, quiet_transformers
from stillhouse.models.source import weight_files
from stillhouse.recipes.measuring import Int8
from stillhouse.tokens.files import copy_tokenizer

_REST = "bfloat16"
"""Of what is no linear layer. measured: 5e-5 nats a token of KL on 100 M random weights."""


def require_torchao() -> None:
    """Make sure that 8 bits can be written here; nothing is imported.

    Raises:
        UsageError: names the extra that brings it.
    """
    if importlib.util.find_spec("torchao") is None:
        raise UsageError(
            "export.formats: int8 is written by torchao, which is not installed",
            'pip install "stillhouse[int8]"',
        )


def write_int8(merged: Path, folder: Path) -> int:
    """Write a model folder anew with its linear layers in 8 bits; equal weights give equal bytes.

    Args:
        merged: an ordinary model folder with its tokenizer.
        folder: made when missing.

    Returns:
        How many linear layers are in 8 bits.

    Raises:
        UsageError: torchao is not installed.
        ModelError: its matrices are not those of linear layers.
        DiskFullError: there is no room for it.
    """
    require_torchao()
    quantization = importlib.import_module("torchao.quantization")

    require_linear(json.loads((merged / "config.json").read_bytes()))
    weight_files(merged)  # refuses pickles
    with disk_full_is_clear(folder), quiet_transformers():
        how = TorchAoConfig(quantization.Int8WeightOnlyConfig(set_inductor_config=False))
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            merged, dtype=_REST, quantization_config=how, use_safetensors=True,
            local_files_only=True,
        )  # fmt: skip
        rounded = _rounded_layers(model)
        folder.mkdir(parents=True, exist_ok=True)
        model.save_pretrained(folder)
        for name in weight_files(folder):
            _order_header(folder / name)
        copy_tokenizer(merged, folder)
    return len(rounded)


def check_int8(folder: Path, num_layers: int, student: Reference, wanted: Int8) -> Int8Report:
    """Hold the form against its student, loaded as anybody loads it.

    Args:
        folder: of the form.
        num_layers: linear layers in 8 bits.
        student: what it must answer like.
        wanted: how near.

    Returns:
        What was compared, and how near it is.

    Raises:
        ArtifactError: it drifts; names in what.
    """
    model = load_model(folder, device=student.model.device.type, dtype=_REST)
    assert isinstance(model, PreTrainedModel)
    found = Distance()
    for ids in student.texts():
        found.add(logits_of(student.model, ids), logits_of(model, ids))
    answers = compare_answers(
        student, lambda prompt, most, ends: greedy_answer(model, prompt, most, ends)
    )
    if not found.mean_kl <= wanted.max_kl:  # also when it is NaN
        raise ArtifactError(
            f"{INT8} is not the student that was measured: its mean KL to the student is "
            f"{found.mean_kl:.3g} nats a token, more than {wanted.max_kl:g}; the likeliest token "
            f"is the same at {found.top1_agreement:.1%}",
            "take int8 out of export.formats, or raise export.int8.max_kl",
        )
    require_schema(INT8, answers, wanted.max_schema_loss)
    return Int8Report(
        sum((folder / name).stat().st_size for name in weight_files(folder)),
        num_layers,
        found.num_positions,
        found.largest,
        found.mean_kl,
        found.top1_agreement,
        answers.same,
        answers.schema_valid,
        answers.schema_lost,
    )


def _rounded_layers(model: PreTrainedModel) -> Sequence[str]:
    """Names of the layers in 8 bits; whatever else has rows and columns must be an embedding."""
    apart = {id(one.weight) for one in model.modules() if isinstance(one, nn.Embedding)}
    head = model.get_output_embeddings()
    if head is not None:
        apart.add(id(head.weight))
    rounded = [name for name, one in model.named_parameters() if type(one.data) is not torch.Tensor]
    plain = [
        name
        for name, one in model.named_parameters()
        if type(one.data) is torch.Tensor and one.dim() > 1 and id(one) not in apart
    ]
    if plain or not rounded:
        what = f"{plain[0]} is no weight of a linear layer" if plain else "it has no linear layer"
        raise ModelError(
            f"{model.config.model_type} cannot be written as int8: {what}, and torchao rounds "
            "those alone",
            INSTEAD,
        )
    return rounded


def _order_header(path: Path) -> None:
    """Sort the keys of a safetensors header in place; its writer keeps them in no order."""
    with path.open("r+b") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        header = json.loads(stream.read(length))
        told = json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        ordered = told.encode().ljust(length)
        if len(ordered) != length:
            raise ArtifactError(f"{path}: its header does not fit its place", "export again")
        stream.seek(8)
        stream.write(ordered)
