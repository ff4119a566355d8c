"""Facts about named models: which exist, how big they are, what their licence allows."""

from __future__ import annotations

import difflib
from functools import cache
from importlib import resources
from typing import Any, Literal

from ruamel.yaml import YAML

from stillhouse.core.errors import ModelError
from stillhouse.recipes.section import Count, Section
from stillhouse.recipes.sizes import sizes_of

Allowed = Literal["yes", "named", "ask"]


class OutputTerms(Section):
    """May a model's answers train another model? A summary to find the text by, not advice.

    Attributes:
        outputs: `yes`, `named` (a name or a notice is due), `ask` (forbidden for some purposes).
        sentence: what the terms ask.
        url: the terms themselves.
        weights: the same of weights that are trained further and handed on.
        name_begins: what the name of a model that is handed on begins with.
        notice: what its documentation says.
    """

    outputs: Allowed
    sentence: str
    url: str
    weights: Allowed = "yes"
    name_begins: str = ""
    notice: str = ""


class Shape(Section):
    """The sizes of a model, enough to count its parameters.

    Attributes:
        experts: feed-forward blocks a layer in a mixture of experts; 0 in a dense model.
        vocabulary_rows: rows of the embedding, padding included; the tokenizer may fill fewer.
        tokenizer: family; equal names mean that token ids mean the same text.
        context: tokens that the model's configuration admits.
    """

    architecture: Literal["gpt2", "llama", "qwen2", "qwen3", "gpt_oss"]
    hidden: Count
    layers: Count
    heads: Count
    kv_heads: Count
    head_dim: Count
    intermediate: Count
    experts: int = 0
    vocabulary_rows: Count
    tokenizer: str
    context: Count
    tied_embeddings: bool

    def config(self) -> dict[str, Any]:
        """The same in the words of a Hugging Face config."""
        words = {
            "model_type": self.architecture,
            "hidden_size": self.hidden,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_dim,
            "intermediate_size": self.intermediate,
            "vocab_size": self.vocabulary_rows,
            "max_position_embeddings": self.context,
            "tie_word_embeddings": self.tied_embeddings,
        }
        return words | ({"num_local_experts": self.experts} if self.experts else {})

    def parameters(self) -> int:
        """The number of weights, by the closed formula of the architecture."""
        return sizes_of(self.config()).parameters


class ModelFacts(Section):
    """What is known of one model of the hub.

    Attributes:
        revision: the commit to pin, 40 hex digits; None when no public pin was found.
        revision_source: how the revision is known; None without one.
        parameters: weights in all, tied tables counted once.
        stored_as: the number format of the published weights.
        thinking: whether its chat template reasons before it answers.
        licence: its short name; `terms` says what that means for a student.
        gated: the hub asks for consent first.
    """

    id: str
    revision: str | None = None
    revision_source: str | None = None
    parameters: Count
    shape: Shape
    stored_as: Literal["float32", "bfloat16", "mxfp4", "nf4"]
    thinking: Literal["never", "switchable", "always"] = "never"
    licence: str
    terms: OutputTerms
    gated: bool = False

    @property
    def source(self) -> str:
        """Where the shape can be read."""
        return f"https://huggingface.co/{self.id}/blob/{self.revision or 'main'}/config.json"


class WrongId(Section):
    """An id that is often written and does not exist."""

    id: str
    instead: tuple[str, ...]
    why: str


def known_models() -> tuple[ModelFacts, ...]:
    """Every model with facts, in the order of the file."""
    return tuple(_facts().values())


def facts_for(model_id: str) -> ModelFacts | None:
    """The facts of a hub id, upper and lower case alike; None for a model that is not listed."""
    return _facts().get(model_id.casefold())


def service_terms(kind: str) -> OutputTerms:
    """What a teacher's service says of training on its answers.

    Args:
        kind: the recipe's `api.kind`.

    Returns:
        A summary with the address of the terms.

    Raises:
        KeyError: no such service; the schema admits none.
    """
    return OutputTerms.model_validate(_table()["services"][kind])


def nearest_ids(model_id: str, limit: int = 3) -> list[str]:
    """The listed ids most like this one, best first; empty when nothing is close."""
    names = {_bare(facts.id): facts.id for facts in known_models()}
    close = difflib.get_close_matches(_bare(model_id), names, n=limit, cutoff=0.6)
    return [names[name] for name in close]


def smaller_students(student_id: str, teacher_id: str, limit: int = 2) -> list[str]:
    """Listed ids of fewer weights than a student that read as its teacher does, largest first.

    Args:
        student_id: of the student.
        teacher_id: of the teacher; one that is not listed is taken to read as the student does.
        limit: how many.

    Returns:
        Only weights that may be trained and handed on; empty for a student that is not listed.
    """
    student, teacher = facts_for(student_id), facts_for(teacher_id)
    if student is None:
        return []
    reads = (teacher or student).shape.tokenizer
    found = [
        one
        for one in known_models()
        if one.shape.tokenizer == reads
        and one.parameters < student.parameters / 2
        and one.terms.weights == "yes"
        and one.stored_as in ("float32", "bfloat16")
    ]
    return [one.id for one in sorted(found, key=lambda one: -one.parameters)[:limit]]


def refuse_known_bad(model_id: str) -> None:
    """Refuse an id that is known not to exist on the hub; any other id passes.

    Args:
        model_id: as the recipe's `hub` says.

    Raises:
        ModelError: the hub has no such model; the hint names the right id.
    """
    wrong = _wrong_ids().get(model_id.casefold())
    if wrong:
        raise ModelError(
            f"the hub has no model {model_id!r}: {wrong.why}",
            f"use {' or '.join(wrong.instead)}",
        )
    if ":" in model_id:
        _refuse_ollama_tag(model_id)


def ollama_model(tag: str) -> str:
    """The hub id of a tag of Ollama that is known here; empty for any other."""
    return str(_table()["ollama"].get(tag.casefold(), ""))


def _refuse_ollama_tag(tag: str) -> None:
    meant = ollama_model(tag)
    near = [meant] if meant else nearest_ids(tag.replace(":", "-"))
    raise ModelError(
        f"{tag!r} is a tag of Ollama, not an id of the hub; such a tag can also change its model",
        f"use {' or '.join(near)}" if near else "write owner/name as huggingface.co shows it",
    )


def _bare(model_id: str) -> str:
    return model_id.casefold().rsplit("/", 1)[-1]


@cache
def _table() -> dict[str, Any]:
    text = (resources.files("stillhouse.recipes") / "facts.yaml").read_text(encoding="utf-8")
    table: dict[str, Any] = YAML(typ="safe", pure=True).load(text)
    return table


@cache
def _facts() -> dict[str, ModelFacts]:
    table = _table()
    found = {}
    for entry in table["models"]:
        known = {
            "terms": OutputTerms.model_validate(table["licences"][entry["licence"]]),
            "shape": Shape.model_validate(entry["shape"]),
            "revision_source": table["sources"]["revision"] if entry["revision"] else None,
        }
        found[entry["id"].casefold()] = ModelFacts.model_validate(entry | known)
    return found


@cache
def _wrong_ids() -> dict[str, WrongId]:
    entries = _table()["wrong_ids"]
    parsed = [WrongId.model_validate(one | {"instead": tuple(one["instead"])}) for one in entries]
    # With its owner and without; another owner may have a model of that name.
    return {name: one for one in parsed for name in (one.id.casefold(), _bare(one.id))}
