"""What a recipe may do, and whoever runs it should know first."""

from __future__ import annotations

from stillhouse.recipes.schema import Recipe


def cautions(recipe: Recipe) -> tuple[str, ...]:
    """One sentence each; empty for most recipes."""
    return tuple(
        f"{name}: the Python code that comes with {source.hub or source.path} is run with your "
        "rights, because trust_remote_code says so"
        for name, source in (("teacher", recipe.teacher), ("student", recipe.student))
        if source.trust_remote_code
    )
