"""The README of a bundle: what the student is, what it was measured at, how it is used.

It opens with the metadata that the Hugging Face hub reads.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from stillhouse.core.files import write_atomic
from stillhouse.export.card_uses import uses

README, USE = "README.md", "## Use"
_LIBRARY = {"merged": "transformers", "int8": "transformers", "adapter": "peft",
            "adapters_kd": "peft", "gguf": "gguf", "gguf_adapter": "gguf"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What a model card says; every text comes from the caller, nothing is guessed.

    Attributes:
        name: of the student.
        recipe: of the recipe.
        teacher: hub id or description.
        base: hub id or description of what the student started from.
        metrics: name -> text, such as `0.91 (0.89 to 0.93)`.
        licences: what -> licence, such as `teacher weights` -> `apache-2.0`.
        warnings: what whoever uses the student must know, one sentence each.
        notices: what a licence wants to be said.
        texts: licence -> address of its text.
        metadata: for the hub, such as `license` and `base_model`.
        ollama: the model's name there; empty where nothing tells Ollama of it.
    """

    name: str
    recipe: str
    teacher: str
    base: str
    metrics: Mapping[str, str] = field(default_factory=dict)
    licences: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    ollama: str = ""

    def licence_text(self) -> str:
        """The licences in a few lines, for a form that has room for no card."""
        said = [f"{what}: {licence}" for what, licence in sorted(self.licences.items())]
        return "\n".join([*said, *self.notices, *self.texts.values()])


def model_card(facts: CardFacts, formats: tuple[str, ...], names: Sequence[str] = ()) -> str:
    """The card as Markdown; equal facts give equal text.

    Args:
        facts: what it says.
        formats: folders of the bundle that it explains.
        names: paths of the bundle's files.

    Returns:
        The text of `README.md`.
    """
    texts = [f"{name}: {url}" for name, url in facts.texts.items()]
    sections = [
        _front_matter(facts, formats),
        f"# {facts.name}",
        f"A student distilled by the recipe `{facts.recipe}`.",
        f"- teacher: {facts.teacher}\n- started from: {facts.base}",
        _list("Warnings", facts.warnings),
        _table("Measured on the holdout", "metric", "value", facts.metrics),
        _table("Licences", "of", "licence", facts.licences),
        _list("Notices", (*facts.notices, *texts)),
        f"{USE}\n\n{uses(formats, names, facts.ollama)}",
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def write_model_card(facts: CardFacts, formats: tuple[str, ...], folder: Path) -> None:
    """Write the card as `README.md` of a bundle, whose other files are there.

    Args:
        facts: what it says.
        formats: folders of the bundle.
        folder: the bundle.
    """
    names = [one.relative_to(folder).as_posix() for one in folder.rglob("*") if one.is_file()]
    write_atomic(folder / README, model_card(facts, formats, names).encode())


def _front_matter(facts: CardFacts, formats: Sequence[str]) -> str:
    told = {
        **dict(sorted(facts.metadata.items())),
        **({"base_model_relation": _relation(formats)} if "base_model" in facts.metadata else {}),
        "library_name": next((_LIBRARY[one] for one in formats if one in _LIBRARY), "transformers"),
        "pipeline_tag": "text-generation",
        "tags": ["distillation", "stillhouse"],
    }
    stream = io.StringIO()
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 1 << 16
    yaml.dump(told, stream)
    return f"---\n{stream.getvalue()}---"


def _relation(formats: Sequence[str]) -> str:
    """How the hub calls what became of a base model."""
    if "merged" in formats:
        return "finetune"
    return "quantized" if {"int8", "gguf"} & set(formats) else "adapter"


def _list(title: str, lines: Sequence[str]) -> str:
    return "\n".join([f"## {title}", "", *(f"- {line}" for line in lines)]) if lines else ""


def _table(title: str, left: str, right: str, entries: Mapping[str, str]) -> str:
    if not entries:
        return ""
    rows = [f"| {_cell(name)} | {_cell(text)} |" for name, text in sorted(entries.items())]
    return "\n".join([f"## {title}", "", f"| {left} | {right} |", "|---|---|", *rows])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
