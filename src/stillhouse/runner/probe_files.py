"""The file that `evaluate.probes` names: what cannot be asked of answers is refused at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path

from stillhouse.core.errors import InputError, RecipeError
from stillhouse.evals.probe_file import Probe, ProbeFile, own_probes, read_probes
from stillhouse.recipes.load import Loaded, place_of
from stillhouse.recipes.metric_names import OF_TAGS
from stillhouse.recipes.schema import Recipe
from stillhouse.stages.probing import ANSWER, CONTEXTS, COUNTED, FIELD_OF_ANSWER, metrics_of_probes

_KEY = "evaluate.probes"


def find_probes(recipe: Recipe, loaded: Loaded) -> ProbeFile | None:
    """The probes that a recipe asks of answers.

    Args:
        recipe: the effective recipe.
        loaded: where it says so.

    Returns:
        The file; None where the recipe names none.

    Raises:
        RecipeError: no such file, a probe that cannot be asked of answers, or a rule on a metric
            that no probe of the file has; names the line.
    """
    if recipe.evaluate.probes is None:
        return None
    named = recipe.evaluate.probes
    path = loaded.base_folder / named
    if not path.is_file() and not Path(named).suffix and own_probes(named).is_file():
        path = own_probes(named)
    if not path.is_file():
        raise RecipeError(
            f"{place_of(loaded, _KEY)}: there is no file {path}",
            "a relative path starts at the recipe's folder; probes that come with Stillhouse are "
            "called texts and prompts",
        )
    try:
        file = read_probes(path)
    except InputError as error:
        raise RecipeError(error.message, error.hint) from error
    problems = [
        f"{file.place_of(number, key)}: {problem}"
        for number, probe in enumerate(file.probes.probes)
        for key, problem in _problems(probe, recipe)
    ]
    problems += [*_several(file), *_unmeasured(recipe, loaded, file)]
    if problems:
        raise RecipeError("\n".join(problems))
    return file


def _problems(probe: Probe, recipe: Recipe) -> Iterator[tuple[str, str]]:
    if probe.kind not in (*COUNTED, CONTEXTS) and "diversity" not in recipe.evaluate.measures:
        yield (
            "kind",
            f"{probe.kind} is measured of a run by evaluate.measures: [diversity]; add it, or "
            "leave the probe to an audit",
        )
    as_json = recipe.prepare.answer_format == "json"
    if probe.text not in ANSWER and not (as_json and probe.text.startswith(FIELD_OF_ANSWER)):
        fields = " or answer.FIELD" if as_json else ""
        yield "text", f"{probe.text!r} is nothing of an answer; write answer{fields}"


def _several(file: ProbeFile) -> Iterator[str]:
    of_contexts = [n for n, probe in enumerate(file.probes.probes) if probe.kind == CONTEXTS]
    for number in of_contexts[1:]:
        yield f"{file.place_of(number, 'kind')}: a run has one probe of the kind contexts"


def _unmeasured(recipe: Recipe, loaded: Loaded, file: ProbeFile) -> Iterator[str]:
    known = metrics_of_probes(file.probes.probes)
    for key, name in _named(recipe):
        if name.startswith(OF_TAGS) and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            guess = f'did you mean "{near[0]}"? ' if near else ""
            has = ", ".join(known) or "nothing: it counts neither classes nor traditions"
            yield (
                f"{place_of(loaded, key)}: no probe of {recipe.evaluate.probes} gives {name}; "
                f"{guess}it gives {has}"
            )


def _named(recipe: Recipe) -> Iterator[tuple[str, str]]:
    for number, name in enumerate(recipe.evaluate.metrics):
        yield f"evaluate.metrics.{number}", name
    gates = {"gate": recipe.gate, "finetune.gate": recipe.finetune and recipe.finetune.gate}
    for section, gate in gates.items():
        for number, rule in enumerate(gate.rules if gate else ()):
            yield f"{section}.rules.{number}.metric", rule.metric
