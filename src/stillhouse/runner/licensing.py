"""What licences say of handing a student on: asked before it is trained, and before it goes."""

from __future__ import annotations

from typing import Any

from stillhouse.core.errors import RecipeError, UsageError
from stillhouse.recipes.card_config import known_of
from stillhouse.recipes.facts import ModelFacts, known_models
from stillhouse.recipes.licences import licences
from stillhouse.recipes.schema import Recipe


def refuse_forbidden_weights(recipe: Recipe, origin: str) -> None:
    """Refuse a student whose licence forbids some uses of what is made of it, unless it is named.

    Args:
        recipe: as it is run.
        origin: what errors name.

    Raises:
        RecipeError: with what the licence asks, models that ask nothing, and the line that lifts
            this.
    """
    facts = known_of(recipe).get("student")
    key = "teacher" if recipe.student.layers_of_teacher else "student"
    accepted = (recipe.teacher if key == "teacher" else recipe.student).accept_terms
    if facts is None or facts.terms.weights != "ask" or accepted == facts.licence:
        return
    others = " or ".join(_free(facts))
    raise RecipeError(
        f"{origin} {key}: the licence {facts.licence!r} of {facts.id} limits what may be done with "
        f"weights that are made from its own: {facts.terms.sentence} ({facts.terms.url})",
        f"start from {others}, whose licences do not; or read it, and if your use is allowed write "
        f"{key}.accept_terms: {facts.licence}",
    )


def _free(facts: ModelFacts) -> list[str]:
    """Listed models that ask nothing: the nearest in size of its own family and of Qwen3."""
    own = facts.shape.architecture
    nearest: dict[str, str] = {}
    for one in sorted(known_models(), key=lambda one: abs(one.parameters - facts.parameters)):
        family = one.shape.architecture
        is_plain = one.terms.weights == "yes" and one.stored_as == "bfloat16"
        if is_plain and family in (own, "qwen3"):
            nearest.setdefault(family, one.id)
    return sorted(nearest.values())


def refuse_unlicensed(recipe: Recipe, rows: dict[str, Any], repo_id: str) -> None:
    """Refuse to hand a student on where a licence of its rows or models does not allow it.

    Args:
        recipe: as it was run.
        rows: the summary of `collect`.
        repo_id: `owner/name` that it would have.

    Raises:
        UsageError: every licence that stands in the way, by its name, and what to do.
    """
    problems = [*_of_rows(recipe, rows), *_of_name(recipe, repo_id)]
    if problems:
        raise UsageError(
            f"this student may not go to {repo_id}:\n"
            + "\n".join(f"- {one}" for one, _ in problems),
            "; ".join(dict.fromkeys(mend for _, mend in problems)),
        )


def _of_rows(recipe: Recipe, rows: dict[str, Any]) -> list[tuple[str, str]]:
    rights, known = recipe.collect.rights, licences()
    mend = (
        "take let_through out of collect.rights, so that such rows are left out, and run it again; "
        "a licence that you have read and that permits it goes into collect.rights.also_permitted"
    )
    found = []
    for name, number in rows.get("licences", {}).items():
        licence = known.get(name)
        if name in rights.also_permitted or (licence and licence.training == "yes"):
            continue
        why = licence.sentence if licence else "its terms are not known."
        found.append((f"{number:,} rows are under {name}: {why}", mend))
    missing = [one for one in rows.get("warnings", ()) if "consent" in one]
    return found + [(one, mend) for one in missing]


def _of_name(recipe: Recipe, repo_id: str) -> list[tuple[str, str]]:
    owner, _, name = repo_id.partition("/")
    found = []
    for facts in known_of(recipe).values():
        begins = facts.terms.name_begins
        if begins and not name.startswith(begins):
            found.append((
                f"{facts.licence} of {facts.id}: {facts.terms.sentence}",
                f"call it hub:{owner}/{begins}-{name}",
            ))  # fmt: skip
    return found
