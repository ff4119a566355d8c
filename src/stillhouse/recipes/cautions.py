"""What a recipe may do, and whoever runs it should know first."""

from __future__ import annotations

import re
from collections.abc import Iterator

from stillhouse.recipes.corrections import taken_back
from stillhouse.recipes.facts import facts_for
from stillhouse.recipes.schema import Recipe

_DELETES = (
    "prepare.clean.normalize: ascii deletes every sign but letters, digits, blanks and "
    "_ . , ; : ! ? \" ' ( ) -, so also $ % / = + & @ # * and all currency signs, takes the accents "
    "off letters, and deletes every letter of other scripts; the report counts the rows for each"
)
_SMALL_JSD = 0.1
"""measured: logits of normal noise, 1,000 ids: the gradient's norm is 0.38 and 0.43 of that at 0.5
with a weight of 0.1 and 0.9, 0.21 and 0.24 with 0.05 and 0.95, 0.04 and 0.05 with 0.01 and 0.99."""
_MOST_EPOCHS = 3.0
"""source: the founding description of the prompt transformer, against overfitting."""
_GERMAN = {"WIE-Regeln": "rules of how"}
"""source: the founding system prompt, which is English but for this."""
_OF_STYLE = (r"in the (?:style|manner) of",)


_HIGHEST_TEMPERATURE = 10.0
"""assumption: no paper that is named in these pages softens more."""


def cautions(recipe: Recipe) -> tuple[str, ...]:
    """One sentence each; empty for most recipes."""
    deletes = [_DELETES] if recipe.prepare.clean.normalize == "ascii" else []
    return (
        *deletes,
        *_prompt(recipe),
        *_temperature(recipe),
        *_told_classes(recipe),
        *_students_licence(recipe),
        *_foreign_code(recipe),
        *_small_terms(recipe),
        *_many_keys(recipe),
        *_many_epochs(recipe),
        *_reference(recipe),
        *taken_back(recipe),
    )


def _reference(recipe: Recipe) -> Iterator[str]:
    if recipe.evaluate.reference == "teacher":
        yield (
            "evaluate.reference: teacher: every row of the holdout is measured against the "
            "teacher's answer, right or wrong, also one that has an answer of its own; what says "
            "that an answer is right (exact match, accuracy, calibration) is not measured"
        )


def _temperature(recipe: Recipe) -> Iterator[str]:
    train = recipe.train
    temperature = train.kd_temperature
    if not train.weights.needs_teacher:
        return
    if temperature < 1.0:
        yield (
            f"train.kd_temperature: {temperature:g} is below 1, which sharpens the teacher: what "
            "it finds second best counts less, so that its distribution teaches little more than "
            "its likeliest token"
        )
    if temperature > _HIGHEST_TEMPERATURE:
        yield (
            f"train.kd_temperature: {temperature:g} is above {_HIGHEST_TEMPERATURE:g}, which makes "
            "every token nearly as likely as the next; from 0.5 to 10 is usual"
        )


def _told_classes(recipe: Recipe) -> Iterator[str]:
    field = recipe.label.class_field
    if field is not None and recipe.label.targets == "classes" and recipe.train.weights.class_kl:
        yield (
            f"label.class_field: the probabilities of {field} are learned with the rest of each "
            "answer as it stands; where another field tells the class, such as a score, they are "
            "nearly certain and teach little more than the text (class_confidence of label says); "
            "a recipe that asks the class alone learns what the prompt tells"
        )


def _students_licence(recipe: Recipe) -> Iterator[str]:
    facts = facts_for(recipe.student.hub or "")
    if facts and facts.terms.outputs != "yes":
        yield (
            f"student: {facts.id}, from which it starts, is under {facts.licence}: "
            f"{facts.terms.sentence} ({facts.terms.url})"
        )


def _many_keys(recipe: Recipe) -> Iterator[str]:
    for key, endpoint in recipe.endpoints.items():
        if len(endpoint.key_names) > 1 and endpoint.limits.per_key:
            yield (
                f"{key}.limits.per_key: {len(endpoint.key_names)} keys multiply the limits, which "
                "most providers forbid where the keys belong to one account"
            )


def _prompt(recipe: Recipe) -> Iterator[str]:
    """What a prompt says that its answers must not, and German words in an English one."""
    system = recipe.prepare.system or ""
    for word, english in _GERMAN.items():
        if word in system:
            yield (
                f"prepare.system: {word!r} is German, in a prompt that is English else; write "
                f"{english!r}"
            )
    for pattern in (*recipe.label.reject, *_OF_STYLE) if recipe.label.reject else ():
        found = re.search(pattern, system, re.IGNORECASE)
        if found:
            yield (
                f"prepare.system: holds {found[0]!r}, which label.reject turns down in answers; "
                "only answers are looked at, and a small student may say what it reads"
            )
            return


def _many_epochs(recipe: Recipe) -> Iterator[str]:
    train = recipe.train
    if (train.length.epochs or 0.0) > _MOST_EPOCHS and not train.weights.needs_teacher:
        yield (
            f"train.length.epochs: {train.length.epochs:g}: text that is read more than "
            f"{_MOST_EPOCHS:g} times is soon known by heart; evaluate.measures: [memorised] tells, "
            "and early_stopping ends it"
        )


def _foreign_code(recipe: Recipe) -> Iterator[str]:
    for name, source in (("teacher", recipe.teacher), ("student", recipe.student)):
        if source.trust_remote_code:
            yield (
                f"{name}: the Python code that comes with {source.hub or source.path} is run with "
                "your rights, because trust_remote_code says so"
            )


def _small_terms(recipe: Recipe) -> Iterator[str]:
    weight = recipe.train.loss_options.jsd_weight
    nearest, kl = min((weight, "forward_kl"), (1.0 - weight, "reverse_kl"))
    if recipe.train.weights.jsd and nearest < _SMALL_JSD:
        yield (
            f"train.loss_options.jsd_weight: {weight:g} leaves jsd a small part of the gradient "
            f"that it has at 0.5, so that other terms outweigh it; it tends to {kl}, which has all"
        )
