"""From a recipe to a plan: everything outside the recipe is found, checked and digested first."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from stillhouse.core.errors import HubUnreachableError, ModelError, NotBuiltError
from stillhouse.core.hashing import digest_value
from stillhouse.data.probe import SourceFacts
from stillhouse.data.readers import find_file
from stillhouse.data.rights import NOTHING_HELD, Held
from stillhouse.data.step_files import digest_step_file, location_of_step_file
from stillhouse.evals.probe_file import ProbeFile
from stillhouse.models.hub import Hub, fetch_model
from stillhouse.models.source import ModelFolder, open_folder
from stillhouse.recipes.built import NotBuilt, not_built
from stillhouse.recipes.compute import Host, ResolvedCompute, resolve_compute, this_host
from stillhouse.recipes.facts import facts_for, nearest_ids, refuse_known_bad
from stillhouse.recipes.instance_config import Content
from stillhouse.recipes.load import Loaded
from stillhouse.recipes.models import ModelSource
from stillhouse.recipes.plan import Plan, build_plan
from stillhouse.recipes.prompts import PromptTemplate, load_prompt
from stillhouse.recipes.rows import Source
from stillhouse.recipes.schema import Recipe
from stillhouse.runner.assuming import require_rows_file
from stillhouse.runner.collecting import content_of
from stillhouse.runner.columns import check_columns
from stillhouse.runner.deepspeed import find_deepspeed
from stillhouse.runner.encoders import FoundEncoder, dtype_of_encoders, find_encoders
from stillhouse.runner.extras import require_held_weights
from stillhouse.runner.guard import guarded
from stillhouse.runner.harness_tasks import find_harness_tasks
from stillhouse.runner.llama_cpp_folder import find_llama_cpp
from stillhouse.runner.pairing import check_pairing
from stillhouse.runner.probe_files import find_probes
from stillhouse.runner.reading import find_readers
from stillhouse.runner.shipping import check_models
from stillhouse.runner.stand_ins import StandIns
from stillhouse.runner.step_engines import StepEngineFound, find_step_engines
from stillhouse.stages.rows import Probed, probe_held, read_settings
from stillhouse.store.erasures import NOTHING_ERASED, Erasures
from stillhouse.tokens.files import digest_tokenizer


@dataclass(slots=True)
class Resolved:
    """A recipe with everything that its plan rests on.

    Attributes:
        loaded: the recipe and where it came from.
        recipe: the effective recipe; smoke runs shrink it.
        host: the machine.
        compute: device, dtype and threads as they enter the hashes.
        source: what a look at the rows found.
        teacher: the checked folder; None for a scratch model and one behind an API.
        student: likewise.
        plan: every instance with its hash.
        locations: where contents lie on this machine.
        held: what is held back of the rows beside what the recipe says.
        difference: in what teacher and student read differently; empty where they read alike.
        is_assumed: the rows are made up, each for several where there are to be many.
    """

    loaded: Loaded
    recipe: Recipe
    host: Host
    compute: ResolvedCompute
    source: SourceFacts
    teacher: ModelFolder | None
    student: ModelFolder | None
    plan: Plan
    locations: dict[str, str] = field(default_factory=dict)
    held: Held = NOTHING_HELD
    difference: str = ""
    is_assumed: bool = False

    def recipe_text(self) -> str:
        """The recipe's file, with what the call changed as comments on top."""
        changes = [f"# run with --set {override}\n" for override in self.loaded.overrides]
        if self.recipe != self.loaded.recipe:
            changes.append("# run with --smoke\n")
        return "".join(changes) + self.loaded.text


@dataclass(frozen=True, slots=True)
class _Found:
    """A model of the recipe on this machine, with the digest of what it computes with."""

    folder: ModelFolder | None = None
    digest: str = ""


def resolve(
    loaded: Loaded,
    recipe: Recipe,
    erasures: Erasures = NOTHING_ERASED,
    *,
    with_weights: bool = False,
    stand_ins: StandIns | None = None,
    host: Host | None = None,
) -> Resolved:
    """Find, check and digest what the recipe names, and plan it.

    Args:
        loaded: the recipe as written.
        recipe: the recipe as it is run.
        erasures: of the folder that holds the runs.
        with_weights: also download a hub model's weights; its config and tokenizer are enough
            for a plan.
        stand_ins: for hub models that cannot be reached; without it that is an error.
        host: the machine; the one that this runs on when absent.

    Returns:
        Everything that the plan rests on; nothing was run.

    Raises:
        NotBuiltError: it asks for something this version does not have.
        UsageError: rows or models cannot be used as the recipe says.
    """
    refuse_unbuilt(not_built(recipe), loaded.origin)
    check_pairing(recipe, loaded.origin)
    base = loaded.base_folder
    harness = find_harness_tasks(recipe, base, loaded.origin)
    llama_cpp = find_llama_cpp(recipe, loaded)
    prompt, probes = _own_prompt(recipe, loaded), find_probes(recipe, loaded)
    with guarded(recipe.network, hub_host().split()):
        probed = _probe(recipe, loaded, erasures)
        find = _finder(recipe, base, probed.facts, with_weights, stand_ins)
        found = {"teacher": find(recipe.teacher), "student": find(recipe.student)}
        engines = find_step_engines(recipe, loaded, find.weights_of)
        encoders = find.encoders(recipe)
    check_columns(recipe, loaded, probed.facts.rows, probes)
    folders = {name: one.folder for name, one in found.items()}
    readers = find_readers(recipe, folders, loaded)
    host = host or this_host()
    compute = resolve_compute(recipe.compute, host)
    require_held_weights(recipe, compute.device, loaded)
    check_models(recipe, folders, loaded)
    content = Content(
        source=probed.facts.digest,
        teacher=found["teacher"].digest,
        student=found["student"].digest,
        tokenizer=readers.student.tokenizer,
        context=readers.student.context,
        teachers=readers.teacher,
        prompt=prompt,
        harness=harness[1],
        deepspeed=find_deepspeed(recipe, loaded),
        engines={name: one.content for name, one in engines.items()},
        encoders=tuple(one.content for one in encoders),
        encoder_dtype=dtype_of_encoders(recipe, compute, host) if encoders else "",
        held=probed.plan,
        llama_cpp=llama_cpp[1],
        **_content_of_rows(recipe, base, probes),
    )
    locations = {"base": str(base), "hub_host": hub_host()}
    locations |= {"harness": harness[0], "llama_cpp": llama_cpp[0]}
    locations |= _of_rows(recipe, compute, base) | readers.locations
    locations |= _of_models(found, encoders, engines.values())
    models, plan = (folders["teacher"], folders["student"]), build_plan(recipe, content, compute)
    rest = (*models, plan, locations, probed.held, readers.difference)
    return Resolved(loaded, recipe, host, compute, probed.facts, *rest)


def _probe(recipe: Recipe, loaded: Loaded, erasures: Erasures) -> Probed:
    require_rows_file(recipe, loaded)
    return probe_held(recipe.collect, loaded.base_folder, erasures)


def _content_of_rows(recipe: Recipe, base: Path, probes: ProbeFile | None) -> dict[str, Any]:
    """Digests of the files that rows are made, compared and asked with."""
    collection = recipe.collect.source.collection
    steps = recipe.prepare.with_files
    return {
        "paired": _paired(recipe, base),
        "against": tuple(digest_step_file(step, base) for step in steps),
        "probes": tuple(one.model_dump(mode="json") for one in probes.probes.probes)
        if probes
        else (),
        "collection": content_of(collection, base) if collection else {},
    }


def _finder(
    recipe: Recipe,
    base: Path,
    rows: SourceFacts,
    with_weights: bool,
    stand_ins: StandIns | None,
) -> _Finder:
    if stand_ins:
        stand_ins.rows = rows.rows
    return _Finder(base, _asks_hub(recipe, stand_ins), with_weights, stand_ins)


def _asks_hub(recipe: Recipe, stand_ins: StandIns | None) -> bool:
    """Whether models are fetched; a plan does not wait for a hub that is not there."""
    if recipe.network == "none":
        return False
    return stand_ins is None or not _names_hub(recipe) or stand_ins.asks(Hub())


def _names_hub(recipe: Recipe) -> bool:
    encoders = any(step.encoder and step.encoder.hub for step in recipe.prepare.steps)
    models = (recipe.teacher, recipe.student, *recipe.step_engines.values())
    return encoders or any(one.hub for one in models)


def _paired(recipe: Recipe, base: Path) -> tuple[tuple[tuple[str, Any], ...], ...]:
    return tuple(
        tuple(astuple(setting) for setting in read_settings(step, base))
        for step in recipe.prepare.pairings
    )


def _own_prompt(recipe: Recipe, loaded: Loaded) -> PromptTemplate | None:
    named = recipe.label.prompt
    if not named:
        return None
    return load_prompt(loaded.base_folder / named, f"{loaded.origin} label.prompt")


def _of_models(
    found: dict[str, _Found],
    encoders: Sequence[FoundEncoder],
    engines: Iterable[StepEngineFound],
) -> dict[str, str]:
    """Where the folders of models lie; an encoder by its content."""
    folders = {name: str(one.folder.path) for name, one in found.items() if one.folder}
    folders |= {one.location: one.folder for one in engines if one.folder}
    return folders | {f"encoder {one.content}": str(one.folder) for one in encoders}


def _of_rows(recipe: Recipe, compute: ResolvedCompute, base: Path) -> dict[str, str]:
    """Where rows and what they are held against lie, and who works on them."""
    against = {
        location_of_step_file(digest_step_file(step, base)): str(
            find_file(Source(file=step.file), base).resolve()
        )
        for step in recipe.prepare.with_files
    }
    by = {"rows_by": recipe.compute.rows, "rows_workers": str(compute.threads)}
    ray = {"ray": recipe.compute.ray} if recipe.compute.ray else {}
    return {"source": recipe.collect.source.file or ""} | by | ray | against


def refuse_unbuilt(missing: list[NotBuilt], origin: str) -> None:
    """Refuse a recipe that asks for what is not there, naming all of it."""
    if missing:
        lines = "\n".join(f"{origin} {item}" for item in missing)
        raise NotBuiltError(
            f"{lines}", "this version cannot run it yet; the rest of the recipe is valid"
        )


def hub_host() -> str:
    """The host of the model hub in use; HF_ENDPOINT names another than the public one."""
    return urlparse(os.environ.get("HF_ENDPOINT", "")).hostname or ""


@dataclass(frozen=True, slots=True)
class _Finder:
    """Finds a recipe's models: a folder by its content, a hub model by its commit."""

    base: Path
    network: bool
    with_weights: bool
    stand_ins: StandIns | None

    def encoders(self, recipe: Recipe) -> tuple[FoundEncoder, ...]:
        """The models that steps compare texts with."""
        return find_encoders(
            recipe,
            self.base,
            Hub(network=self.network),
            with_weights=self.with_weights,
            stand_ins=self.stand_ins,
        )

    def __call__(self, source: ModelSource) -> _Found:
        found = self._find(source)
        if found.folder:
            _refuse_what_is_not_trained(found.folder, source.path or source.hub or "")
        return found

    def weights_of(self, source: ModelSource) -> tuple[str, str]:
        """The folder of a model that is only asked, and a digest of all that its answers are of."""
        found = self._find(source)
        if not found.folder:
            return "", found.digest
        digest = found.digest
        if source.path:
            # No reader names its tokenizer and template; the commit of a hub model covers both.
            digest = digest_value([digest, digest_tokenizer(found.folder.path)])
        return str(found.folder.path), digest

    def _find(self, source: ModelSource) -> _Found:
        if source.path:
            folder = open_folder((self.base / source.path).resolve())
            return _Found(folder, folder.weights_digest())
        if not source.hub:
            return _Found()
        refuse_known_bad(source.hub)
        facts = facts_for(source.hub)
        revision = source.revision or (facts.revision if facts else None) or ""
        hub = Hub(network=self.network, known_ids=nearest_ids(source.hub))
        try:
            fetched = fetch_model(
                source.hub,
                revision,
                weights=self.with_weights,
                code=source.trust_remote_code,
                hub=hub,
            )
        except HubUnreachableError as error:
            if self.stand_ins is None:
                raise
            made = open_folder(
                self.stand_ins.model(source.hub, revision, error), with_weights=False
            )
            return _Found(made, f"{source.hub}@{revision}")
        opened = open_folder(fetched.folder, with_weights=self.with_weights)
        return _Found(opened, f"{source.hub}@{fetched.commit}")


def _refuse_what_is_not_trained(folder: ModelFolder, name: str) -> None:
    method = (folder.config.get("quantization_config") or {}).get("quant_method")
    if method == "bitsandbytes":
        raise ModelError(
            f"{name} holds weights that bitsandbytes has quantised already, into which no adapter "
            "can be merged",
            "give the model that it was made of, with quantization: nf4 or int8 beside it: it is "
            "quantised while it is loaded",
        )
    if folder.config.get("is_encoder_decoder"):
        raise ModelError(
            f"{name} is an encoder-decoder, which can write text and is neither scored nor trained",
            "teacher and student are causal language models",
        )
