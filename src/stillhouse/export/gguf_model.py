"""A whole model of a Hugging Face folder as one GGUF file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import gguf

from stillhouse.export.gguf_architectures import architecture_of, facts_of
from stillhouse.export.gguf_tensors import ALWAYS_FLOAT32, TensorPlan
from stillhouse.export.gguf_vocabulary import Vocabulary, vocabulary_of
from stillhouse.export.gguf_write import (
    FILE_TYPES,
    TensorToWrite,
    Weights,
    add_facts,
    write_tensors,
)
from stillhouse.models.source import open_folder
from stillhouse.recipes.gguf_names import WEIGHTS_KEY
from stillhouse.tokens.jinja import jinja_of
from stillhouse.tokens.template import Template

_QUANTISED_VERSION = 2
"""paper: ggml.h, `GGML_QNT_VERSION`."""


@dataclass(frozen=True, slots=True)
class GgufFacts:
    """What a file says of a student besides its shape.

    Attributes:
        name: of the student.
        licence: of its weights; empty where nobody says.
        base: what it started from; empty where nobody says.
        further: keys of our own -> text.
    """

    name: str
    licence: str = ""
    base: str = ""
    further: dict[str, str] = field(default_factory=dict)


def write_gguf(
    folder: Path, template: Template, path: Path, weights: Weights, facts: GgufFacts
) -> Vocabulary:
    """Write a model as GGUF; equal weights give equal bytes.

    Args:
        folder: an ordinary model folder; its weights are read one tensor after the other.
        template: how its conversations are written, whatever the folder's own template is.
        path: of the file.
        weights: how matrices are stored.
        facts: what the file says of the student.

    Returns:
        What it says of the tokenizer.

    Raises:
        ModelError: llama.cpp would compute something else, or cut texts into other ids.
        DiskFullError: there is no room for it.
    """
    model = open_folder(folder)
    kind = architecture_of(model.config)
    vocabulary = vocabulary_of(model.tokenizer, template, model.num_rows)
    plan = TensorPlan(folder, model.config)
    writer = gguf.GGUFWriter(None, kind.name)
    writer.add_type(gguf.GGUFType.MODEL)
    _add_student(writer, facts)
    writer.add_string(WEIGHTS_KEY, model.weights_digest())
    add_facts(writer, facts_of({**model.config, "vocab_size": model.num_rows}), kind.name)
    writer.add_file_type(FILE_TYPES[weights])
    writer.add_quantization_version(_QUANTISED_VERSION)
    _add_vocabulary(writer, vocabulary)
    writer.add_chat_template(jinja_of(template))
    tensors = [
        TensorToWrite(
            one.name,
            one.shape,
            one.name.endswith("_norm.weight") or one.name in ALWAYS_FLOAT32,
            lambda one=one: plan.read(one),  # type: ignore[misc]
        )
        for one in plan.tensors
    ]
    write_tensors(writer, path, tensors, weights)
    return vocabulary


def _add_student(writer: gguf.GGUFWriter, facts: GgufFacts) -> None:
    writer.add_name(facts.name)
    writer.add_license(facts.licence)
    if facts.base:
        writer.add_base_model_count(1)
        writer.add_base_model_name(0, facts.base)
    for key, text in facts.further.items():
        writer.add_string(key, text)


def _add_vocabulary(writer: gguf.GGUFWriter, vocabulary: Vocabulary) -> None:
    writer.add_tokenizer_model(vocabulary.model)
    writer.add_tokenizer_pre(vocabulary.cutting)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types([int(kind) for kind in vocabulary.kinds])
    if vocabulary.merges:
        writer.add_token_merges(vocabulary.merges)
    if vocabulary.scores:
        writer.add_token_scores(vocabulary.scores)
    say = {
        "bos": writer.add_bos_token_id,
        "eos": writer.add_eos_token_id,
        "eot": writer.add_eot_token_id,
        "pad": writer.add_pad_token_id,
        "unk": writer.add_unk_token_id,
    }
    for name, number in sorted(vocabulary.special_ids.items()):
        say[name](number)
    writer.add_add_bos_token(vocabulary.adds_bos)
    writer.add_add_eos_token(False)
    if vocabulary.adds_space is not None:
        writer.add_add_space_prefix(vocabulary.adds_space)
