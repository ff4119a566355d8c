"""A student in all the forms that the recipe asks for, each proved before it counts."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from peft import PeftModel
from transformers import PreTrainedModel

from stillhouse.core.errors import NotBuiltError, UsageError
from stillhouse.core.files import disk_full_is_clear
from stillhouse.core.hashing import digest_file
from stillhouse.export.llama_cpp_order import GgufReport, LlamaCppOrder, Sources
from stillhouse.export.merge import merge_student, write_adapter, write_merged
from stillhouse.export.model_card import CardFacts, write_model_card
from stillhouse.export.parity import ParityReport, check_merge, check_reload
from stillhouse.export.version_info import VersionFacts, write_version_info
from stillhouse.models.load import PLAIN, LoadOptions
from stillhouse.tokens.files import copy_tokenizer

FOR_LLAMA_CPP = ("gguf", "gguf_adapter", "modelfile")
BUILT = ("merged", "adapter", *FOR_LLAMA_CPP)
MERGED, ADAPTER, BASE = "merged", "adapter", "base"


@dataclass(frozen=True, slots=True)
class Student:
    """What is exported.

    Attributes:
        model: as it was trained, with or without an adapter.
        tokenizer_folder: where its tokenizer files are copied from.
        base: what an adapter's config names as its base model: a hub id, or a path relative to
            the bundle's `adapter/`.
        facts: for the model card.
        base_folder: the base model where nobody else has it; shipped beside the adapter as
            `base/`. None where `base` can be fetched or is at hand.
        options: how `model` was loaded.
        weights_folder: where the weights under the adapter lie here, for the mark beside it.
        llama_cpp: what is written for llama.cpp and Ollama.
        version: where the bundle comes from.
    """

    model: PreTrainedModel | PeftModel
    tokenizer_folder: Path
    base: str
    facts: CardFacts
    base_folder: Path | None = None
    options: LoadOptions = PLAIN
    weights_folder: Path | None = None
    llama_cpp: LlamaCppOrder | None = None
    version: VersionFacts | None = None


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What a bundle holds and how it was proved.

    Attributes:
        formats: the folders of the bundle.
        parity: one report a check.
        files: path inside the bundle -> sha256.
        gguf: what each file for llama.cpp was proved to be.
    """

    formats: tuple[str, ...]
    parity: tuple[ParityReport, ...]
    files: dict[str, str]
    gguf: tuple[GgufReport, ...] = ()


def export_student(
    student: Student, formats: Sequence[str], folder: Path, probes: Sequence[NDArray[np.int32]]
) -> ExportReport:
    """Write a bundle and prove it.

    Args:
        student: what is exported; left as it is.
        formats: of `BUILT`.
        folder: of the bundle; made when missing.
        probes: (T,) token ids each, on which adapter and merged student are compared.

    Returns:
        What was written, with the digest of every file, and what the checks found.

    Raises:
        NotBuiltError: a format that this version does not write.
        UsageError: an adapter is asked for and the student has none.
        ArtifactError: what was written is not what was trained.
    """
    unknown = [name for name in formats if name not in BUILT]
    if unknown:
        raise NotBuiltError(
            f"export.formats: {', '.join(unknown)} is not written by this version",
            f"it writes {' and '.join(BUILT)}",
        )
    if student.llama_cpp is None and set(FOR_LLAMA_CPP) & set(formats):
        raise UsageError(
            f"the format {', '.join(formats)} needs the template and examples of the student",
            "give them as Student.llama_cpp",
        )
    merged = merge_student(student.model)
    parity: list[ParityReport] = []
    gguf: tuple[GgufReport, ...] = ()
    with disk_full_is_clear(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if "merged" in formats:
            parity += _merged(student, merged, folder / MERGED, probes)
        if "adapter" in formats:
            write_adapter(student.model, folder / ADAPTER, student.base, student.weights_folder)
            copy_tokenizer(student.tokenizer_folder, folder / ADAPTER)
            if student.base_folder:
                shutil.copytree(student.base_folder, folder / BASE, copy_function=shutil.copyfile)
        if student.llama_cpp:
            gguf = _for_llama_cpp(student, merged, folder, formats)
        write_model_card(student.facts, tuple(formats), folder)
        write_version_info(student.version, folder, gguf)
    names = sorted(path for path in folder.rglob("*") if path.is_file())
    files = {path.relative_to(folder).as_posix(): digest_file(path) for path in names}
    return ExportReport(tuple(formats), tuple(parity), files, gguf)


def _merged(
    student: Student,
    merged: PreTrainedModel,
    folder: Path,
    probes: Sequence[NDArray[np.int32]],
) -> list[ParityReport]:
    reports = []
    if isinstance(student.model, PeftModel):
        reports.append(check_merge(student.model, merged, probes))
    write_merged(merged, student.tokenizer_folder, folder)
    return [*reports, check_reload(merged, folder, student.options)]


def _for_llama_cpp(
    student: Student, merged: PreTrainedModel, folder: Path, formats: Sequence[str]
) -> tuple[GgufReport, ...]:
    """The files of `gguf/`; what they are made from is written for them where it does not ship."""
    # Imported here, because the package gguf belongs to an extra.
    from stillhouse.export.llama_cpp import write_for_llama_cpp

    assert student.llama_cpp is not None
    with tempfile.TemporaryDirectory(prefix=".", dir=folder) as scratch:
        whole = folder / MERGED
        if "merged" not in formats:
            whole = Path(scratch) / MERGED
            write_merged(merged, student.tokenizer_folder, whole)
        adapter = None
        if "gguf_adapter" in formats:
            adapter = Path(scratch) / ADAPTER
            write_adapter(student.model, adapter, student.base)
        return write_for_llama_cpp(
            student.llama_cpp, merged, Sources(whole, adapter, student.weights_folder), folder
        )
