"""What a bundle's model card says of where the student comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stillhouse.recipes.facts import facts_for
from stillhouse.recipes.models import ModelSource
from stillhouse.recipes.schema import Recipe


def card_of(recipe: Recipe) -> dict[str, Any]:
    """As JSON values, which are part of the export's name."""
    sources = {"teacher": recipe.teacher, "student": recipe.student}
    known = {name: facts_for(source.hub or "") for name, source in sources.items()}
    return {
        "recipe": recipe.name,
        "teacher": _origin(recipe.teacher),
        "base": _origin(recipe.student),
        "licences": {f"{name} weights": facts.licence for name, facts in known.items() if facts}
        | _accepted_terms(recipe.teacher),
    }


def _accepted_terms(teacher: ModelSource) -> dict[str, str]:
    return {"teacher terms accepted": teacher.accept_terms} if teacher.accept_terms else {}


def _origin(source: ModelSource) -> str:
    if source.api:
        return f"{source.api.model}, asked at {source.api.provider or source.api.kind}"
    if source.scratch:
        return f"a {source.scratch.model_type} model of random weights"
    if source.layers_of_teacher:
        return f"layers {', '.join(map(str, source.layers_of_teacher))} of the teacher"
    return source.hub or Path(source.path or "").name
