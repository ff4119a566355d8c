"""A run's examples as chat files, for tools that train on such files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from stillhouse.core.errors import InputError, UsageError
from stillhouse.core.rows import PARTS
from stillhouse.data.chat_lines import write_chat_files
from stillhouse.data.nearest import did_you_mean
from stillhouse.data.storage import iterate_examples
from stillhouse.runner.run import Place
from stillhouse.runner.run_facts import RunFacts
from stillhouse.stages.corpus import EXAMPLES

USUAL: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "train_annotations": ("teacher", "labelled"),
        "val_annotations": ("validation",),
        "test_annotations": ("holdout",),
    }
)
"""Which parts go into which file, when nothing else is said."""


def write_run_chat(
    place: Place, folder: Path, files: Mapping[str, Sequence[str]] = USUAL
) -> dict[str, int]:
    """Write the examples of a run as chat files.

    Args:
        place: of a run whose stage `prepare` is done.
        folder: for the files.
        files: name without suffix to the parts that go into it.

    Returns:
        Name of each file to its lines.

    Raises:
        UsageError: a part that there is not, or that stands twice, or a name that is a path.
        InputError: the run has no examples yet, or none in these parts.
    """
    _check(files)
    prepared = RunFacts(place.folder, place.store).folder_of("prepare")
    if prepared is None:
        raise InputError(
            f"the run {place.name} has no examples yet", "run its recipe; prepare makes them"
        )
    lines = write_chat_files(folder, iterate_examples(prepared / EXAMPLES), files)
    if not any(lines.values()):
        there = Counter(example.part for example in iterate_examples(prepared / EXAMPLES))
        stated = ", ".join(f"{part} {number:,}" for part, number in sorted(there.items()))
        raise InputError(f"the run {place.name} has no example in these parts", f"it has {stated}")
    return {f"{name}.jsonl": number for name, number in lines.items() if number}


def _check(files: Mapping[str, Sequence[str]]) -> None:
    for name in files:
        if not name or Path(name).name != name or name.startswith("."):
            raise UsageError(f"{name!r} cannot name a file", "a plain name, such as train")
    counts = Counter(part for parts in files.values() for part in parts)
    for part, count in counts.items():
        if part not in PARTS:
            raise UsageError(
                f"unknown part {part!r}{did_you_mean(part, PARTS)}",
                f"the parts are {', '.join(PARTS)}",
            )
        if count > 1:
            raise UsageError(f"the part {part} goes into {count} files", "name it once")


def parse_files(wanted: Sequence[str]) -> dict[str, list[str]]:
    """Files and their parts from the words of a call.

    Args:
        wanted: `NAME=PART,PART` texts.

    Returns:
        Name to parts.

    Raises:
        UsageError: a text of another form.
    """
    found = {}
    for text in wanted:
        name, sign, parts = text.partition("=")
        if not sign or not parts:
            raise UsageError(f"--file {text!r} is not NAME=PART,PART", "--file train=labelled")
        found[name.strip()] = [part.strip() for part in parts.split(",")]
    return found
