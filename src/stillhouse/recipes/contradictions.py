"""Settings of a recipe that are valid alone and cannot hold together."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from stillhouse.recipes.class_contradictions import find_class_contradictions
from stillhouse.recipes.collection_problems import collection_problems
from stillhouse.recipes.corrections import correction_problems
from stillhouse.recipes.domains import DOMAIN
from stillhouse.recipes.gating import Rule
from stillhouse.recipes.harness import METRICS as HARNESS_METRICS
from stillhouse.recipes.held_weights import weight_problems
from stillhouse.recipes.measuring import CLASS
from stillhouse.recipes.metric_names import is_measured
from stillhouse.recipes.modes import find_mode_problems
from stillhouse.recipes.needed import BUNDLE_BYTES, lacking_setting
from stillhouse.recipes.optimizer_problems import optimizer_problems
from stillhouse.recipes.problem import Problem
from stillhouse.recipes.readers import known_difference, reader_problems
from stillhouse.recipes.reference_problems import reference_problems
from stillhouse.recipes.schema import Recipe
from stillhouse.recipes.shared_base import domain_problems
from stillhouse.recipes.text_alone import text_alone_problems
from stillhouse.recipes.training import OPTION_TERMS, Validation
from stillhouse.recipes.watched import LOGIT_METRICS, misnamed

JSON_METRICS = ("valid_json", "field_accuracy")
_OF_FINISHED = ("latency_", "throughput_", "load_s", "peak_memory_", BUNDLE_BYTES, HARNESS_METRICS)


def find_contradictions(recipe: Recipe) -> list[Problem]:
    """Every contradiction of a recipe, in the order of its sections."""
    return [
        *domain_problems(recipe),
        *weight_problems(recipe),
        *_unknown_parts(recipe),
        *_parts_without_answers(recipe),
        *_missing_validation(recipe),
        *optimizer_problems(recipe),
        *_watched(recipe),
        *_targets_not_stored(recipe),
        *find_class_contradictions(recipe),
        *find_mode_problems(recipe),
        *_options_not_read(recipe),
        *_answers(recipe),
        *_behind_an_api(recipe),
        *reader_problems(recipe, known_difference(recipe)),
        *_fields(recipe),
        *_not_measured(recipe),
        *reference_problems(recipe),
        *_gate(recipe),
        *text_alone_problems(recipe),
        *_slices(recipe),
        *_harness(recipe),
        *_teacher_gate(recipe),
        *_network(recipe),
        *collection_problems(recipe),
        *correction_problems(recipe),
    ]


def _used_parts(recipe: Recipe) -> dict[str, tuple[str, ...]]:
    return {
        "finetune.parts": recipe.finetune.parts if recipe.finetune else (),
        "label.parts": recipe.label.parts,
        "train.parts": recipe.train.parts,
        "train.twin.parts": recipe.train.twin_parts,
    }


def _unknown_parts(recipe: Recipe) -> Iterator[Problem]:
    known = recipe.prepare.split.parts
    for key, parts in _used_parts(recipe).items():
        for part in parts:
            if part not in known:
                yield Problem(key, f"prepare.split.parts does not make the part {part!r}")
        if "holdout" in parts:
            yield Problem(key, "holds the holdout; it is measured on and never trained on")


def _parts_without_answers(recipe: Recipe) -> Iterator[Problem]:
    used = _used_parts(recipe)
    twin = recipe.train.twin
    gold = ("train.twin.parts",) if twin and twin.text == "gold" else ()
    for key in ("finetune.parts", *gold):
        if "unlabelled" in used[key]:
            way = " or write train.twin.text: labelled" if key in gold else ""
            yield Problem(
                key,
                "the answers of the part 'unlabelled' are hidden, and this learns gold answers: "
                f"name a part that has them{',' if way else ''}{way}",
            )
    if recipe.train.mode == "on_policy":
        return
    for part in recipe.train.parts:
        if part in recipe.prepare.split.parts and part not in recipe.label.parts:
            yield Problem(
                "train.parts",
                f"the teacher is not asked about the part {part!r}: add it to label.parts",
            )


def _missing_validation(recipe: Recipe) -> Iterator[Problem]:
    if "validation" in recipe.prepare.split.parts:
        return
    trainings = {"finetune": recipe.finetune, "train": recipe.train}
    for name, training in trainings.items():
        if not training:
            continue
        asked = {
            "early_stopping": training.early_stopping is not None,
            "validation": training.validation != Validation(),
        }
        for key in (key for key, is_asked in asked.items() if is_asked):
            yield Problem(f"{name}.{key}", "needs a validation part in prepare.split.parts")


def _watched(recipe: Recipe) -> Iterator[Problem]:
    """What a training is told to measure while it runs, or to stop by."""
    for section, training in {"finetune": recipe.finetune, "train": recipe.train}.items():
        if training is None:
            continue
        names = {
            f"validation.metrics.{place}": name
            for place, name in enumerate(training.validation.metrics)
        }
        if training.early_stopping:
            names["early_stopping.metric"] = training.early_stopping.metric
        for key, name in names.items():
            wrong = misnamed(name, training, recipe.label if section == "train" else None)
            lacking = lacking_setting(name, recipe) if not wrong else ""
            if lacking:
                wrong = f"is measured only where the recipe asks for it: add {lacking}"
            if wrong:
                yield Problem(f"{section}.{key}", f"{name} {wrong}")


def _targets_not_stored(recipe: Recipe) -> Iterator[Problem]:
    temperatures = recipe.label.temperatures
    if len(set(temperatures)) < len(temperatures):
        yield Problem("label.kd_temperatures", f"{list(temperatures)} holds one of them twice")
    if not recipe.train.weights.needs_teacher or recipe.train.mode != "cached":
        return
    if recipe.label.targets == "none":
        yield Problem(
            "label.targets",
            f"none, which leaves {_taught_terms(recipe)} nothing to learn from: store top_k, or "
            "learn the teacher's text with cross_entropy alone",
        )
    elif recipe.label.is_drawn:
        yield from _cannot_learn_from_draws(recipe)
    elif recipe.label.stores_tokens and recipe.train.kd_temperature not in temperatures:
        yield Problem(
            "train.kd_temperature",
            f"{recipe.train.kd_temperature}, but label.kd_temperatures holds "
            f"{list(temperatures)}: add it there",
        )


def _cannot_learn_from_draws(recipe: Recipe) -> Iterator[Problem]:
    label, wanted = recipe.label, recipe.train.kd_temperature
    if label.temperatures != (wanted,):
        yield Problem(
            "label.kd_temperatures",
            f"{list(label.temperatures)}, but label.targets: {label.targets} draws at the one "
            f"temperature of train.kd_temperature: [{wanted}]",
        )
    for name in recipe.train.weights.not_linear:
        yield Problem(
            f"train.weights.{name}",
            f"is not linear in the teacher, and label.targets: {label.targets} holds drawn "
            "tokens, from which it would be biased: store top_k, or learn forward_kl",
        )


def _options_not_read(recipe: Recipe) -> Iterator[Problem]:
    weights, options = dict(recipe.train.weights), recipe.train.loss_options
    # A default that is spelled out is let pass: a recipe shown in full says every one of them.
    changed = {name for name, value in options if value != type(options).model_fields[name].default}
    for name in sorted(changed):
        terms = OPTION_TERMS[name]
        if not any(weights[term] for term in terms):
            yield Problem(
                f"train.loss_options.{name}",
                f"belongs to {' and '.join(terms)}, which has no weight in train.weights: give it "
                "one, or leave the option out",
            )


def _answers(recipe: Recipe) -> Iterator[Problem]:
    label = recipe.label
    if label.attempts is not None and label.attempts < label.samples:
        yield Problem("label.attempts", f"{label.attempts} cannot give {label.samples} samples")
    if label.consistency and (label.samples > 1 or label.attempts):
        yield Problem(
            "label.consistency",
            "learns one answer that several agree on: remove label.samples and label.attempts",
        )
    if label.most_samples > 1 and label.temperature == 0.0 and not recipe.teacher.api:
        yield Problem(
            "label.temperature",
            f"0 gives {label.most_samples} equal completions of each prompt: raise it, or ask once",
        )
    if label.prompt and not recipe.teacher.api:
        yield Problem(
            "label.prompt",
            "is for a teacher behind an API; one in memory sees the examples' own prompts: write "
            "it into prepare.system and prepare.user",
        )


def _behind_an_api(recipe: Recipe) -> Iterator[Problem]:
    if not recipe.teacher.api:
        return
    if recipe.finetune:
        yield Problem("finetune", "has no weights to train: the teacher is behind an API")
    if recipe.label.targets != "none":
        yield Problem(
            "label.targets",
            f"{recipe.label.targets}, but a teacher behind an API gives text alone: write none, "
            "and train.weights: {cross_entropy: 1.0}",
        )
    metrics = (*recipe.evaluate.metrics, *(rule.metric for rule in _rules(recipe)))
    for metric in dict.fromkeys(name for name in metrics if name in LOGIT_METRICS):
        yield Problem(
            "gate.rules" if metric not in recipe.evaluate.metrics else "evaluate.metrics",
            f"{metric} compares with the teacher's distribution, which an API does not give",
        )


def _rules(recipe: Recipe) -> tuple[Rule, ...]:
    return recipe.gate.rules if recipe.gate else ()


def _taught_terms(recipe: Recipe) -> str:
    return " and ".join(f"train.weights.{name}" for name in recipe.train.weights.of_tokens)


def _gate(recipe: Recipe) -> Iterator[Problem]:
    if {"adapter", "gguf_adapter"} & set(recipe.export.formats) and not recipe.train.lora:
        yield Problem("export.formats", "asks for an adapter, but train.lora is not set")
    if recipe.gate and all(rule.against == "production" for rule in recipe.gate.rules):
        yield Problem(
            "gate.rules",
            "all compare with the version in production, and while there is none every student "
            "would pass unasked: add a rule against another",
        )
    as_json = recipe.prepare.answer_format == "json"
    for number, rule in enumerate(_rules(recipe)):
        key = f"gate.rules.{number}"
        if rule.against == "baseline" and not recipe.train.twin:
            yield Problem(key, "the baseline is the twin, and there is no train.twin")
        yield from _unknown_candidate(recipe, rule, key)
        if rule.metric == BUNDLE_BYTES and rule.against not in ("absolute", "production"):
            yield Problem(
                key, f"{rule.metric} is of what ships alone: the {rule.against} has none to compare"
            )
        if not as_json and rule.metric.startswith(JSON_METRICS):
            yield Problem(key, f"{rule.metric} is measured for prepare.answer_format: json alone")


def _not_measured(recipe: Recipe) -> Iterator[Problem]:
    early = recipe.finetune.gate.rules if recipe.finetune and recipe.finetune.gate else ()
    named = {
        f"evaluate.metrics.{place}": name for place, name in enumerate(recipe.evaluate.metrics)
    }
    named |= {f"gate.rules.{place}": rule.metric for place, rule in enumerate(_rules(recipe))}
    named |= {f"finetune.gate.rules.{place}": rule.metric for place, rule in enumerate(early)}
    for key, name in named.items():
        lacking = lacking_setting(name, recipe)
        if lacking and is_measured(name):
            yield Problem(
                key, f"{name} is measured only where the recipe asks for it: add {lacking}"
            )
    for place, rule in enumerate(early):
        # It is not timed, not shipped, and asked no public tasks.
        if rule.metric.startswith(_OF_FINISHED):
            yield Problem(
                f"finetune.gate.rules.{place}", f"{rule.metric} is measured of finished candidates"
            )


def _unknown_candidate(recipe: Recipe, rule: Rule, key: str) -> Iterator[Problem]:
    baselines = [one.name for one in recipe.evaluate.baselines]
    known = ["absolute", "teacher", "baseline", "production", *baselines]
    if rule.against not in known:
        near = difflib.get_close_matches(rule.against, known, n=1)
        guess = f'did you mean "{near[0]}"? ' if near else ""
        yield Problem(
            f"{key}.against",
            f"nobody is called {rule.against!r}; {guess}there are {', '.join(known)}",
        )


def _fields(recipe: Recipe) -> Iterator[Problem]:
    settings, as_json = recipe.evaluate, recipe.prepare.answer_format == "json"
    for name in settings.fields:
        if not as_json and name != "answer":
            yield Problem(
                f"evaluate.fields.{name}",
                "a plain answer is one field, answer; or set prepare.answer_format: json",
            )
    for number, name in enumerate(settings.agree_together):
        if name not in settings.fields or settings.fields[name].kind == "text":
            yield Problem(
                f"evaluate.agree_together.{number}",
                f"{name!r} is no label and no number of evaluate.fields",
            )
    judge = settings.judge
    twin = ("twin",) if recipe.train.twin else ()
    candidates = ("teacher", *twin, *(one.name for one in settings.baselines))
    if judge and judge.against is not None and judge.against not in candidates:
        yield Problem(
            "evaluate.judge.against",
            f"nobody is called {judge.against!r}; there are {', '.join(candidates)}",
        )
    if settings.confidence_field and not as_json:
        yield Problem("evaluate.confidence_field", "is read from prepare.answer_format: json alone")
    if "class" in settings.slices and as_json and not settings.class_fields:
        yield Problem(
            f"evaluate.slices.{settings.slices.index('class')}",
            "class is of no JSON answer: name a field of kind label under evaluate.fields",
        )


def _slices(recipe: Recipe) -> Iterator[Problem]:
    known = (*recipe.evaluate.slices, *((DOMAIN,) if recipe.domains else ()))
    for number, rule in enumerate(_rules(recipe)):
        for kind in (*(rule.slice or ()), *([rule.each_slice] if rule.each_slice else [])):
            # `class of FIELD` is cut for the slice `class`.
            if kind not in known and not (kind.startswith(f"{CLASS} of ") and CLASS in known):
                yield Problem(
                    f"gate.rules.{number}",
                    f"is asked of parts by {kind}, and the holdout is not cut by it: add it to "
                    "evaluate.slices",
                )


def _harness(recipe: Recipe) -> Iterator[Problem]:
    asked = ("absolute", "baseline", *(() if recipe.teacher.api else ("teacher",)))
    for number, rule in enumerate(_rules(recipe)):
        if not rule.metric.startswith(HARNESS_METRICS):
            continue
        key = f"gate.rules.{number}"
        if rule.slice or rule.each_slice:
            yield Problem(key, f"{rule.metric} is not of the holdout, so it has no slices")
        if rule.against not in asked:
            yield Problem(
                f"{key}.against",
                f"{rule.against!r} is not asked tasks of the harness; there are {', '.join(asked)}",
            )


def _teacher_gate(recipe: Recipe) -> Iterator[Problem]:
    gate = recipe.finetune.gate if recipe.finetune else None
    if gate is None:
        return
    if "validation" not in recipe.prepare.split.parts:
        yield Problem(
            "finetune.gate",
            "needs a validation part in prepare.split.parts: the holdout stays unseen until the "
            "student is measured",
        )
    for number, rule in enumerate(gate.rules):
        key = f"finetune.gate.rules.{number}"
        if rule.against != "absolute":
            yield Problem(f"{key}.against", "nobody else is measured before the teacher labels")
        if rule.metric in (*LOGIT_METRICS, "agreement"):
            yield Problem(
                f"{key}.metric", f"{rule.metric} compares with the teacher, and this is the teacher"
            )


def _network(recipe: Recipe) -> Iterator[Problem]:
    if recipe.network != "none":
        return
    for name in ("teacher", "student"):
        if getattr(recipe, name).hub:
            yield Problem(f"{name}.hub", "needs network: hub, this recipe says network: none")
