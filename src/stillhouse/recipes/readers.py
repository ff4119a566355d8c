"""Who reads a recipe's conversations: teacher and student alike, or each by words of its own.

A reader is a tokenizer, a template and a context. Examples are messages; every stage writes them
for whoever reads them there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from stillhouse.recipes.facts import facts_for
from stillhouse.recipes.models import ModelSource
from stillhouse.recipes.problem import Problem
from stillhouse.recipes.schema import Recipe

Which = Literal["teacher", "student"]

OF_ONE_VOCABULARY = (
    "kl_to_teacher",
    "jsd_to_teacher",
    "acceptance_rate",
    "expected_acceptance",
    "top1_agreement",
)
"""Metrics that compare two distributions token by token."""
PER_TOKEN = ("cross_entropy", "perplexity", "answer_token_accuracy")
"""Metrics whose unit is a token, so that they compare within one tokenizer alone."""

_ROUTES = (
    "learn class_kl from label.targets: classes, or cross_entropy alone from the teacher's text, "
    "or take a student of the teacher's family"
)


@dataclass(frozen=True, slots=True)
class ReaderContent:
    """What is found outside a recipe of one reader.

    Attributes:
        tokenizer: digest of its tokenizer; empty when it is trained.
        context: tokens that the model can hold; 0 when its config does not say.
    """

    tokenizer: str = ""
    context: int = 0


@dataclass(frozen=True, slots=True)
class Reader:
    """By what a model reads.

    Attributes:
        tokenizer_of: the section whose model brings the tokenizer.
        written_by: the section whose `template` and `thinking` hold.
    """

    tokenizer_of: Which
    written_by: Which

    def config(self, recipe: Recipe, found: ReaderContent) -> dict[str, Any]:
        """What examples that fit this reader depend on, as JSON values.

        Args:
            recipe: whose sections are meant.
            found: of this reader.

        Returns:
            A part of an instance's configuration.
        """
        source, writing = getattr(recipe, self.tokenizer_of), getattr(recipe, self.written_by)
        trained = source.scratch.tokenizer if source.scratch else None
        return {
            "tokenizer": found.tokenizer,
            "trained_tokenizer": trained and trained.model_dump(mode="json"),
            "template": writing.model_dump(mode="json")["template"],
            **({"thinking": "off"} if writing.thinking == "off" else {}),
            "context": found.context,
        }


@dataclass(frozen=True, slots=True)
class Readers:
    """The readers of a recipe.

    Attributes:
        student: of the student, and of a teacher that reads as it does.
        teacher: of a teacher that reads otherwise; None where one reader serves both, and of a
            teacher behind an API, which is given messages.
    """

    student: Reader
    teacher: Reader | None = None


def readers_of(recipe: Recipe, *, differ: bool) -> Readers:
    """The readers of a recipe.

    Args:
        recipe: valid.
        differ: teacher and student read by words of their own.

    Returns:
        One reader, or two.
    """
    if recipe.teacher.api:
        return Readers(Reader("student", "student"))
    shared = Reader("teacher", "teacher")
    if not differ:
        return Readers(shared)
    brings = _brings_a_tokenizer(recipe.student)
    return Readers(Reader("student" if brings else "teacher", "student"), shared)


def reader_config(
    recipe: Recipe, student: ReaderContent, teacher: ReaderContent | None
) -> dict[str, Any]:
    """What examples that fit every reader of a recipe depend on, as JSON values.

    Args:
        recipe: valid.
        student: what was found of the student's reader.
        teacher: of the teacher's own; None where it reads as the student does.

    Returns:
        The student's, and a teacher's own below its name: one reader names nothing anew.
    """
    readers = readers_of(recipe, differ=teacher is not None)
    config = readers.student.config(recipe, student)
    if teacher and readers.teacher:
        config["teacher"] = readers.teacher.config(recipe, teacher)
    return config


def known_difference(recipe: Recipe) -> str:
    """In what teacher and student read differently, as far as the recipe alone says.

    Args:
        recipe: valid.

    Returns:
        In words; empty where they do not, or where their folders must be looked at.
    """
    teacher, student = recipe.teacher, recipe.student
    if teacher.api:
        return ""
    if student.scratch and student.scratch.tokenizer:
        return "student.scratch.tokenizer is learned beside the teacher's"
    if teacher.scratch and (student.path or student.hub):
        return "the teacher learns a tokenizer, and the student has one"
    for key in ("template", "thinking"):
        own, other = getattr(student, key), getattr(teacher, key)
        if key in student.model_fields_set and own != other:
            return f"student.{key} is not teacher.{key}"
    known = facts_for(teacher.hub or ""), facts_for(student.hub or "")
    names = [facts.shape.tokenizer for facts in known if facts]
    if len(set(names)) == 2:
        return f"the tokenizer of {teacher.hub} is {names[0]}, of {student.hub} {names[1]}"
    return ""


def reader_problems(recipe: Recipe, difference: str) -> Iterator[Problem]:
    """What a recipe asks for that needs one reader of teacher and student.

    Args:
        recipe: valid; its `label` is settled.
        difference: in what they read differently, in words; empty where they do not.

    Yields:
        Nothing for what is of whole answers and of text.
    """
    if not difference:
        return
    for name in recipe.train.weights.of_tokens:
        yield Problem(
            f"train.weights.{name}",
            f"compares token with token, and teacher and student read differently ({difference}): "
            "one id and one place are other text for each, which a vocabulary cut to length does "
            f"not mend; {_ROUTES}",
        )
    if recipe.label.stores_tokens and not recipe.train.weights.of_tokens:
        yield Problem(
            "label.targets",
            f"{recipe.label.targets}, of the teacher's tokens, from which a student that reads "
            f"differently ({difference}) can learn nothing: {_ROUTES}",
        )
    rules = recipe.gate.rules if recipe.gate else ()
    asked = {f"evaluate.metrics.{at}": name for at, name in enumerate(recipe.evaluate.metrics)}
    asked |= {f"gate.rules.{at}": rule.metric for at, rule in enumerate(rules)}
    for key, name in asked.items():
        if name in OF_ONE_VOCABULARY:
            yield Problem(
                key,
                f"{name} compares distributions over one vocabulary, and teacher and student read "
                f"differently ({difference}): agreement, class_kl_to_teacher and bits_per_byte "
                "are measured",
            )
    for at, rule in enumerate(rules):
        if rule.against == "teacher" and rule.metric in PER_TOKEN:
            yield Problem(
                f"gate.rules.{at}",
                f"{rule.metric} is a mean over tokens, and the student's are not the teacher's "
                f"({difference}): bits_per_byte compares",
            )


def _brings_a_tokenizer(source: ModelSource) -> bool:
    return bool(source.path or source.hub or (source.scratch and source.scratch.tokenizer))
