"""What a recipe may do, and whoever runs it should know first."""

from __future__ import annotations

from stillhouse.recipes.schema import Recipe

_DELETES = (
    "prepare.clean.normalize: ascii deletes every sign but letters, digits, blanks and "
    "_ . , ; : ! ? \" ' ( ) -, so also $ % / = + & @ # * and all currency signs, takes the accents "
    "off letters, and deletes every letter of other scripts; the report counts the rows for each"
)


def cautions(recipe: Recipe) -> tuple[str, ...]:
    """One sentence each; empty for most recipes."""
    deletes = [_DELETES] if recipe.prepare.clean.normalize == "ascii" else []
    foreign_code = [
        f"{name}: the Python code that comes with {source.hub or source.path} is run with your "
        "rights, because trust_remote_code says so"
        for name, source in (("teacher", recipe.teacher), ("student", recipe.student))
        if source.trust_remote_code
    ]
    return (*deletes, *foreign_code)
