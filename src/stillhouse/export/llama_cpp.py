"""The folder `gguf/` of a bundle: whole students and adapters for llama.cpp, each proved there."""

from __future__ import annotations

from pathlib import Path

from transformers import PreTrainedModel

from stillhouse.core.errors import ModelError
from stillhouse.core.files import write_atomic
from stillhouse.export.gguf_bundle import GgufOrder, export_gguf, export_gguf_adapter
from stillhouse.export.gguf_model import GgufFacts
from stillhouse.export.importance import Importance, measure_importance, texts_of
from stillhouse.export.llama_cpp_order import GgufReport, LlamaCppOrder, Sources
from stillhouse.export.modelfile import MODELFILE, licence_lines, modelfile_text
from stillhouse.export.reference import Reference
from stillhouse.recipes.gguf_names import FOLDER, adapter_name, file_name


def write_for_llama_cpp(
    order: LlamaCppOrder, merged: PreTrainedModel, sources: Sources, bundle: Path
) -> tuple[GgufReport, ...]:
    """Write what is asked for llama.cpp and Ollama.

    Args:
        order: what is asked.
        merged: the student as one model, in float32.
        sources: the folders that files are made from.
        bundle: their folder is made in it.

    Returns:
        What each GGUF file was proved to be.

    Raises:
        ModelError: llama.cpp has no such model, tokenizer or adapter, or Ollama no such template.
        ArtifactError: a file does not answer as the student does.
    """
    folder = bundle / FOLDER
    gguf = GgufOrder(
        order.files.weights,
        GgufFacts(order.name, order.licence, order.base),
        Reference(
            merged,
            order.tokenizer,
            order.template,
            order.examples,
            max(order.files.max_new_tokens, order.answer_tokens),
            order.answer_schema,
            order.files.max_schema_loss,
        ),
        dict(order.files.max_kl),
        order.threads,
        _importance(order, merged),
        order.converter,
    )
    # Before hours of writing: what Ollama cannot be told is known from the template alone.
    told = _modelfile(order, merged) if order.modelfile else ""
    reports: tuple[GgufReport, ...] = ()
    if order.whole:
        reports += export_gguf(sources.whole, folder, gguf)
    if order.adapter and sources.adapter:
        if sources.base is None:
            raise ModelError(
                "the base model under the adapter is not known here", "export gguf, the whole one"
            )
        reports += export_gguf_adapter(sources.adapter, sources.base, folder, gguf)
    if told:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / MODELFILE, told.encode())
    return reports


def _importance(order: LlamaCppOrder, merged: PreTrainedModel) -> Importance | None:
    if not (order.whole and order.files.importance):
        return None
    texts = texts_of(order.learned, order.template, order.tokenizer)
    return measure_importance(merged, texts)


def _modelfile(order: LlamaCppOrder, merged: PreTrainedModel) -> str:
    asked = order.modelfile
    assert asked is not None
    weights = asked.weights or order.files.weights[0]
    own = adapter_name(order.name) if asked.base else file_name(order.name, weights)
    prompts = [example.prompt for example in order.examples]
    config = merged.config.to_dict()
    told = modelfile_text(asked, own, order.template, order.tokenizer, config, prompts)
    return told + licence_lines(order.licences)
