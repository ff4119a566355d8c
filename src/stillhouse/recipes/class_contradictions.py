"""Settings of named answers, votes and hard labels that cannot hold together."""

from __future__ import annotations

from collections.abc import Iterator

from stillhouse.recipes.problem import Problem
from stillhouse.recipes.schema import Recipe

_STORED = "label.targets: classes, or votes"


def find_class_contradictions(recipe: Recipe) -> list[Problem]:
    """Every contradiction of a recipe in what it says of classes, in the order of its sections."""
    return [*_votes(recipe), *_targets(recipe), *_hard_labels(recipe), *_terms(recipe)]


def _votes(recipe: Recipe) -> Iterator[Problem]:
    label = recipe.label
    if label.targets == "votes" and recipe.prepare.votes is None:
        yield Problem("label.targets", "votes, but prepare.votes names no field that holds them")
    if recipe.prepare.votes is not None and not label.classes:
        yield Problem("prepare.votes", "is read beside label.classes: name the classes there")


def _targets(recipe: Recipe) -> Iterator[Problem]:
    label = recipe.label
    if label.classes:
        yield from _field(recipe)
        yield from _one_answer(recipe)
        return
    if label.stores_classes:
        yield Problem(
            "label.classes", f"is empty, and label.targets: {label.targets} are over classes"
        )
    if label.class_field is not None:
        yield Problem("label.class_field", "is read beside label.classes: name the classes")


def _field(recipe: Recipe) -> Iterator[Problem]:
    as_json, is_named = recipe.prepare.answer_format == "json", recipe.label.class_field is not None
    if is_named and not as_json:
        yield Problem(
            "label.class_field",
            "is a field of prepare.answer_format: json alone; a plain answer is the class itself",
        )
    if as_json and not is_named:
        yield Problem(
            "label.class_field",
            "is absent, and a JSON answer is no class: name the field that is",
        )


def _one_answer(recipe: Recipe) -> Iterator[Problem]:
    label = recipe.label
    if not label.stores_classes:
        return
    for key in ("consistency", "judges", "attempts"):
        if getattr(label, key):
            yield Problem(
                f"label.{key}",
                f"is of completions, and label.targets: {label.targets} has one hard label an "
                "example: remove it",
            )
    if label.samples > 1:
        yield Problem("label.samples", f"{label.samples}, but a class is asked for once")


def _hard_labels(recipe: Recipe) -> Iterator[Problem]:
    learns_classes = bool(recipe.train.weights.class_kl)
    if recipe.label.completions != "gold" or learns_classes:
        return
    if "unlabelled" in recipe.train.parts:
        yield Problem(
            "label.completions",
            "gold, but the answers of the part 'unlabelled' are hidden: write mix, or leave it out "
            "of train.parts",
        )


def _terms(recipe: Recipe) -> Iterator[Problem]:
    weights, label = recipe.train.weights, recipe.label
    others = " and ".join(f"train.weights.{name}" for name in weights.of_tokens)
    if weights.class_kl and others:
        yield Problem(
            "train.weights.class_kl",
            f"is learned from whole answers, {others} from tokens: leave one of them out",
        )
        return
    if weights.class_kl and not label.stores_classes:
        yield Problem("train.weights.class_kl", f"is learned from {_STORED}")
    if weights.class_kl and recipe.train.mode != "cached":
        yield Problem(
            "train.mode",
            f"{recipe.train.mode}, but class_kl is learned from stored targets: cached",
        )
    if weights.class_kl and recipe.domains:
        yield Problem(
            "train.weights.class_kl",
            "is not learned by domains, whose distance to the teacher is taken of tokens: learn "
            "forward_kl, or write one recipe a domain",
        )
    if label.stores_classes and others and recipe.train.mode == "cached":
        yield Problem(
            "label.targets",
            f"{label.targets}, from which {others} cannot be learned: learn "
            "train.weights.class_kl, or store top_k",
        )
