"""A student into Ollama: its files are sent, a model is made of them, and asked before it is named.

The model is made under a name of its own first. It gets the name that people use when it has
answered some prompts of the holdout as the bundle's file does; until then whatever had that name
keeps it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from stillhouse.core.errors import ArtifactError, UsageError
from stillhouse.core.rows import Example, Message
from stillhouse.core.sampling import Sampling
from stillhouse.engines.gguf_head import read_gguf_head
from stillhouse.engines.llama_cpp import GgufSettings, LlamaCppEngine
from stillhouse.engines.ollama_models import Blob, NewModel, OllamaModels
from stillhouse.export.bundle_files import BundleFile
from stillhouse.export.modelfile_reader import ModelfileParts, read_modelfile
from stillhouse.recipes.gguf_names import FOLDER, WEIGHTS_KEY
from stillhouse.recipes.measuring import Gguf, Modelfile
from stillhouse.runner.outgoing import Outgoing
from stillhouse.stages.corpus import Corpus, open_corpus

LOCAL = "http://127.0.0.1:11434"
MODELFILE = f"{FOLDER}/Modelfile"
_ROUTE = "write export.formats: [gguf, modelfile] and export.modelfile: {name: ...}; run it again"


@dataclass(frozen=True, slots=True)
class OllamaCall:
    """Where to, and under which name.

    Attributes:
        url: of the server.
        name: of the model; the Modelfile's when empty.
        canaries: prompts of the holdout that it is asked before it gets its name; 0 for none.
    """

    url: str = LOCAL
    name: str = ""
    canaries: int = 3


@dataclass(frozen=True, slots=True)
class OllamaShipment:
    """What was made.

    Attributes:
        name: of the model.
        digest: of it, as Ollama shows it.
        server: Ollama's version.
        file: that it was made of, with its sha256.
        base: what an adapter was laid over; empty for a whole student.
        asked: canaries.
        same: of them, answered as the bundle's file does; for an adapter, otherwise than its base.
        version: of the student in the registry.
    """

    name: str
    digest: str
    server: str
    file: tuple[str, str]
    base: str
    asked: int
    same: int
    version: str

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def weights_for_ollama(recipe_modelfile: Modelfile | None, files: Gguf | None) -> str:
    """The weights of the file that a Modelfile tells of; empty for an adapter's."""
    if recipe_modelfile is None or files is None:
        raise UsageError("this run's bundle tells Ollama of nothing", _ROUTE)
    return "" if recipe_modelfile.base else (recipe_modelfile.weights or files.weights[0])


def ship_to_ollama(
    out: Outgoing, call: OllamaCall, tell: Callable[[str], None] = lambda _: None
) -> OllamaShipment:
    """Make a model of a bundle.

    Args:
        out: a bundle that may leave.
        call: where to.
        tell: is told what happens.

    Returns:
        What was made.

    Raises:
        UsageError: the bundle has no Modelfile, the name is none, or no prompt fits its context.
        ArtifactError: the base there is not the one that was trained on, or the model does not
            answer as the bundle does; nothing has got the name then.
        StillhouseError: the server cannot be reached, or refuses; a second call goes on.
    """
    parts, own = _parts(out)
    name = _name(out, call)
    ollama = OllamaModels(call.url, tell)
    server = ollama.version()
    if parts.adapter:
        _require_base(ollama, parts, own.path, out)
    canaries = _canaries(out, parts, call.canaries)
    expected = [] if parts.adapter else _answers_of_file(out, own.path, canaries)
    model = _model(parts, own, _first_name(name, own.sha256))
    ollama.create(model)
    try:
        same = (
            _moved(ollama, model, canaries, out)
            if parts.adapter
            else _same(ollama, model.name, canaries, expected, out)
        )
    except ArtifactError:
        ollama.delete(model.name)
        raise
    ollama.rename(model.name, name)
    digest = ollama.digest(name)
    shipment = OllamaShipment(
        name, digest, server, (own.name, own.sha256), parts.source if parts.adapter else "",
        len(canaries), same, out.version,
    )  # fmt: skip
    out.tell(f"ollama {call.url}", **shipment.as_json())
    return shipment


def _parts(out: Outgoing) -> tuple[ModelfileParts, BundleFile]:
    by_name = {one.name: one for one in out.files}
    if MODELFILE not in by_name:
        raise UsageError("this bundle holds no Modelfile", _ROUTE)
    parts = read_modelfile(by_name[MODELFILE].path.read_text(encoding="utf-8"))
    own = by_name.get(f"{FOLDER}/{parts.own_file}")
    if own is None:
        raise ArtifactError(
            f"the Modelfile names {parts.own_file!r}, which is no file of the bundle",
            "run the recipe again",
        )
    return parts, own


def _name(out: Outgoing, call: OllamaCall) -> str:
    told = out.recipe.export.modelfile
    try:
        return Modelfile(name=call.name or (told.name if told else "")).name
    except ValidationError:
        raise UsageError(
            f"{call.name!r} is no name for a model in Ollama",
            "small letters, digits and . _ -, such as my-student:v2",
        ) from None


def _first_name(name: str, sha256: str) -> str:
    return f"{name.partition(':')[0]}:stillhouse-{sha256[:12]}"


def _model(parts: ModelfileParts, own: BundleFile, name: str) -> NewModel:
    blob = {Path(own.name).name: Blob(own.path, own.sha256)}
    return NewModel(
        name,
        {} if parts.adapter else blob,
        blob if parts.adapter else {},
        parts.source if parts.adapter else "",
        parts.texts.get("TEMPLATE", ""),
        parts.texts.get("SYSTEM", ""),
        parts.texts.get("LICENSE", ""),
        parts.parameters,
    )


def _require_base(
    ollama: OllamaModels, parts: ModelfileParts, adapter: Path, out: Outgoing
) -> None:
    """Refuse another base than the one that was trained on; Ollama looks at shapes alone."""
    trained_on = str(read_gguf_head(adapter).facts.get(WEIGHTS_KEY, ""))
    base, told = parts.source, out.recipe.export.modelfile
    holds = str(ollama.show(base).get("model_info", {}).get(WEIGHTS_KEY, ""))
    digest = ollama.digest(base)
    pinned = ((told.base_digest if told else None) or "").removeprefix("sha256:")
    if holds and holds != trained_on:
        raise ArtifactError(
            f"the adapter was trained on the weights {trained_on}, {base} in Ollama holds {holds}",
            "take the base that was trained on, written as GGUF by Stillhouse",
        )
    if pinned and digest != pinned:
        raise ArtifactError(
            f"{base} in Ollama is {digest}, the recipe pins {pinned}",
            f"ollama pull {base}; or ship the whole student: export.formats: [gguf, modelfile]",
        )
    if not holds and not pinned:
        raise ArtifactError(
            f"nothing says that {base} in Ollama is the model that was trained on",
            f"if it is, write export.modelfile.base_digest: {digest}; or ship the whole student: "
            "export.formats: [gguf, modelfile]",
        )


def _canaries(out: Outgoing, parts: ModelfileParts, number: int) -> list[Example]:
    """Prompts of the holdout that fit, opened as the server would open them."""
    if number == 0:
        return []
    corpus = open_corpus(out.artifact("prepare"))
    system, context = parts.texts.get("SYSTEM"), parts.parameters.get("num_ctx")
    most = context - _max_new_tokens(out) if isinstance(context, int) else None
    found: list[Example] = []
    for example in corpus.iterate(["holdout"]):
        if system and not any(one.role == "system" for one in example.prompt):
            example = replace(example, prompt=(Message("system", system), *example.prompt))
        if most is None or _num_tokens(corpus, example) <= most:
            found.append(example)
        if len(found) == number:
            break
    if not found:
        raise UsageError(
            f"no prompt of the holdout fits the {context} tokens of num_ctx with room for an "
            f"answer of {_max_new_tokens(out)}, so that nobody would ask the model anything",
            "raise export.modelfile.num_ctx or lower export.gguf.max_new_tokens, and run it again; "
            "--canaries 0 asks nothing",
        )
    return found


def _num_tokens(corpus: Corpus, example: Example) -> int:
    return len(corpus.tokenizer.encode(corpus.template.prompt_text(example.prompt))[0])


def _max_new_tokens(out: Outgoing) -> int:
    return (out.recipe.export.gguf_files or Gguf()).max_new_tokens


def _answers_of_file(out: Outgoing, path: Path, canaries: Sequence[Example]) -> list[str]:
    """What the bundle's own file answers in llama.cpp, greedily."""
    if not canaries:
        return []
    corpus = open_corpus(out.artifact("prepare"))
    sampling = Sampling(_max_new_tokens(out), batch_size=1)
    settings = GgufSettings(threads=int(out.export.config.get("threads") or 0))
    with LlamaCppEngine(path, corpus.tokenizer, corpus.template, settings=settings) as engine:
        return [one.text for one in engine.generate(canaries, sampling)]


def _same(
    ollama: OllamaModels, name: str, canaries: Sequence[Example], expected: Sequence[str],
    out: Outgoing,
) -> int:  # fmt: skip
    for example, wanted in zip(canaries, expected, strict=True):
        found = ollama.answer(name, example.prompt, _options(out))
        if found.strip() != wanted.strip():
            raise ArtifactError(
                f"Ollama answers example {example.example_id} otherwise than the bundle's file "
                f"does: {found[:80]!r} instead of {wanted[:80]!r}",
                "update Ollama; where one near tie is the cause, --canaries 0 asks nothing",
            )
    return len(canaries)


def _moved(
    ollama: OllamaModels, model: NewModel, canaries: Sequence[Example], out: Outgoing
) -> int:
    """How many answers differ from those of the base alone, with the same template."""
    if not canaries:
        return 0
    bare = replace(model, name=f"{model.name}-base", adapters={})
    ollama.create(bare)
    try:
        answers = [
            [ollama.answer(name, one.prompt, _options(out)) for name in (model.name, bare.name)]
            for one in canaries
        ]
    finally:
        ollama.delete(bare.name)
    moved = sum(ours != theirs for ours, theirs in answers)
    if not moved:
        raise ArtifactError(
            f"the adapter changes none of {len(canaries)} answers of {model.base} in Ollama",
            "ask more with --canaries 20; an adapter that Ollama leaves out changes none of them",
        )
    return moved


def _options(out: Outgoing) -> dict[str, float | int]:
    return {"temperature": 0, "seed": 0, "num_predict": _max_new_tokens(out)}
