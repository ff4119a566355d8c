"""What a run would do and cost, before anything is spent; refuses what cannot fit."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from stillhouse.core.errors import ArtifactError, UsageError
from stillhouse.data.split import NEAR_LEARNED
from stillhouse.recipes.cautions import cautions
from stillhouse.recipes.corrections import corrected
from stillhouse.recipes.facts import facts_for, smaller_students
from stillhouse.recipes.load import Loaded
from stillhouse.recipes.optimizer_problems import optimizer_cautions
from stillhouse.recipes.plan import Instance
from stillhouse.recipes.schema import Recipe
from stillhouse.recipes.waiting import waiting
from stillhouse.runner.assuming import planned
from stillhouse.runner.check_report import CheckReport, InstanceCheck
from stillhouse.runner.collecting import notes_of
from stillhouse.runner.extras import GGUF_MEND, missing_for_gguf
from stillhouse.runner.other_machine import machine_of
from stillhouse.runner.pairing import terms_of
from stillhouse.runner.preview import Preview, preview
from stillhouse.runner.pricing import Pricer
from stillhouse.runner.probing import probe, rates_of
from stillhouse.runner.references import require_measurable
from stillhouse.runner.resolve import Resolved, resolve
from stillhouse.runner.run import Place, refuse_early
from stillhouse.runner.savings import Free, Way, savings, way_to_fit
from stillhouse.runner.shipped_texts import check_texts


def check_recipe(
    loaded: Loaded,
    recipe: Recipe,
    place: Place,
    *,
    num_rows: int = 0,
    is_probing: bool = False,
    machine: str = "",
) -> CheckReport:
    """The cost of a recipe, also where its rows or its models cannot be looked at yet.

    Args:
        loaded: the recipe as written.
        recipe: as it would be run.
        place: where it would run.
        num_rows: assume that many rows in the place of a file that is not there; 0 reads it.
        is_probing: as of `check`.
        machine: as `machine_of` reads it; this one if empty.

    Returns:
        As of `check`; `assumed` tells what was not looked at.

    Raises:
        UsageError: the recipe, its rows or its models cannot be used.
    """
    if machine and is_probing:
        raise UsageError("--probe measures this machine, and --machine describes another")
    there = machine_of(machine)
    with planned(loaded, recipe, num_rows) as plan:
        resolved = resolve(
            loaded, plan.recipe, place.erasures, stand_ins=plan.stand_ins, host=there.host
        )
        if plan.num_rows:
            seen = resolved.source
            size = seen.num_bytes * plan.num_rows // max(1, seen.num_rows)
            resolved.source = replace(seen, num_rows=plan.num_rows, num_bytes=size)
            resolved.is_assumed = True
        found = check(resolved, place, is_probing=is_probing)
        missing = (plan.missing.message, plan.missing.hint) if plan.missing else ()
        assumed = (*plan.notes, *plan.stand_ins.notes)
        disk = found.free_disk_bytes if there.disk_bytes is None else there.disk_bytes
        return replace(
            found, assumed=assumed, missing=missing, machine=there.name, free_disk_bytes=disk
        )


def check(resolved: Resolved, place: Place, *, is_probing: bool = False) -> CheckReport:
    """The cost of every instance of a plan.

    Args:
        resolved: the recipe with its plan.
        place: where it would run.
        is_probing: measure this machine for ten seconds, unless that was done in this runs folder.

    Returns:
        Every instance with its price, and what this machine has free.

    Raises:
        InputError: the references are not what the recipe says of their fields.
    """
    refuse_early(resolved, place)
    seen = preview(resolved)
    require_measurable(resolved.recipe, seen.examples)
    check_texts(resolved.recipe, seen, resolved.loaded)
    compute, host = resolved.compute, resolved.host
    rates = (probe if is_probing else rates_of)(place.root, compute)
    card = host.card(compute.card or 0) if compute.device == "cuda" else None
    free = Free(host.memory_bytes, card.free_bytes if card else 0)
    pricer = Pricer(resolved, seen, rates)
    items = tuple(_item(one, place, pricer, free) for one in resolved.plan.instances)
    todo = [item.cost for item in items if not item.is_done]
    way = _way(resolved, pricer, items, free)
    parts: dict[str, int] = {}
    for example in seen.examples:
        parts[example.part] = parts.get(example.part, 0) + 1
    return CheckReport(
        name=place.name,
        instances=items,
        parts={name: round(count * seen.scale) for name, count in sorted(parts.items())},
        dropped=seen.dropped,
        noted={note: count for note, count in seen.noted.items() if note != NEAR_LEARNED},
        cut_prompts=seen.num_cut,
        long_answers=seen.long_answers(_most_written(resolved.recipe)),
        compute=compute,
        cautions=(
            *compute.notes,
            *cautions(resolved.recipe),
            *notes_of(resolved.recipe, resolved.loaded.base_folder),
            *_of_optimizers(resolved.recipe, seen),
            *_of_leaks(seen),
            *_of_llama_cpp(resolved.recipe),
            *_of_readers(resolved.difference),
        ),
        waiting=waiting(resolved.recipe.model_dump(include={"serve", "monitor"})),
        terms=_terms(resolved),
        student_licence=_student_licence(resolved.recipe),
        likely_usd=sum(cost.likely_usd for cost in todo),
        most_usd=sum(cost.most_usd for cost in todo),
        budget_usd=_budget(resolved.recipe),
        memory_bytes=max((cost.needed_bytes for cost in todo), default=0),
        device_bytes=max((cost.device_bytes for cost in todo), default=0),
        disk_bytes=_disk_to_come(items, place),
        seconds=sum(cost.seconds for cost in todo),
        free_memory_bytes=free.memory_bytes,
        free_device_bytes=free.device_bytes,
        free_disk_bytes=_free_disk(place.root),
        is_probed=rates.is_probed,
        corrected=tuple(corrected(resolved.recipe)),
        way=way,
        smaller=_smaller(resolved.recipe) if way else (),
    )


def _way(
    resolved: Resolved, pricer: Pricer, items: Sequence[InstanceCheck], free: Free
) -> Way | None:
    if all(item.is_done or free.holds(item.cost) for item in items):
        return None
    waiting_for = {item.key for item in items if not item.is_done}
    todo = [one for one in resolved.plan.instances if one.key in waiting_for]
    return way_to_fit(pricer, todo, free)


def _smaller(recipe: Recipe) -> tuple[str, ...]:
    if recipe.domains or not recipe.student.hub:
        return ()
    return tuple(smaller_students(recipe.student.hub, recipe.teacher.hub or ""))


def _of_leaks(seen: Preview) -> Iterator[str]:
    near = seen.noted.get(NEAR_LEARNED, 0)
    if near:
        yield (
            f"{near:,} of the measured rows have a near copy that is learned; "
            "prepare.split.near_duplicates: 0.8 keeps such rows in one part"
        )


def _of_readers(difference: str) -> Iterator[str]:
    if difference:
        yield (
            f"teacher and student read by words of their own ({difference}): the student learns "
            "text and named answers, and numbers per token do not compare between them"
        )


def _of_llama_cpp(recipe: Recipe) -> Iterator[str]:
    missing = missing_for_gguf() if recipe.export.gguf_files else []
    if missing:
        yield f"{', '.join(missing)} is not installed, without which run refuses: {GGUF_MEND}"


def _item(instance: Instance, place: Place, pricer: Pricer, free: Free) -> InstanceCheck:
    cost = pricer.price(instance)
    return InstanceCheck(
        instance.key,
        instance.artifact_id,
        _is_done(place, instance.artifact_id),
        cost,
        () if free.holds(cost) else savings(pricer, instance),
    )


def _of_optimizers(recipe: Recipe, seen: Preview) -> Iterator[str]:
    trainings = (
        ("finetune", recipe.finetune, 1),
        ("train", recipe.train, recipe.label.samples),
    )
    for name, training, samples in trainings:
        if training:
            examples = seen.count(training.parts, 0.0).examples * samples
            yield from optimizer_cautions(name, training, training.length.num_steps(examples))


def _most_written(recipe: Recipe) -> int:
    """Tokens that the student may write when it is measured."""
    return recipe.evaluate.max_new_tokens or recipe.label.max_new_tokens


def _budget(recipe: Recipe) -> float | None:
    """What may be spent in all; None where a model that is asked has no cap."""
    caps = [api.budget_usd for api in recipe.endpoints.values()]
    known = [cap for cap in caps if cap is not None]
    return sum(known) if known and len(known) == len(caps) else None


def _disk_to_come(items: Sequence[InstanceCheck], place: Place) -> int:
    """What is still to do writes, without what lies there already for a resume."""
    todo = [item for item in items if not item.is_done]
    needed = sum(item.cost.disk_bytes for item in todo)
    needed += max((item.cost.scratch_bytes for item in todo), default=0)
    kept = sum(
        min(place.store.kept_bytes(one.artifact_id), one.cost.disk_bytes + one.cost.scratch_bytes)
        for one in todo
    )
    return max(0, needed - kept)


def _is_done(place: Place, artifact_id: str) -> bool:
    try:
        return place.store.find(artifact_id) is not None
    except ArtifactError:
        return False


def _terms(resolved: Resolved) -> str:
    found = terms_of(resolved.recipe.teacher)
    return f"{found[0]}; {found[1].sentence} ({found[1].url})" if found else ""


def _student_licence(recipe: Recipe) -> str:
    facts = facts_for(recipe.student.hub or "")
    return facts.licence if facts else ""


def _free_disk(root: Path) -> int:
    existing = next(path for path in (root, *root.resolve().parents) if path.exists())
    return shutil.disk_usage(existing).free
