"""What cannot hold together about whom the student learns from while it is trained."""

from __future__ import annotations

from collections.abc import Iterator

from stillhouse.recipes.problem import Problem
from stillhouse.recipes.schema import Recipe


def find_mode_problems(recipe: Recipe) -> Iterator[Problem]:
    """Every contradiction of `train.mode` with the rest of a recipe.

    Args:
        recipe: valid; its `label` is settled.

    Yields:
        Nothing for `cached`, whose targets are looked at where they are stored.
    """
    mode, train = recipe.train.mode, recipe.train
    if mode not in ("live", "base"):
        return
    if train.weights.class_kl:
        yield Problem(
            "train.mode",
            f"{mode} asks about tokens, and train.weights.class_kl learns what label has stored of "
            "whole answers: remove train.mode",
        )
        return
    if not train.weights.needs_teacher:
        yield Problem(
            "train.mode",
            f"{mode} asks for the teacher's distribution, and train.weights learns the text alone: "
            "give a divergence such as forward_kl a weight, or remove train.mode",
        )
    if recipe.label.targets != "none":
        yield Problem(
            "label.targets",
            f"{recipe.label.targets} would be stored and never read, because train.mode: {mode} "
            "asks while it trains: remove it",
        )
    yield from _live(recipe) if mode == "live" else _base(recipe)


def _live(recipe: Recipe) -> Iterator[Problem]:
    if recipe.teacher.api:
        yield Problem(
            "train.mode",
            "live needs the teacher's weights, and a teacher behind an API gives text alone: learn "
            "that text with train.weights: {cross_entropy: 1.0} and no train.mode",
        )


def _base(recipe: Recipe) -> Iterator[Problem]:
    train = recipe.train
    if train.lora is None:
        yield Problem(
            "train.mode",
            "base is the student without its adapter, and train.lora is not set: set it",
        )
    elif train.weights.needs_teacher and not train.weights.cross_entropy:
        yield Problem(
            "train.weights",
            "a fresh adapter changes nothing, so that train.mode: base has nothing to teach at the "
            "first step: give cross_entropy a weight, from which the base then holds it back",
        )
    if train.lora and train.lora.bias != "none":
        yield Problem(
            "train.lora.bias",
            f"{train.lora.bias} trains weights of the base, which are not as they were when the "
            "adapter is off: train.mode: base needs none",
        )
    if not (recipe.student.path or recipe.student.hub):
        yield Problem(
            "train.mode",
            "base keeps the student near its own base, and that must have learned something: name "
            "a trained one with student.path or student.hub",
        )
