"""The adapters of a student with domains as a bundle: the files of the training, byte by byte."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stillhouse.core.errors import ArtifactError
from stillhouse.core.files import disk_full_is_clear, write_json
from stillhouse.core.hashing import digest_file
from stillhouse.export.bundle import BASE, ExportReport
from stillhouse.export.data_card import DataFacts, write_data_card
from stillhouse.export.model_card import CardFacts, write_model_card
from stillhouse.export.parity import ParityReport
from stillhouse.export.version_info import VersionFacts, write_version_info
from stillhouse.models.fingerprint import BASE_MARK
from stillhouse.models.load import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from stillhouse.models.source import read_header
from stillhouse.tokens.files import copy_tokenizer

FORMAT = "adapters_kd"


@dataclass(frozen=True, slots=True)
class DomainStudent:
    """What is exported.

    Attributes:
        adapters: the folder of each domain's adapter.
        further: files beside the weights that ship with each adapter, by name.
        tokenizer_folder: where the tokenizer files are copied from.
        base: what the adapters' configs name as their base model: a hub id, or a path relative to
            an adapter's folder in the bundle.
        facts: for the model card.
        base_folder: the base where nobody else has it; shipped as `base`.
        version: where the bundle comes from.
        data: for the data card.
    """

    adapters: Mapping[str, Path]
    further: tuple[str, ...]
    tokenizer_folder: Path
    base: str
    facts: CardFacts
    base_folder: Path | None = None
    version: VersionFacts | None = None
    data: DataFacts | None = None


def export_domains(student: DomainStudent, folder: Path) -> ExportReport:
    """Write a bundle of adapters and prove it; no weight is changed on the way.

    Args:
        student: what is exported.
        folder: of the bundle; made when missing.

    Returns:
        What was written, with the digest of every file.

    Raises:
        ArtifactError: weights in the bundle are not those that were trained.
    """
    with disk_full_is_clear(folder):
        for name, source in student.adapters.items():
            _copy(source, folder / FORMAT / name, student)
        copy_tokenizer(student.tokenizer_folder, folder / "tokenizer")
        if student.base_folder:
            shutil.copytree(student.base_folder, folder / BASE, copy_function=shutil.copyfile)
        write_data_card(student.data, folder)
        write_model_card(student.facts, (FORMAT,), folder)
        write_version_info(student.version, folder)
    parity = tuple(_check(source, folder / FORMAT / name)
                   for name, source in student.adapters.items())  # fmt: skip
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    files = {path.relative_to(folder).as_posix(): digest_file(path) for path in paths}
    return ExportReport((FORMAT,), parity, files)


def _copy(source: Path, target: Path, student: DomainStudent) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for name in (ADAPTER_WEIGHTS, BASE_MARK, *student.further):
        shutil.copyfile(source / name, target / name)
    config = json.loads((source / ADAPTER_CONFIG).read_bytes())
    write_json(target / ADAPTER_CONFIG, config | {"base_model_name_or_path": student.base})


def _check(source: Path, target: Path) -> ParityReport:
    ours, theirs = source / ADAPTER_WEIGHTS, target / ADAPTER_WEIGHTS
    if digest_file(ours) != digest_file(theirs):
        raise ArtifactError(f"{theirs} is not what was trained", "export again: is the disk whole?")
    return ParityReport(
        f"adapter of {target.name} against its training", len(read_header(theirs)), 0.0
    )
