"""The price of an export: the bytes that it writes, and the proof of each form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from stillhouse.recipes.estimate import Corpus, Cost, Machine, scoring_cost, share_of
from stillhouse.recipes.export_bytes import Adapter, BundleBytes, bundle_bytes
from stillhouse.recipes.measuring import Export
from stillhouse.recipes.memory import CONTEXT_BYTES, HEAVY_BYTES, Held, weight_bytes
from stillhouse.recipes.schema import Recipe
from stillhouse.recipes.sizes import Sizes
from stillhouse.recipes.trainable import trainable_parameters

_BYTES_A_SECOND = 2e8
"""assumption: of rounding, writing and hashing."""


def export_cost(
    recipe: Recipe,
    student: Sizes,
    machine: Machine,
    holdout: Corpus,
    answering: Callable[[Corpus], Cost],
) -> Cost:
    """What an export takes.

    Args:
        recipe: of the run.
        student: its sizes.
        machine: rates and dtype.
        holdout: of which some examples are compared.
        answering: the price of answers to texts, one by one.

    Returns:
        Memory, disk and seconds.
    """
    bundle = shipped(recipe, student)
    written = bundle.ships + bundle.passing
    seconds = 0.5 + written / _BYTES_A_SECOND
    for num_examples in _proofs(recipe.export):
        share = min(num_examples, holdout.examples) / max(1, holdout.examples)
        texts = share_of(holdout, share)
        # Two models read them; the one that ships answers, and the other reads what it said.
        reading = scoring_cost(student, texts, machine, batch_size=1, target_bytes=0.0)
        seconds += 3 * reading.seconds + answering(texts).seconds
    held, read_back = _in_memory(recipe, student)
    memory = HEAVY_BYTES + read_back + bundle.gguf + bundle.int8
    device = 0.0
    if held and machine.device == "cuda":
        device = held + CONTEXT_BYTES
    else:
        memory += held
    cost = replace(Cost(), memory_bytes=int(memory), device_bytes=int(device))
    return replace(cost, disk_bytes=written, seconds=seconds)


def shipped(recipe: Recipe, student: Sizes) -> BundleBytes:
    """What the bundle of a recipe takes.

    Args:
        recipe: of the run.
        student: its sizes.

    Returns:
        As of `bundle_bytes`.
    """
    source = recipe.student
    adapter = Adapter(
        trainable_parameters(student, recipe.train.lora) * max(1, len(recipe.domains)),
        with_base=bool(source.scratch or source.layers_of_teacher),
    )
    return bundle_bytes(recipe.export, student, adapter)


def _in_memory(recipe: Recipe, student: Sizes) -> tuple[float, float]:
    """Bytes of the models that stand side by side: the student and its merge; what is read back.

    A file for llama.cpp is written by this process and read by llama.cpp's, beside the student in
    memory; the form in 8 bits is loaded beside it as well. Adapters of domains are copied. What is
    read back lies in the machine's own memory, the others on its device.
    """
    if recipe.domains:
        return 0.0, 0.0
    export, quantization = recipe.export, recipe.student.quantization
    weights = float(student.parameters * export.weight_bytes)
    copies = 1 if export.is_adapter_alone or not recipe.train.lora else 2
    reloaded = 0 if export.is_adapter_alone else 1
    compared = weight_bytes(student, Held(4, quantization)) if quantization != "none" else 0.0
    return max(weights * copies, weights + compared), weights * reloaded


def _proofs(export: Export) -> list[int]:
    """On how many examples each form is held against the student; the merged folder on none."""
    files, int8 = export.gguf_files, export.int8_form
    found = [int8.examples] if int8 else []
    if files:
        count = len(files.weights) if "gguf" in export.formats else 0
        found += [files.examples] * (count + ("gguf_adapter" in export.formats))
    return found
