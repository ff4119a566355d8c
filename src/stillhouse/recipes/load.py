"""Loading a recipe: every error at once, each with its line, its key and the nearest valid name."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from stillhouse.core.errors import RecipeError
from stillhouse.recipes.built_in import library_names, read_built_in
from stillhouse.recipes.contradictions import find_contradictions
from stillhouse.recipes.data_steps import STEP_SECTIONS
from stillhouse.recipes.schema import Recipe
from stillhouse.recipes.section import Section
from stillhouse.recipes.yaml_lines import Key, line_numbers, place_of_key, plain_of


@dataclass(frozen=True, slots=True)
class Loaded:
    """A valid recipe with where it came from.

    Attributes:
        recipe: the typed recipe.
        text: the file as written.
        origin: what errors name: a path, or the name of a built-in recipe.
        base_folder: relative paths in the recipe start here.
        overrides: the `--set` texts, in order.
    """

    recipe: Recipe
    text: str
    origin: str
    base_folder: Path
    overrides: tuple[str, ...]


def read_recipe_text(name_or_path: str, profile: str = "") -> tuple[str, str, Path]:
    """The text of a recipe, what errors call it, and the folder its paths start in.

    Args:
        name_or_path: a file, or a built-in recipe's name.
        profile: of a built-in recipe, `full` or `tiny`; the full one if empty.

    Returns:
        The text, the origin and the folder.

    Raises:
        RecipeError: there is no such file and no built-in recipe of that name and profile.
    """
    path = Path(name_or_path)
    if path.is_file():
        _refuse_profile_of_a_file(path, profile)
        try:
            return path.read_text(encoding="utf-8"), str(path), path.resolve().parent
        except UnicodeDecodeError as error:
            raise RecipeError(f"{path}: not UTF-8 text (byte {error.start})") from error
    text, origin = read_built_in(name_or_path, profile)
    return text, origin, Path.cwd()


def _refuse_profile_of_a_file(path: Path, profile: str) -> None:
    if not profile:
        return
    names = library_names()
    hint = f"leave --profile out; built-in recipes with profiles: {', '.join(names)}"
    if path.name in names:
        hint = f"leave --profile out, or call from a folder that has no file {path.name}"
    raise RecipeError(f"--profile {profile}: {path} is a file, and a file has no profiles", hint)


def load_recipe(name_or_path: str, overrides: Sequence[str] = (), profile: str = "") -> Loaded:
    """The recipe of a file or of that built-in name, with `a.b=c` overrides applied.

    Args:
        name_or_path: a file, or a built-in recipe's name.
        overrides: `a.b=c` texts, applied in order.
        profile: of a built-in recipe, `full` or `tiny`; the full one if empty.

    Returns:
        The valid recipe with where it came from.

    Raises:
        RecipeError: holds one line for every problem found.
    """
    text, origin, base_folder = read_recipe_text(name_or_path, profile)
    plain, sources = _read(text, origin, overrides)
    try:
        recipe = Recipe.model_validate_json(json.dumps(plain, default=str))
    except ValidationError as error:
        problems = [_describe(item, sources, origin) for item in _meaningful(error.errors())]
        raise RecipeError("\n".join(dict.fromkeys(problems))) from None
    recipe = recipe.model_copy(update={"label": recipe.label.settled(recipe.train)})
    found = [
        f"{_where(_path(item.key), sources, origin)} {item.key}: {item.text}"
        for item in find_contradictions(recipe)
    ]
    if found:
        raise RecipeError("\n".join(found))
    return Loaded(recipe, text, origin, base_folder, tuple(overrides))


def place_of(loaded: Loaded, dotted: str) -> str:
    """Where a recipe says a key, as errors begin: `file:line key`, or the `--set` that does."""
    _, sources = _read(loaded.text, loaded.origin, loaded.overrides)
    return f"{_where(_path(dotted), sources, loaded.origin)} {dotted}"


def _read(
    text: str, origin: str, overrides: Sequence[str]
) -> tuple[dict[str, Any], dict[Key, str]]:
    """The recipe's values, and where each stands."""
    data = _parse(text, origin)
    plain: dict[str, Any] = plain_of(data)
    sources = {key: f"{origin}:{line}" for key, line in line_numbers(data)}
    for override in overrides:
        changed = _apply(plain, override)
        # What stood below it in the file is no longer there.
        sources = {key: at for key, at in sources.items() if key[: len(changed)] != changed}
        sources[changed] = f"--set {override}"
    return plain, sources


def _parse(text: str, origin: str) -> CommentedMap:
    try:
        data = YAML(typ="rt", pure=True).load(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise RecipeError(f"{origin}:{line}: not valid YAML: {error.problem}") from None
    except YAMLError as error:
        raise RecipeError(f"{origin}: not valid YAML: {error}") from None
    except (ValueError, IndexError) as error:
        raise RecipeError(
            f"{origin}: a value looks like a date or a number and is none: {error}",
            "put it in quotes where it is a text",
        ) from None
    if not isinstance(data, CommentedMap):
        found = "empty" if data is None else f"a {type(data).__name__}"
        raise RecipeError(
            f"{origin}:1: a recipe is a mapping of sections; this file is {found}",
            "start from a built-in one: stillhouse recipe copy quickstart",
        )
    return data


def _apply(data: dict[str, Any], override: str) -> Key:
    name, equals, text = override.partition("=")
    if not equals or not name.strip():
        raise RecipeError(
            f"--set {override}: not of the form a.b=c", "for example --set train.seed=1"
        )
    keys = _override_keys(data, name.strip().split("."), override)
    try:
        value = plain_of(YAML(typ="rt", pure=True).load(text)) if text.strip() else None
    except (YAMLError, ValueError, IndexError):
        value = text
    except RecursionError:
        raise RecipeError(f"--set {override}: it holds itself", "write the value out") from None
    node: Any = data
    for key in keys[:-1]:
        node = node[key]
    node[keys[-1]] = value
    return keys


def _override_keys(data: dict[str, Any], names: list[str], override: str) -> Key:
    """The path of an override, with sections made where they are absent."""
    node: Any = data
    keys: list[str | int] = []
    for position, name in enumerate(names):
        if isinstance(node, list):
            if not name.isdecimal() or int(name) >= len(node):
                raise RecipeError(f"--set {override}: {name} is no place in a list of {len(node)}")
            keys.append(int(name))
        elif isinstance(node, dict):
            keys.append(name)
            if position + 1 < len(names) and node.get(name) is None:
                node[name] = {}
        else:
            raise RecipeError(f"--set {override}: {names[position - 1]} is a value, not a section")
        if position + 1 < len(names):
            node = node[keys[-1]]
    return tuple(keys)


def _meaningful(errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """Of the errors of one union, those of the alternative that the value resembles."""
    structural = [e for e in errors if e["type"] not in ("literal_error", "string_type")]
    keys = {_key(e["loc"]) for e in structural}
    return [
        e
        for e in errors
        if e in structural or not any(key[: len(_key(e["loc"]))] == _key(e["loc"]) for key in keys)
    ]


def _key(loc: tuple[int | str, ...]) -> Key:
    """The recipe's key of a pydantic location, without the names of union alternatives."""
    section: Any = Recipe
    key: list[str | int] = []
    for part in loc:
        if isinstance(section, type) and issubclass(section, Section):
            fields = _fields(section)
            section = _section_in(fields[str(part)]) if part in fields else None
            key.append(part)
        elif key[-2:-1] == ["steps"] and part in STEP_SECTIONS:
            section = STEP_SECTIONS[str(part)]
        elif isinstance(part, int) or not _is_alternative(str(part)):
            key.append(part)
    return tuple(key)


def _is_alternative(part: str) -> bool:
    marks = ("[", "function-", "constrained-", "literal")
    names = {"int", "float", "str", "bool", "tuple", "dict", "list", "PlainTemplate"}
    return part in names or part.startswith(marks)


def _fields(section: type[Section]) -> dict[str, Any]:
    return {field.alias or name: field.annotation for name, field in section.model_fields.items()}


def _section_in(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    found = [_section_in(part) for part in get_args(annotation)]
    return next((section for section in found if section is not None), None)


def _describe(error: ErrorDetails, sources: dict[Key, str], origin: str) -> str:
    key = _key(error["loc"])
    where = _where(key, sources, origin)
    dotted = ".".join(str(part) for part in key)
    head = f"{where} {dotted}".rstrip()
    if error["type"] == "extra_forbidden":
        return f"{head}: unknown key{_nearest(str(key[-1]), _names_beside(error['loc']))}"
    if error["type"] == "missing":
        return f"{head}: missing; it has no default"
    if error["type"].startswith("union_tag"):
        given = str(error.get("ctx", {}).get("tag", ""))
        said = f"no step is called {given!r}" if given else "a step needs its name"
        return f"{head}: {said}{_nearest(given, list(STEP_SECTIONS), 'steps')}"
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "value_error":
        return f"{head}: {message}"
    given = json.dumps(error["input"], default=str, ensure_ascii=False)
    shown = given if len(given) <= 60 else given[:57] + "..."
    guess = _nearest_choice(error) if error["type"] == "literal_error" else ""
    return f"{head}: {message[0].lower()}{message[1:]}; this is {shown}{guess}"


def _nearest_choice(error: ErrorDetails) -> str:
    choices = re.findall("'([^']*)'", error["ctx"]["expected"])
    near = difflib.get_close_matches(str(error["input"]), choices, n=1, cutoff=0.5)
    return f'; did you mean "{near[0]}"?' if near else ""


def _where(key: Key, sources: dict[Key, str], origin: str) -> str:
    return place_of_key(key, sources, f"{origin}:1")


def _path(dotted: str) -> Key:
    return tuple(int(part) if part.isdecimal() else part for part in dotted.split("."))


def _names_beside(loc: tuple[int | str, ...]) -> list[str]:
    """The keys that the section of a location has."""
    section: Any = Recipe
    for part in loc[:-1]:
        if part in STEP_SECTIONS:
            section = STEP_SECTIONS[str(part)]
        elif isinstance(section, type) and issubclass(section, Section):
            section = _section_in(_fields(section).get(str(part)))
    is_section = isinstance(section, type) and issubclass(section, Section)
    return list(_fields(section)) if is_section else []


def _nearest(given: str, names: list[str], kind: str = "keys here") -> str:
    near = difflib.get_close_matches(given, names, n=1, cutoff=0.5)
    if near:
        return f'; did you mean "{near[0]}"?'
    return f"; the {kind} are {', '.join(names)}" if names else ""
