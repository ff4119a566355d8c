"""`stillhouse recipe`: the built-in recipes."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from stillhouse.cli.commands import Profile

app = typer.Typer(help="List, show and copy built-in recipes.", no_args_is_help=True)


@app.command("list")
def list_recipes(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the built-in recipes, and which of their profiles this version can run."""
    from stillhouse.cli.tables import table
    from stillhouse.recipes.built import not_built
    from stillhouse.recipes.built_in import PROFILES, library_names, profiles_of
    from stillhouse.recipes.load import load_recipe

    rows = []
    for name in library_names():
        found = {profile: load_recipe(name, (), profile).recipe for profile in profiles_of(name)}
        runs = {profile: not not_built(recipe) for profile, recipe in found.items()}
        rows.append((name, runs, found[PROFILES[0]].description))
    if as_json:
        plain = [
            {"name": name, "runs": runs[PROFILES[0]], "profiles": runs, "description": text}
            for name, runs, text in rows
        ]
        sys.stdout.write(json.dumps(plain, indent=1) + "\n")
        return
    said = {True: "yes", False: "not yet", None: "-"}
    lines = [(name, *[said[runs.get(one)] for one in PROFILES]) for name, runs, _ in rows]
    sys.stdout.write(table(("recipe", *PROFILES), lines) + "\n\n")
    for name, _, text in rows:
        sys.stdout.write(f"{name}: {text}\n")


@app.command("show")
def show_recipe(
    recipe: Annotated[str, typer.Argument(help="A recipe file or a built-in name.")],
    full: Annotated[bool, typer.Option("--full", help="Print every default too.")] = False,
    profile: Profile = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print a recipe, with every default if asked for."""
    from stillhouse.recipes.load import load_recipe

    loaded = load_recipe(recipe, (), profile)
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
    profile: Profile = "",
) -> None:
    """Copy a built-in recipe to a file of your own."""
    from stillhouse.core.errors import UsageError
    from stillhouse.core.files import write_atomic
    from stillhouse.recipes.load import load_recipe, read_recipe_text

    load_recipe(recipe, (), profile)
    text, origin, _ = read_recipe_text(recipe, profile)
    path = target or Path(f"{origin}.yaml")
    if path.exists():
        raise UsageError(f"{path} exists", "choose another name; nothing was written")
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent}", "make it first")
    write_atomic(path, text.encode())
    sys.stdout.write(f"{path}\n")


@app.command("schema")
def schema() -> None:
    """Write the JSON Schema of recipes here, for editors that complete and check."""
    from stillhouse.recipes.first_recipe import SCHEMA_LINE
    from stillhouse.runner.starting import SCHEMA_FILE, write_schema

    write_schema(Path(SCHEMA_FILE))
    sys.stdout.write(f"{SCHEMA_FILE}\n")
    sys.stderr.write(f"a recipe beside it begins with: {SCHEMA_LINE}{SCHEMA_FILE}\n")
