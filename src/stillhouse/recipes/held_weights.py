"""What cannot hold together of how weights are held, adapted and taken over."""

from __future__ import annotations

from collections.abc import Iterator

from stillhouse.recipes.models import ModelSource
from stillhouse.recipes.problem import Problem
from stillhouse.recipes.schema import Recipe
from stillhouse.recipes.training import Training


def weight_problems(recipe: Recipe) -> Iterator[Problem]:
    """Every contradiction of that kind."""
    yield from _layers(recipe)
    trainings = {"teacher": ("finetune", recipe.finetune), "student": ("train", recipe.train)}
    for name, (section, training) in trainings.items():
        source: ModelSource = getattr(recipe, name)
        yield from _source(name, source)
        if training:
            yield from _training(name, source, section, training)


def _layers(recipe: Recipe) -> Iterator[Problem]:
    if recipe.teacher.layers_of_teacher:
        yield Problem("teacher.layers_of_teacher", "is for a student; give the teacher's own path")
    if recipe.student.layers_of_teacher and recipe.teacher.api:
        yield Problem(
            "student.layers_of_teacher",
            "a teacher behind an API shows no layers: give the student with path, hub or scratch",
        )


def _source(name: str, source: ModelSource) -> Iterator[Problem]:
    if source.api and source.quantization != "none":
        yield Problem(f"{name}.quantization", "a model behind an API has no weights here")
    if source.trust_remote_code and not (source.path or source.hub):
        yield Problem(f"{name}.trust_remote_code", "code comes with a path or hub alone")


def _training(
    name: str, source: ModelSource, section: str, training: Training
) -> Iterator[Problem]:
    lora, is_quantised = training.lora, source.quantization != "none"
    if is_quantised and lora is None:
        yield Problem(
            f"{name}.quantization",
            f"{source.quantization} weights cannot be trained: add {section}.lora, which trains an "
            "adapter beside them",
        )
    if lora and is_quantised and lora.bias != "none":
        yield Problem(
            f"{section}.lora.bias",
            f"{lora.bias} trains biases of layers whose weights {name}.quantization holds in "
            "fewer bits: take none",
        )
    if lora and lora.experts and lora.dropout:
        yield Problem(
            f"{section}.lora.dropout",
            "cannot be drawn for experts, whose adapters are added to the weights themselves: "
            "take 0, or leave lora.experts out",
        )
