"""What a bundle's cards say of where the student comes from, and of the terms that it is under."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stillhouse.recipes.facts import ModelFacts, facts_for, service_terms
from stillhouse.recipes.models import ModelSource
from stillhouse.recipes.schema import Recipe

_ON_THE_HUB = ("apache-2.0", "mit", "llama3.2")
"""Licences that the hub knows by that name."""


def card_of(recipe: Recipe) -> dict[str, Any]:
    """As JSON values, which are part of the export's name."""
    known = known_of(recipe)
    terms = {facts.licence: facts.terms for facts in known.values()}
    return {
        "recipe": recipe.name,
        "teacher": _origin(recipe.teacher),
        "base": _origin(recipe.student),
        "licences": {f"{name} weights": facts.licence for name, facts in known.items()}
        | _accepted_terms("teacher", recipe.teacher)
        | _accepted_terms("student", recipe.student),
        "notices": [one.notice for _, one in sorted(terms.items()) if one.notice],
        "texts": {name: one.url for name, one in sorted(terms.items())} | _service(recipe.teacher),
        "hub": _hub_metadata(recipe, known.get("student")),
    }


def known_of(recipe: Recipe) -> dict[str, ModelFacts]:
    """What is known of teacher and student: of the models whose weights or words are learned."""
    whose = {"teacher": recipe.teacher, "student": recipe.student}
    if recipe.student.layers_of_teacher:
        whose["student"] = recipe.teacher
    asked = recipe.teacher.api.model if recipe.teacher.api else ""
    found = {name: facts_for(source.hub or "") for name, source in whose.items()}
    found["teacher"] = found["teacher"] or facts_for(asked)
    return {name: facts for name, facts in found.items() if facts}


def _hub_metadata(recipe: Recipe, student: ModelFacts | None) -> dict[str, Any]:
    """Keys of a model card's metadata that do not depend on the forms of the bundle."""
    base = recipe.teacher if recipe.student.layers_of_teacher else recipe.student
    found: dict[str, Any] = {}
    if student:
        found["license"] = student.licence if student.licence in _ON_THE_HUB else "other"
        if found["license"] == "other":
            found |= {"license_name": student.licence, "license_link": student.terms.url}
    if base.hub:
        found["base_model"] = base.hub
    dataset = recipe.collect.source.dataset
    # A folder that `datasets` saved has no id.
    if dataset and len(dataset.id.split("/")) == 2 and not dataset.id.startswith((".", "/")):
        found["datasets"] = [dataset.id]
    return found


def _accepted_terms(name: str, source: ModelSource) -> dict[str, str]:
    return {f"{name} terms accepted": source.accept_terms} if source.accept_terms else {}


def _service(teacher: ModelSource) -> dict[str, str]:
    """The terms of whoever serves a teacher, where its answers are under them."""
    kind = teacher.api.kind if teacher.api else ""
    return (
        {f"{kind}'s terms": service_terms(kind).url}
        if kind and teacher.accept_terms == kind
        else {}
    )


def _origin(source: ModelSource) -> str:
    if source.api:
        return f"{source.api.model}, asked at {source.api.provider or source.api.kind}"
    if source.scratch:
        return f"a {source.scratch.model_type} model of random weights"
    if source.layers_of_teacher:
        return f"layers {', '.join(map(str, source.layers_of_teacher))} of the teacher"
    return source.hub or Path(source.path or "").name
