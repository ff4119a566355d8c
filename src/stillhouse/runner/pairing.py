"""Whether teacher, student and machine of a recipe go together, before anything is looked for."""

from __future__ import annotations

from importlib.util import find_spec
from urllib.parse import urlparse

from stillhouse.core.errors import RecipeError
from stillhouse.engines.catalog import REMOTE
from stillhouse.engines.prices import price_list
from stillhouse.recipes.compute import this_host
from stillhouse.recipes.endpoints import ApiEndpoint
from stillhouse.recipes.facts import OutputTerms, facts_for, service_terms
from stillhouse.recipes.models import ModelSource
from stillhouse.recipes.readers import Reader, known_difference, readers_of
from stillhouse.recipes.schema import Recipe
from stillhouse.runner.guard import NetworkGuard
from stillhouse.runner.licensing import refuse_forbidden_weights
from stillhouse.tokens.grammar import compile_schema


def check_pairing(recipe: Recipe, origin: str) -> None:
    """Refuse what cannot work together.

    Args:
        recipe: as it is run.
        origin: what errors name.

    Raises:
        RecipeError: what does not go together, and what to do.
    """
    compute = recipe.compute
    if compute.device in ("cuda", "mps") and not this_host().has_device(compute.device):
        raise RecipeError(
            f"{origin} compute.device: this machine has no {compute.device}",
            "auto takes what there is",
        )
    for key, api in recipe.endpoints.items():
        _check_endpoint(key, api, recipe, origin)
    if not recipe.teacher.api:
        _check_weights(recipe, origin)
        _check_schema(recipe, origin)
    readers = readers_of(recipe, differ=bool(known_difference(recipe)))
    for reader in filter(None, (readers.student, readers.teacher)):
        _check_reader(reader, recipe, origin)
        _check_thinking(reader, recipe, origin)
    refuse_forbidden_weights(recipe, origin)
    refuse_forbidden_terms(recipe.teacher, origin)
    for key, engine in recipe.step_engines.items():
        refuse_forbidden_terms(engine, origin, key)


def _check_weights(recipe: Recipe, origin: str) -> None:
    if recipe.teacher.scratch and not recipe.finetune:
        raise RecipeError(
            f"{origin} teacher.scratch: a teacher of random weights teaches nothing",
            "add a finetune section, or give a trained teacher with path or hub",
        )


def _check_schema(recipe: Recipe, origin: str) -> None:
    schema = recipe.label.answer_schema
    if schema is None or not find_spec("llguidance"):  # a check does without the extra `train`
        return
    try:
        compile_schema(schema)
    except RecipeError as error:
        raise RecipeError(f"{origin} {error.message}", error.hint) from error


def _check_reader(reader: Reader, recipe: Recipe, origin: str) -> None:
    which = reader.tokenizer_of
    model: ModelSource = getattr(recipe, which)
    if model.scratch and not model.scratch.tokenizer:
        raise RecipeError(
            f"{origin} {which}.scratch.tokenizer: missing",
            f"a scratch {which} learns its tokenizer: tokenizer: {{vocab_size: 1000}}",
        )


def _check_thinking(reader: Reader, recipe: Recipe, origin: str) -> None:
    which = reader.written_by
    model: ModelSource = getattr(recipe, which)
    if model.thinking != "off":
        return
    key = f"{origin} {which}.thinking"
    if model.template != "chat":
        raise RecipeError(
            f"{key}: off sets a switch of the tokenizer's own template, and the recipe gives "
            "another",
            f"remove {which}.thinking",
        )
    facts = facts_for(model.hub or "")
    if facts and facts.thinking == "always":
        raise RecipeError(
            f"{key}: {model.hub} always thinks, and has no switch that says not to",
            f"remove {which}.thinking, or take a model that can leave it",
        )


def _check_endpoint(key: str, api: ApiEndpoint, recipe: Recipe, origin: str) -> None:
    host = host_of(api)
    if (
        is_billed(api)
        and api.price is None
        and (api.provider or api.kind, api.model) not in (price_list())
    ):
        raise RecipeError(
            f"{origin} {key}.price: the price of {api.model!r} is not in the list, so nothing of "
            "what it costs could be told or limited",
            f'write {key}.price: {{input: "...", output: "..."}}, dollars per million tokens as '
            "the provider's page says",
        )
    if host and not NetworkGuard(recipe.network).allows(host):
        raise RecipeError(
            f"{origin} network: {NetworkGuard(recipe.network).policy}, but {key} asks {host}",
            f"write network: [{host}], and beside it the hosts of whatever else is fetched",
        )


_OPENAI = "api.openai.com"


def host_of(api: ApiEndpoint) -> str:
    """The host that is asked; empty where the recipe must name one and does not."""
    return urlparse(api.base_url or REMOTE[api.kind].home.base_url).hostname or ""


def is_billed(api: ApiEndpoint) -> bool:
    """Whether a provider sends bills; a server of one's own does not."""
    return api.kind in ("anthropic", "bedrock", "gemini") or host_of(api) == _OPENAI


def terms_of(teacher: ModelSource) -> tuple[str, OutputTerms] | None:
    """Under which name which terms of training on a teacher's answers apply; None if unknown.

    Args:
        teacher: of a recipe.

    Returns:
        A licence or a service, and a summary of what it says.
    """
    if teacher.api:
        facts = facts_for(teacher.api.model)
        if facts:
            return facts.licence, facts.terms
        # Behind an address of one's own the licence of whatever is served there applies.
        if teacher.api.kind == "ollama" or (
            teacher.api.kind == "openai" and host_of(teacher.api) != _OPENAI
        ):
            return None
        return teacher.api.kind, service_terms(teacher.api.kind)
    facts = facts_for(teacher.hub or "")
    return (facts.licence, facts.terms) if facts else None


def refuse_forbidden_terms(teacher: ModelSource, origin: str, key: str = "teacher") -> None:
    """Refuse a teacher whose terms forbid some uses of its answers, unless the recipe names them.

    Args:
        teacher: of a recipe, or an engine whose words its student learns.
        origin: what errors name.
        key: where the recipe says who that is.

    Raises:
        RecipeError: with what the terms ask, and the line that lifts this.
    """
    found = terms_of(teacher)
    if found is None:
        return
    name, terms = found
    if terms.outputs == "ask" and teacher.accept_terms != name:
        raise RecipeError(
            f"{origin} {key}: the terms of {name!r} limit training on its answers: "
            f"{terms.sentence} ({terms.url})",
            f"read them; if your use is allowed, write {key}.accept_terms: {name}",
        )
