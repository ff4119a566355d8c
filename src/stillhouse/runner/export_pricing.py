"""The price of an export: the bytes that it writes, and the proof of each form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from stillhouse.recipes.estimate import Corpus, Cost, Machine, scoring_cost, share_of
from stillhouse.recipes.export_bytes import bundle_bytes
from stillhouse.recipes.measuring import Export
from stillhouse.recipes.memory import HEAVY_BYTES
from stillhouse.recipes.sizes import Sizes

_BYTES_A_SECOND = 2e8
"""assumption: of rounding, writing and hashing."""


def export_cost(
    export: Export,
    student: Sizes,
    machine: Machine,
    holdout: Corpus,
    answering: Callable[[Corpus], Cost],
) -> Cost:
    """What an export takes.

    Args:
        export: what is asked.
        student: its sizes.
        machine: rates and dtype.
        holdout: of which some examples are compared.
        answering: the price of answers to texts, one by one.

    Returns:
        Memory, disk and seconds.
    """
    weights = student.parameters * machine.bytes_per_value
    bundle = bundle_bytes(export, student, machine.bytes_per_value)
    written = bundle.ships + bundle.passing
    seconds = 0.5 + written / _BYTES_A_SECOND
    for num_examples in _proofs(export):
        share = min(num_examples, holdout.examples) / max(1, holdout.examples)
        texts = share_of(holdout, share)
        # Two models read them; the one that ships answers, and the other reads what it said.
        reading = scoring_cost(student, texts, machine, batch_size=1, target_bytes=0.0)
        seconds += 3 * reading.seconds + answering(texts).seconds
    # A file is written by this process and read by llama.cpp's, beside the student in memory; the
    # form in 8 bits is loaded beside it as well.
    memory = HEAVY_BYTES + 3 * weights + bundle.gguf + bundle.int8
    return replace(Cost(), memory_bytes=memory, disk_bytes=written, seconds=seconds)


def _proofs(export: Export) -> list[int]:
    """On how many examples each form is held against the student; the merged folder on none."""
    files, int8 = export.gguf_files, export.int8_form
    found = [int8.examples] if int8 else []
    if files:
        count = len(files.weights) if "gguf" in export.formats else 0
        found += [files.examples] * (count + ("gguf_adapter" in export.formats))
    return found
