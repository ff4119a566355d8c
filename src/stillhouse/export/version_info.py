"""The facts of a bundle in one small file, for whoever deploys it: `version_info.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from stillhouse.core.files import write_json
from stillhouse.export.int8_order import Int8Report
from stillhouse.export.llama_cpp_order import GgufReport

VERSION_INFO = "version_info.json"
_NAMED = {"christian_accuracy": "christian_accuracy", "secular_improvement": "improved_share"}
"""Numbers of the songs that stand at the top as well: their name there to their metric."""


@dataclass(frozen=True, slots=True)
class VersionFacts:
    """Where a bundle comes from.

    Attributes:
        version: of the export, by its inputs.
        training_date: the day on which the training ended, ISO 8601, in UTC.
        base_model: hub id or description of what the student started from.
        training_data_size: examples that it learned from.
        validation_metrics: metric -> its value with `low` and `high`.
        measured_against: whose answers: `gold` or `teacher`; told where they are the teacher's.
    """

    version: str
    training_date: str
    base_model: str
    training_data_size: int
    validation_metrics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    measured_against: str = "gold"


def version_info(
    facts: VersionFacts, gguf: Sequence[GgufReport] = (), int8: Int8Report | None = None
) -> dict[str, Any]:
    """What the file says.

    Args:
        facts: where the bundle comes from.
        gguf: what each file for llama.cpp was proved to be.
        int8: what the form in 8 bits was proved to be; None without one.

    Returns:
        JSON values; a number that was not measured is null.
    """
    metrics = {name: dict(values) for name, values in sorted(facts.validation_metrics.items())}
    named = {name: metrics.get(metric, {}).get("value") for name, metric in _NAMED.items()}
    told = asdict(facts) | {"validation_metrics": metrics} | named
    if facts.measured_against == "gold":
        del told["measured_against"]
    proved: dict[str, Any] = {"gguf": [asdict(one) for one in gguf]} if gguf else {}
    return told | proved | ({"int8": asdict(int8)} if int8 else {})


def write_version_info(
    facts: VersionFacts | None,
    folder: Path,
    gguf: Sequence[GgufReport] = (),
    int8: Int8Report | None = None,
) -> None:
    """Write the file into a bundle; nothing where nobody says where it comes from."""
    if facts is not None:
        write_json(folder / VERSION_INFO, version_info(facts, gguf, int8))
