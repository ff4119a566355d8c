"""A student in all the forms that the recipe asks for, each proved before it counts."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from peft import PeftModel
from transformers import PreTrainedModel

from stillhouse.core.errors import NotBuiltError, UsageError
from stillhouse.core.files import disk_full_is_clear
from stillhouse.core.hashing import digest_file
from stillhouse.export.data_card import DataFacts, write_data_card
from stillhouse.export.int8_order import INT8, Int8Order, Int8Report
from stillhouse.export.llama_cpp_order import GgufReport, LlamaCppOrder, Sources
from stillhouse.export.merge import merge_student, write_adapter, write_merged
from stillhouse.export.model_card import CardFacts, write_model_card
from stillhouse.export.parity import ParityReport, check_merge, check_reload
from stillhouse.export.reference import Reference
from stillhouse.export.version_info import VersionFacts, write_version_info
from stillhouse.models.inference import plain_model
from stillhouse.models.load import PLAIN, LoadOptions
from stillhouse.tokens.files import copy_tokenizer

FOR_LLAMA_CPP = ("gguf", "gguf_adapter", "modelfile")
BUILT = ("merged", "adapter", INT8, *FOR_LLAMA_CPP)
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
        int8: what the form in 8 bits is held against.
        data: for the data card.
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
    int8: Int8Order | None = None
    data: DataFacts | None = None


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What a bundle holds and how it was proved.

    Attributes:
        formats: the folders of the bundle.
        parity: one report a check.
        files: path inside the bundle -> sha256.
        gguf: what each file for llama.cpp was proved to be.
        int8: what the form in 8 bits was proved to be; None without one.
    """

    formats: tuple[str, ...]
    parity: tuple[ParityReport, ...]
    files: dict[str, str]
    gguf: tuple[GgufReport, ...] = ()
    int8: Int8Report | None = None


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
    missing = {*formats} & ({*FOR_LLAMA_CPP} if student.llama_cpp is None else set())
    missing |= {*formats} & ({INT8} if student.int8 is None else set())
    if missing:
        raise UsageError(
            f"the format {min(missing)} needs the template and examples of the student",
            "give them as Student.llama_cpp or Student.int8",
        )
    # An adapter alone is written without a second copy of the weights.
    merged = merge_student(student.model) if {*formats} - {ADAPTER} else plain_model(student.model)
    parity: list[ParityReport] = []
    int8: Int8Report | None = None
    gguf: tuple[GgufReport, ...] = ()
    with disk_full_is_clear(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if {*formats} - {ADAPTER} and isinstance(student.model, PeftModel):
            parity.append(check_merge(student.model, merged, probes))
        with _whole_folder(student, merged, folder, formats) as whole:
            if MERGED in formats:
                parity.append(check_reload(merged, whole, student.options))
            if INT8 in formats:
                int8 = _in_8_bits(student, merged, whole, folder / INT8)
            if student.llama_cpp:
                gguf = _for_llama_cpp(student, merged, whole, folder)
        if ADAPTER in formats:
            _write_adapter(student, folder)
        write_data_card(student.data, folder)
        write_model_card(student.facts, tuple(formats), folder)
        write_version_info(student.version, folder, gguf, int8)
    names = sorted(path for path in folder.rglob("*") if path.is_file())
    files = {path.relative_to(folder).as_posix(): digest_file(path) for path in names}
    return ExportReport(tuple(formats), tuple(parity), files, gguf, int8)


@contextmanager
def _whole_folder(
    student: Student, merged: PreTrainedModel, folder: Path, formats: Sequence[str]
) -> Iterator[Path]:
    """The merged student as a folder; deleted afterwards where it does not ship.

    Other forms are made from it; an adapter alone needs none.
    """
    with tempfile.TemporaryDirectory(prefix=".", dir=folder) as scratch:
        whole = folder / MERGED if MERGED in formats else Path(scratch) / MERGED
        if {*formats} - {ADAPTER, "modelfile"}:
            write_merged(merged, student.tokenizer_folder, whole)
        yield whole


def _write_adapter(student: Student, folder: Path) -> None:
    write_adapter(student.model, folder / ADAPTER, student.base, student.weights_folder)
    copy_tokenizer(student.tokenizer_folder, folder / ADAPTER)
    if student.base_folder:
        shutil.copytree(student.base_folder, folder / BASE, copy_function=shutil.copyfile)


def _in_8_bits(student: Student, merged: PreTrainedModel, whole: Path, folder: Path) -> Int8Report:
    # Imported here, because torchao belongs to an extra and takes its time.
    from stillhouse.export.int8 import check_int8, write_int8

    order = student.int8
    assert order is not None
    num_layers = write_int8(whole, folder)
    reference = Reference(
        merged,
        order.tokenizer,
        order.template,
        order.examples,
        order.max_new_tokens,
        order.answer_schema,
        order.wanted.max_schema_loss,
    )
    return check_int8(folder, num_layers, reference, order.wanted)


def _for_llama_cpp(
    student: Student, merged: PreTrainedModel, whole: Path, folder: Path
) -> tuple[GgufReport, ...]:
    """The files of `gguf/`; the adapter that one is made from is written for it alone."""
    # Imported here, because the package gguf belongs to an extra.
    from stillhouse.export.llama_cpp import write_for_llama_cpp

    assert student.llama_cpp is not None
    with tempfile.TemporaryDirectory(prefix=".", dir=folder) as scratch:
        adapter = None
        if student.llama_cpp.adapter:
            adapter = Path(scratch) / ADAPTER
            write_adapter(student.model, adapter, student.base)
        sources = Sources(whole, adapter, student.weights_folder)
        return write_for_llama_cpp(student.llama_cpp, merged, sources, folder)
