"""`stillhouse recipe`: the built-in recipes."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="List, show and copy built-in recipes.", no_args_is_help=True)


@app.command("list")
def list_recipes(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the built-in recipes."""
    from stillhouse.cli.tables import table
    from stillhouse.recipes.built import not_built
    from stillhouse.recipes.load import library_names, load_recipe

    found = [(name, load_recipe(name).recipe) for name in library_names()]
    rows = [(name, not_built(recipe), recipe.description) for name, recipe in found]
    if as_json:
        plain = [
            {"name": name, "runs": not missing, "description": text} for name, missing, text in rows
        ]
        sys.stdout.write(json.dumps(plain, indent=1) + "\n")
        return
    lines = [(name, "yes" if not missing else "not yet") for name, missing, _ in rows]
    sys.stdout.write(table(("recipe", "runs"), lines) + "\n\n")
    for name, _, text in rows:
        sys.stdout.write(f"{name}: {text}\n")


@app.command("show")
def show_recipe(
    recipe: Annotated[str, typer.Argument(help="A recipe file or a built-in name.")],
    full: Annotated[bool, typer.Option("--full", help="Print every default too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print a recipe, with every default if asked for."""
    from stillhouse.recipes.load import load_recipe

    loaded = load_recipe(recipe)
    plain = loaded.recipe.model_dump(mode="json", by_alias=True)
    if as_json:
        sys.stdout.write(json.dumps(plain, indent=1, ensure_ascii=False) + "\n")
    elif full:
        from ruamel.yaml import YAML

        stream = io.StringIO()
        YAML(typ="safe", pure=True).dump(plain, stream)
        sys.stdout.write(stream.getvalue())
    else:
        sys.stdout.write(loaded.text)


@app.command("copy")
def copy_recipe(
    recipe: Annotated[str, typer.Argument(help="A built-in name.")],
    target: Annotated[Path | None, typer.Argument(help="Where to; NAME.yaml if not given.")] = None,
) -> None:
    """Copy a built-in recipe to a file of your own."""
    from stillhouse.core.errors import UsageError
    from stillhouse.core.files import write_atomic
    from stillhouse.recipes.load import load_recipe, read_recipe_text

    load_recipe(recipe)
    text, _, _ = read_recipe_text(recipe)
    path = target or Path(f"{recipe}.yaml")
    if path.exists():
        raise UsageError(f"{path} exists", "choose another name; nothing was written")
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent}", "make it first")
    write_atomic(path, text.encode())
    sys.stdout.write(f"{path}\n")
