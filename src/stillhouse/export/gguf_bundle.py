"""The GGUF files of a bundle: written, quantised, and proved in llama.cpp before they count."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from stillhouse.core.errors import ArtifactError, ModelError
from stillhouse.engines.gguf_examiner import GgufExaminer, quantise_gguf, require_llama_cpp
from stillhouse.engines.gguf_head import read_gguf_head
from stillhouse.export.converter import convert_folder
from stillhouse.export.gguf_architectures import ARCHITECTURES
from stillhouse.export.gguf_lora import write_gguf_adapter
from stillhouse.export.gguf_model import GgufFacts, write_gguf
from stillhouse.export.gguf_parity import LIMITS, check_gguf
from stillhouse.export.gguf_write import Weights
from stillhouse.export.importance import Importance, write_importance
from stillhouse.export.llama_cpp_order import GgufReport
from stillhouse.export.reference import Reference
from stillhouse.models.source import open_folder
from stillhouse.recipes.gguf_names import (
    WEIGHTS_KEY,
    adapter_name,
    file_name,
    importance_name,
)
from stillhouse.recipes.measuring import GgufWeights

_LEAST_MOVE = 1e-6
"""assumption: far below what one step of training moves a logit by."""


@dataclass(frozen=True, slots=True)
class GgufOrder:
    """What is written.

    Attributes:
        weights: a file each.
        max_kl: weights -> nats a token, where another limit than ours is accepted.
        facts: what the files say of the student.
        student: what they must answer like.
        threads: of llama.cpp; 0 takes every processor.
        importance: of the columns of the matrices; None where all count alike.
        llama_cpp: folder of llama.cpp, whose converter writes what is not written here; None
            without one.
    """

    weights: Sequence[GgufWeights]
    facts: GgufFacts
    student: Reference
    max_kl: Mapping[GgufWeights, float] = field(default_factory=dict)
    threads: int = 0
    importance: Importance | None = None
    llama_cpp: Path | None = None


def export_gguf(merged: Path, folder: Path, order: GgufOrder) -> tuple[GgufReport, ...]:
    """Write a whole student, once for each of the weights, and prove each file.

    Args:
        merged: an ordinary model folder.
        folder: of the files; made when missing.
        order: what is written.

    Returns:
        What each file was proved to be.

    Raises:
        UsageError: llama-cpp-python is not installed.
        ModelError: llama.cpp has no such model or tokenizer.
        ArtifactError: a file does not answer as the student does.
    """
    require_llama_cpp()
    reports = []
    for weights in order.weights:
        path = folder / file_name(order.facts.name, weights)
        _write(merged, path, weights, order)
        with GgufExaminer(path, order.threads) as examiner:
            report = _checked(examiner, path, weights, order)
        if order.importance and weights == "q4_k_m":
            report = replace(report, importance_tokens=order.importance.num_tokens)
        reports.append(report)
    if order.importance:
        write_importance(order.importance, folder / importance_name(order.facts.name))
    return tuple(reports)


def export_gguf_adapter(
    adapter: Path, base: Path, folder: Path, order: GgufOrder
) -> tuple[GgufReport, ...]:
    """Write an adapter, and prove it on its base in float32.

    Args:
        adapter: in PEFT's layout.
        base: folder of the model under it, with its tokenizer.
        folder: of the file; made when missing.
        order: what is written; its weights are of whole students.

    Returns:
        What the file was proved to be.

    Raises:
        UsageError: llama-cpp-python is not installed.
        ModelError: the adapter does what no such file says.
        ArtifactError: base and adapter do not answer as the student does, or as the base alone.
    """
    require_llama_cpp()
    if open_folder(base).tokenizer.digest != order.student.tokenizer.digest:
        raise ModelError(
            "the student's tokenizer is not its base's: tokens were added, and an adapter's file "
            "has no place for their rows",
            "ship the merged student instead: export.formats: [merged, gguf]",
        )
    path = folder / adapter_name(order.facts.name)
    write_gguf_adapter(adapter, base, path, order.facts)
    under = folder / f".{path.name}.base.gguf"
    try:
        write_gguf(base, order.student.template, under, "f32", order.facts)
        require_same_base(path, under)
        with GgufExaminer(under, order.threads) as examiner:
            _require_effect(examiner, path, order.student)
            return (_checked(examiner, path, "f32", order),)
    finally:
        under.unlink(missing_ok=True)


def require_same_base(adapter: Path, base: Path) -> None:
    """Refuse an adapter's file on another base; llama.cpp looks at shapes alone.

    Args:
        adapter: its file.
        base: the file of a whole model.

    Raises:
        ArtifactError: the adapter names other weights than those that the base was made from.
    """
    names = [read_gguf_head(path).facts.get(WEIGHTS_KEY) for path in (adapter, base)]
    if names[0] != names[1]:
        raise ArtifactError(
            f"{adapter.name} was trained on the weights {names[0]}, {base.name} holds {names[1]}",
            "take the base that its config names, written as GGUF by Stillhouse",
        )


def _write(merged: Path, path: Path, weights: GgufWeights, order: GgufOrder) -> None:
    if weights != "q4_k_m" and weights != "mxfp4":
        _write_plain(merged, path, weights, order)
        return
    whole = path.with_name(f".{path.name}.f32.gguf")
    try:
        _write_plain(merged, whole, "f32", order)
        means = order.importance.means() if order.importance else None
        quantise_gguf(whole, path, weights, order.threads, means)
    finally:
        whole.unlink(missing_ok=True)


def _write_plain(merged: Path, path: Path, weights: Weights, order: GgufOrder) -> None:
    """Without llama.cpp's own rounding; what is written here is not left to its converter."""
    config = json.loads((merged / "config.json").read_bytes())
    if order.llama_cpp and config.get("model_type") not in ARCHITECTURES:
        convert_folder(merged, order.student.template, path, weights, order.llama_cpp)
    else:
        write_gguf(merged, order.student.template, path, weights, order.facts)


def _checked(
    examiner: GgufExaminer, path: Path, weights: GgufWeights, order: GgufOrder
) -> GgufReport:
    limit = order.max_kl.get(weights, LIMITS[weights])
    try:
        return check_gguf(examiner, path, weights, order.student, limit)
    except ArtifactError:
        path.unlink(missing_ok=True)
        raise


def _require_effect(examiner: GgufExaminer, path: Path, student: Reference) -> None:
    """Leave the adapter on; it must have moved a logit of one prompt at least."""
    prompts = [
        student.tokenizer.encode(student.template.prompt_text(example.prompt))[0]
        for example in student.examples
    ]
    bare = [examiner.logits(ids) for ids in prompts]
    examiner.put_adapter(path)
    moved = max(
        float(abs(examiner.logits(ids) - before).max())
        for ids, before in zip(prompts, bare, strict=True)
    )
    if not moved > _LEAST_MOVE:
        raise ArtifactError(
            f"{path.name} changes nothing: no logit of {len(prompts)} prompts moves by more than "
            f"{_LEAST_MOVE:g}",
            "it was not trained, or is not used: look at its learning curve",
        )
