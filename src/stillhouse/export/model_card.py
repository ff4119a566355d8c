"""The README of a bundle: what the student is, what it was measured at, how it is used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stillhouse.core.files import write_atomic


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
    """

    name: str
    recipe: str
    teacher: str
    base: str
    metrics: Mapping[str, str] = field(default_factory=dict)
    licences: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def model_card(facts: CardFacts, formats: tuple[str, ...]) -> str:
    """The card as Markdown; equal facts give equal text.

    Args:
        facts: what it says.
        formats: folders of the bundle that it explains.

    Returns:
        The text of `README.md`.
    """
    sections = [
        f"# {facts.name}",
        f"A student distilled by the recipe `{facts.recipe}`.",
        f"- teacher: {facts.teacher}\n- started from: {facts.base}",
        _list("Warnings", facts.warnings),
        _table("Measured on the holdout", "metric", "value", facts.metrics),
        _table("Licences", "of", "licence", facts.licences),
        "## Use\n\n" + "\n\n".join(_USES[name] for name in formats if name in _USES),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def write_model_card(facts: CardFacts, formats: tuple[str, ...], folder: Path) -> None:
    """Write the card as `README.md` of a bundle.

    Args:
        facts: what it says.
        formats: folders of the bundle.
        folder: the bundle.
    """
    write_atomic(folder / "README.md", model_card(facts, formats).encode())


_USES = {
    "merged": (
        "`merged/` is an ordinary model folder:\n\n```python\n"
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        'model = AutoModelForCausalLM.from_pretrained("merged")\n'
        'tokenizer = AutoTokenizer.from_pretrained("merged")\n```'
    ),
    "adapter": (
        "`adapter/` holds the adapter alone, to be put on the model that the student started "
        "from (`base/`, where that one was made of random weights):\n\n```python\n"
        "from peft import PeftModel\n\n"
        'model = PeftModel.from_pretrained(base_model, "adapter")\n```'
    ),
    "gguf": (
        "`gguf/` holds the whole student for llama.cpp, one file for each kind of weights:\n\n"
        "```bash\nllama-server -m gguf/NAME.gguf --jinja\n```"
    ),
    "gguf_adapter": (
        "`gguf/NAME-adapter.gguf` is the adapter for llama.cpp, to be put on the model that the "
        "student started from; `stillhouse.weights.sha256` in it names those weights:\n\n"
        "```bash\nllama-server -m BASE.gguf --lora gguf/NAME-adapter.gguf --jinja\n```"
    ),
    "modelfile": (
        "`gguf/Modelfile` tells Ollama of it:\n\n"
        "```bash\ncd gguf && ollama create NAME -f Modelfile\n```"
    ),
    "adapters_kd": (
        "`adapters_kd/` holds one adapter for each domain, to be put on the model that all of them "
        "started from (`base/`, where nobody else has that one); `kd_config.json` beside an "
        "adapter says how it was trained:\n\n```python\n"
        "from peft import PeftModel\n\n"
        'model = PeftModel.from_pretrained(base_model, "adapters_kd/DOMAIN", "DOMAIN")\n'
        'model.load_adapter("adapters_kd/OTHER", "OTHER")\n'
        'model.set_adapter("OTHER")\n```'
    ),
}


def _list(title: str, lines: tuple[str, ...]) -> str:
    return "\n".join([f"## {title}", "", *(f"- {line}" for line in lines)]) if lines else ""


def _table(title: str, left: str, right: str, entries: Mapping[str, str]) -> str:
    if not entries:
        return ""
    rows = [f"| {_cell(name)} | {_cell(text)} |" for name, text in sorted(entries.items())]
    return "\n".join([f"## {title}", "", f"| {left} | {right} |", "|---|---|", *rows])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
