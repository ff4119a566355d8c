"""Writes the generated pages of `docs/reference`: commands, keys of a recipe, metrics.

Run it with `make docs`; a test compares what it would write with what is there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import typer.main
from founding_map import founding_page
from pydantic import BaseModel
from typer.testing import CliRunner

from stillhouse.cli.main import app
from stillhouse.core.kd_metrics import KdMetrics, StepMetrics, Trend, ValidationMetrics
from stillhouse.evals.diversity import score_words, word_metrics
from stillhouse.evals.embeddings import embedding_metrics, score_embeddings
from stillhouse.evals.metric import Metric
from stillhouse.evals.metrics import FIELD_TEMPLATES, FIXED
from stillhouse.evals.scores import Scores
from stillhouse.evals.tags import TRADITION, score_tags, tag_metrics
from stillhouse.evals.templates import fill
from stillhouse.recipes import built
from stillhouse.recipes.data_steps import STEP_SECTIONS
from stillhouse.recipes.schema import Recipe
from stillhouse.recipes.section import Section
from stillhouse.report.record import Content
from stillhouse.report.schema import report_schema, schema_text

REFERENCE = Path(__file__).parent / "reference"
_RECIPE_SCHEMA = "../../src/stillhouse/recipes/recipe.schema.json"
_SCHEMA = "../../src/stillhouse/report/report.schema.json"
_WIDTH = {"COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1"}
_NOTE = "<!-- Written by docs/generate.py (`make docs`); edit the source, not this page. -->"


def pages() -> dict[str, str]:
    """The text of every generated page, by its file name."""
    return {
        "cli.md": cli_page(),
        "founding-systems.md": founding_page(_NOTE),
        "kd-metrics.md": kd_metrics_page(),
        "metrics.md": metrics_page(),
        "recipe.md": recipe_page(),
        "recipe.schema.json": recipe_schema_text(),
        _RECIPE_SCHEMA: recipe_schema_text(),
        "report.md": report_page(),
        _SCHEMA: schema_text(),
    }


def cli_page() -> str:
    """Every command with its `--help`."""
    parts = [
        _NOTE,
        "# The command line",
        "Results go to standard output, progress and errors to standard error. The exit codes are "
        "0 done, 1 failed, 2 the recipe or the call is wrong, 3 the gate said no, "
        "130 interrupted.",
    ]
    for words in command_names():
        parts.append(f"## {' '.join(('stillhouse', *words))}")
        parts.append(f"```text\n{_help_of(words)}\n```")
    return "\n\n".join(parts) + "\n"


def command_names() -> list[tuple[str, ...]]:
    """The words of every command, the program itself first: (), ("run",), ("recipe", "list")."""
    return list(_walk(typer.main.get_command(app), ()))


def _walk(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    yield words
    for name, child in getattr(command, "commands", {}).items():
        yield from _walk(child, (*words, name))


def _help_of(words: tuple[str, ...]) -> str:
    found = CliRunner().invoke(app, [*words, "--help"], prog_name="stillhouse", env=_WIDTH)
    return "\n".join(line.rstrip() for line in found.output.strip().splitlines())


def recipe_page() -> str:
    """Every section of a recipe with its keys, and what of it cannot be run yet."""
    schema = Recipe.model_json_schema(by_alias=True)
    kinds = {kind.__name__: kind for kind in _kinds(Section)}
    parts = [
        _NOTE,
        "# The recipe",
        "A recipe is one YAML file with one section a stage. An unknown key is an error that names "
        "its line and the nearest valid key. `stillhouse recipe show NAME --full` prints every "
        "default, `--set a.b=c` changes one value.",
    ]
    for name, places in _places(schema).items():
        properties = schema if name == "Recipe" else schema["$defs"][name]
        title = ", ".join(f"`{place}`" for place in places) if name != "Recipe" else "A recipe"
        if kinds[name] in STEP_SECTIONS.values():
            title = f"{title}: `{properties['properties']['name']['default']}`"
        parts.append(f'<a id="{name.lower()}"></a>\n\n## {title}')
        parts.append(_prose(kinds[name]))
        parts.append(_table(properties, kinds, kinds[name]))
    parts.append("## What this version cannot run yet")
    parts.append(
        "A recipe may say all of the above. What is named here is refused by `check` and `run`, "
        "with the key and the reason, before anything starts."
    )
    lines = ["| key | why |", "|---|---|"]
    lines += [f"| `{row.key}` | {_why(row.what)} |" for row in built._TABLE]
    parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _why(what: str) -> str:
    """A reason without a list of all metrics, which have a page of their own."""
    before, word, _ = what.partition("; measured are ")
    return f"{before}; [these](metrics.md) are" if word else what


def recipe_schema_text() -> str:
    """The JSON Schema of a recipe for editors, every key with its meaning."""
    schema = Recipe.model_json_schema(by_alias=True)
    kinds = {kind.__name__: kind for kind in _kinds(Section)}
    for name, node in [("Recipe", schema), *schema["$defs"].items()]:
        said = _attributes(kinds[name], Section) if name in kinds else {}
        for key, value in node.get("properties", {}).items():
            if key in said:
                # Beside a reference no other key counted before draft 2019-09.
                value["description"] = said[key]
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps(dialect | schema, indent=1, ensure_ascii=False) + "\n"


def kd_metrics_page() -> str:
    """Every record of `kd_metrics.json`, and its JSON Schema."""
    parts = [_NOTE, "# kd_metrics.json", _prose(KdMetrics)]
    for kind in (KdMetrics, StepMetrics, ValidationMetrics, Trend):
        parts.append(f"## {_spaced(kind.__name__)}")
        if kind is not KdMetrics:
            parts.append(_prose(kind))
        said = _attributes(kind, BaseModel)
        rows = ["| key | meaning |", "|---|---|"]
        parts.append(
            "\n".join([*rows, *(f"| `{key}` | {said[key]} |" for key in kind.model_fields)])
        )
    schema = json.dumps(KdMetrics.model_json_schema(), indent=1)
    plain = re.sub(r'^ *"description": ".*",?\n', "", schema, flags=re.M)
    parts += ["## JSON Schema", f"```json\n{plain}\n```"]
    return "\n\n".join(parts) + "\n"


def report_page() -> str:
    """What a run's report says, and every record of its JSON."""
    schema = report_schema()
    kinds = {kind.__name__: kind for kind in _kinds(Content)}
    records = {"RunReport": schema, **schema["$defs"]}
    parts = [_NOTE, _REPORT.strip()]
    for name, node in records.items():
        parts.append(f'<a id="{name.lower()}"></a>\n\n## {_spaced(name)}')
        parts.append(_prose(kinds[name]))
        rows = ["| key | value | meaning |", "|---|---|---|"]
        said = _attributes(kinds[name], Content)
        rows += [
            f"| `{key}` | {_type(value)} | {said.get(key) or _meaning(value, kinds)} |"
            for key, value in node["properties"].items()
        ]
        parts.append("\n".join(rows))
    return "\n\n".join(parts) + "\n"


def _spaced(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).capitalize()


_REPORT = """
# The report's data

What `stillhouse report RUN --format json` prints, and what the page embeds in `#report-data`, record by record;
[how to read a report](../how-to/read-a-report.md) says what it means. The same as a JSON Schema lies in the installed package:
`stillhouse/report/report.schema.json`. A number that is not finite is written as `"NaN"`, `"Infinity"` or `"-Infinity"`, because
JSON has no word for it; money is text, because a float cannot hold it.
"""


def metrics_page() -> str:
    """Every metric with what it is, its unit, its direction, its interval and its source."""
    parts = [
        _NOTE,
        "# Metrics",
        "What can be measured is measured, named in the recipe or not; a metric without its data "
        "is left out. Each is a statistic of one table with a row an example, so that every one "
        "has an interval and two candidates are compared on the same examples. The interval of a "
        "*fraction* whose units come one an example is exact; every other one comes from the "
        "bootstrap. A metric without a unit is a share or a plain number.",
        "## Of a candidate",
        _metric_table(FIXED),
        "## Of a field",
        "`F` stands for the field's name: `accuracy.verdict`. A plain answer is one field, "
        "`answer`. What is measured of a field depends on its kind, "
        "[as the recipe declares it](recipe.md#answerkind). An answer that is missing, of another "
        "kind or off its scale is **wrong**: no class, an empty set or text, or the end of the scale that is "
        "farther from the reference. `unreadable.F` says how many there are. An example whose "
        "*reference* lacks the field is left out of that field's numbers.",
    ]
    for what, templates in FIELD_TEMPLATES.items():
        parts.append(f"### Of {what}")
        parts.append(_metric_table(fill(template, "F") for template in templates))
    parts += [
        "## Of public tasks",
        "`harness.TASK.METRIC` is whatever a task of lm-evaluation-harness measures, under its "
        "name and in its direction; [measure and gate](../how-to/measure-and-gate.md#public-tasks) "
        "says which have an interval.",
        "## Of words, embeddings and declared tags",
        "Of all answers together; [the page on audits](../how-to/diversity-audit.md) says how they "
        "are measured. The numbers of tags stand here for fifteen traditions and two classes.",
        _metric_table(_of_a_corpus()),
    ]
    return "\n\n".join(parts) + "\n"


def _of_a_corpus() -> list[Metric]:
    traditions = [f"tradition {number}" for number in range(15)]
    tags = score_tags([[set()]], traditions, TRADITION) | score_tags([[set()]], ["a", "b"])
    columns = score_words(["word"]) | score_embeddings(np.ones((1, 1))) | tags
    scores = Scores(("one",), columns)
    families = (word_metrics, embedding_metrics, tag_metrics)
    return [metric for family in families for metric in family(scores)]


def _metric_table(metrics: Iterable[Metric]) -> str:
    lines = [
        "| metric | definition | better | unit | interval | source |",
        "|---|---|---|---|---|---|",
    ]
    for metric in metrics:
        cells = (
            f"`{metric.name}`",
            metric.definition,
            metric.better,
            metric.unit,
            "fraction" if metric.is_fraction else "bootstrap",
            metric.source,
        )
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines)


def _kinds(base: type[Any]) -> Iterator[type[Any]]:
    for kind in base.__subclasses__():
        yield kind
        yield from _kinds(kind)


def _places(schema: dict[str, Any]) -> dict[str, list[str]]:
    """Section class to the dotted keys where it stands, in the order of the recipe."""
    found: dict[str, list[str]] = {"Recipe": [""]}
    queue = [("Recipe", "", schema)]
    while queue:
        _, prefix, node = queue.pop(0)
        for key, value in node["properties"].items():
            for name in _references(value):
                place = f"{prefix}{key}"
                if place not in found.setdefault(name, []):
                    found[name].append(place)
                queue.append((name, f"{place}.", schema["$defs"][name]))
    return dict(sorted(found.items(), key=lambda item: _order(item[1][0], schema)))


def _order(place: str, schema: dict[str, Any]) -> tuple[int, str]:
    top = [*schema["properties"]]
    return (top.index(place.split(".")[0]) if place else -1, place)


def _references(value: dict[str, Any]) -> list[str]:
    text = str(value)
    return re.findall(r"#/\$defs/(\w+)", text)


def _prose(kind: type[Any]) -> str:
    return (kind.__doc__ or "").partition("Attributes:")[0].strip().replace("\n    ", "\n")


def _table(node: dict[str, Any], kinds: dict[str, type[Any]], kind: type[Any]) -> str:
    said = _attributes(kind)
    lines = ["| key | value | default | meaning |", "|---|---|---|---|"]
    required = node.get("required", [])
    for key, value in node["properties"].items():
        default = "**required**" if key in required else _default(value)
        meaning = (said.get(key) or _meaning(value, kinds)).replace("|", "\\|")
        lines.append(f"| `{key}` | {_type(value)} | {default} | {meaning} |")
    return "\n".join(lines)


def _attributes(kind: type[Any], base: type[Any] = Section) -> dict[str, str]:
    """Key to its description, from the docstrings of a section and of what it extends."""
    found: dict[str, str] = {}
    for part in reversed(kind.__mro__):
        _, _, text = (part.__doc__ or "").partition("    Attributes:\n")
        if not issubclass(part, base):
            continue
        key = ""
        for line in text.splitlines():
            match = re.match(r" {8}(\w+): (.*)", line)
            if match:
                key = match[1]
                found[key] = match[2].strip()
            elif key and line.strip():
                found[key] += " " + line.strip()
    return found


def _meaning(value: dict[str, Any], kinds: dict[str, type[Any]]) -> str:
    names = _references(value)
    return _prose(kinds[names[0]]).partition("\n")[0] if names else ""


def _default(value: dict[str, Any]) -> str:
    default = value.get("default")
    if isinstance(default, dict) and _references(value):
        return "its defaults"
    if default is None or default in ([], {}, ""):
        return "none"
    if isinstance(default, list):
        return "`[" + ", ".join(str(item) for item in default) + "]`"
    text = str(default).lower() if isinstance(default, bool) else str(default)
    return f"`{text}`".replace("\n", "\\n")


def _type(value: dict[str, Any]) -> str:
    if "anyOf" in value or "oneOf" in value:
        either = value.get("anyOf") or value["oneOf"]
        kinds = [item for item in either if item.get("type") != "null"]
        return " or ".join(dict.fromkeys(_type(item) for item in kinds))
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        return f"[section](#{name.lower()})"
    if "const" in value:
        return f"`{value['const']}`"
    if "enum" in value:
        return ", ".join(f"`{item}`" for item in value["enum"])
    kind = value.get("type")
    if kind == "array":
        inner = _type(value.get("items", {}))
        return f"list of {inner}"
    if kind == "object":
        inner = value.get("additionalProperties")
        return f"mapping to {_type(inner)}" if isinstance(inner, dict) else "mapping"
    names = {"integer": "whole number", "number": "number", "string": "text", "boolean": "yes/no"}
    return names.get(str(kind), "any value") + _range(value)


def _range(value: dict[str, Any]) -> str:
    signs = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    said = [f"{sign} {_number(value[name])}" for name, sign in signs.items() if name in value]
    said += [f"`{value['pattern']}`"] if "pattern" in value else []
    return " " + ", ".join(said) if said else ""


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def main() -> None:
    """Write the pages."""
    REFERENCE.mkdir(exist_ok=True)
    for name, text in pages().items():
        (REFERENCE / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
