"""The plan: which stage instances a recipe means, in which order, named by content hashes.

An instance's hash covers its stage's version, its part of the recipe, the content of files it
reads, and the hashes of the instances before it. So a later section changes no earlier hash.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stillhouse.core.hashing import digest_value
from stillhouse.recipes.compute import ResolvedCompute
from stillhouse.recipes.facts import facts_for
from stillhouse.recipes.models import ModelSource
from stillhouse.recipes.prompts import PromptTemplate
from stillhouse.recipes.schema import Recipe
from stillhouse.recipes.training import LossOptions

STAGE_VERSIONS = {
    "collect": 2,
    "prepare": 4,
    "finetune": 2,
    "label": 5,
    "train": 4,
    "evaluate": 5,
    "gate": 2,
    "export": 2,
    "register": 2,
}
"""Raised when a stage's code changes what it writes, so that old artifacts are not reused."""

_HASH_LENGTH = 16


@dataclass(frozen=True, slots=True)
class Content:
    """Digests of what a recipe reads from outside, found before the plan is made.

    Attributes:
        source: of the rows.
        teacher: of the teacher's weights; empty for a scratch model and one behind an API.
        student: of the student's weights; empty for a scratch model.
        tokenizer: of the tokenizer in use; empty when it is trained.
        context: tokens that both models can hold; 0 when neither says.
        prompt: the teacher's own prompt; None where it sees the examples' prompts.
        paired: the settings of each `pair_with` step, as name and value.
    """

    source: str
    teacher: str = ""
    student: str = ""
    tokenizer: str = ""
    context: int = 0
    prompt: PromptTemplate | None = None
    paired: tuple[tuple[tuple[str, Any], ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Instance:
    """One job: a stage with a variant, its configuration and where its inputs come from.

    Attributes:
        stage: the stage's name.
        variant: distinguishes instances of one stage, such as `student` and `twin`.
        config: JSON values; everything that the result depends on, inputs aside.
        inputs: the stage's name for an input to the key of the instance that makes it.
        artifact_id: `stage-hash`.
    """

    stage: str
    variant: str
    config: dict[str, Any]
    inputs: dict[str, str]
    artifact_id: str

    @property
    def key(self) -> str:
        """`stage` or `stage@variant`."""
        return f"{self.stage}@{self.variant}" if self.variant else self.stage


@dataclass(slots=True)
class Plan:
    """The instances of a recipe in the order of work."""

    instances: list[Instance] = field(default_factory=list)

    def add(
        self, stage: str, config: dict[str, Any], inputs: dict[str, str], *, variant: str = ""
    ) -> str:
        """Append an instance whose inputs are already here; gives its key."""
        hashed = {
            "stage": stage,
            "variant": variant,
            "version": STAGE_VERSIONS[stage],
            "config": config,
            "inputs": {name: self[key].artifact_id for name, key in inputs.items()},
        }
        artifact_id = f"{stage}-{digest_value(hashed)[:_HASH_LENGTH]}"
        instance = Instance(stage, variant, config, inputs, artifact_id)
        self.instances.append(instance)
        return instance.key

    def __getitem__(self, key: str) -> Instance:
        return next(instance for instance in self.instances if instance.key == key)

    def __contains__(self, key: str) -> bool:
        return any(instance.key == key for instance in self.instances)

    def after(self, stage: str) -> list[Instance]:
        """The instances of a stage and every instance that depends on one of them."""
        chosen: set[str] = set()
        for instance in self.instances:
            if instance.stage == stage or chosen & set(instance.inputs.values()):
                chosen.add(instance.key)
        return [instance for instance in self.instances if instance.key in chosen]


def build_plan(recipe: Recipe, content: Content, compute: ResolvedCompute) -> Plan:
    """The plan of a recipe on a machine.

    Args:
        recipe: the effective recipe.
        content: digests of the rows and models that it names.
        compute: the resolved device, dtype and threads.

    Returns:
        Every instance with its hash; nothing was run or written.
    """
    plan = Plan()
    machine = compute.as_config()
    rows = plan.add("collect", _collect(recipe, content), {})
    examples = plan.add("prepare", _prepare(recipe, content), {"rows": rows})
    teacher = {"examples": examples}
    if recipe.finetune:
        config = {
            "training": _dump(recipe.finetune),
            "model": _model(recipe, "teacher", content),
            **machine,
        }
        teacher["teacher"] = plan.add("finetune", config, {"examples": examples})
    teacher_config = _teacher(recipe, content, machine)
    labelled = plan.add("label", {"label": _label(recipe), **teacher_config}, teacher)
    students = _add_training(plan, recipe, content, machine, {"examples": examples}, labelled)
    evaluated = _add_evaluations(plan, recipe, (teacher_config, machine), teacher, students)
    _add_release(plan, recipe, machine, examples, students["student"], evaluated)
    return plan


def _add_training(
    plan: Plan,
    recipe: Recipe,
    content: Content,
    machine: dict[str, Any],
    inputs: dict[str, str],
    labelled: str,
) -> dict[str, str]:
    model = _model(recipe, "student", content)
    training = _dump(recipe.train) | {"twin": None}
    config = {"training": training, "model": model, **machine}
    students = {
        "student": plan.add("train", config, inputs | {"targets": labelled}, variant="student")
    }
    if recipe.train.twin:
        weights = {"forward_kl": 0.0, "cross_entropy": 1.0}
        own = {
            "weights": weights,
            "loss_options": _dump(LossOptions()),
            "parts": list(recipe.train.twin.parts),
            "kd_temperature": 1.0,
            "t2_scaling": True,
        }
        # With epochs its steps are those of the student, who may have more rows.
        config = {
            "training": training | own,
            "student_parts": list(recipe.train.parts) if recipe.train.length.epochs else [],
            "student_samples": recipe.label.samples,
            "keeps_gold": recipe.label.completions == "gold",
            "model": model,
            **machine,
        }
        students["twin"] = plan.add("train", config, inputs, variant="twin")
    return students


def _add_evaluations(
    plan: Plan,
    recipe: Recipe,
    configs: tuple[dict[str, Any], dict[str, Any]],
    teacher: dict[str, str],
    students: dict[str, str],
) -> dict[str, str]:
    settings = recipe.evaluate
    teacher_config, machine = configs
    config = {
        "evaluate": _dump(settings),
        "max_new_tokens": settings.max_new_tokens or recipe.label.max_new_tokens,
        "answer_format": recipe.prepare.answer_format,
        "part": "holdout",
        **teacher_config,
    }
    asking = {"asking": _asking(recipe)} if recipe.teacher.api else {}
    evaluated = {"teacher": plan.add("evaluate", config | asking, teacher, variant="teacher")}
    config = {name: value for name, value in config.items() if name not in _OF_THE_TEACHER}
    config |= machine
    for name, key in students.items():
        inputs = {
            "examples": teacher["examples"],
            "teacher": evaluated["teacher"],
            "model": key,
        }
        evaluated[name] = plan.add("evaluate", config, inputs, variant=name)
    return evaluated


def _add_release(
    plan: Plan,
    recipe: Recipe,
    machine: dict[str, Any],
    examples: str,
    student: str,
    evaluated: dict[str, str],
) -> None:
    before = {"model": student, "examples": examples}
    if recipe.gate:
        settings = recipe.evaluate
        config = {
            "gate": _dump(recipe.gate),
            "draws": settings.draws,
            "confidence": settings.confidence,
            "seed": settings.seed,
        }
        before["gate"] = plan.add("gate", config, evaluated)
    config = {"export": _dump(recipe.export), "card": _card(recipe), **machine}
    numbers = {"numbers": evaluated["student"]}
    exported = plan.add("export", config, before | numbers)
    name = recipe.register_as.name if recipe.register_as else recipe.name
    plan.add(
        "register",
        {"name": name},
        {"bundle": exported}
        | numbers
        | {key: value for key, value in before.items() if key == "gate"},
    )


def _collect(recipe: Recipe, content: Content) -> dict[str, Any]:
    section = _dump(recipe.collect)
    section["source"]["file"] = bool(section["source"]["file"])
    return {"collect": section, "content": content.source}


_OF_THE_TEACHER = ("model", "endpoint", "prompt", "max_tokens")


def _teacher(recipe: Recipe, content: Content, machine: dict[str, Any]) -> dict[str, Any]:
    """What the teacher's answers depend on, beside what it is asked."""
    if recipe.teacher.api:
        prompt = _dump(content.prompt) if content.prompt else None
        limits = [limit for limit in (content.context, recipe.prepare.max_tokens) if limit]
        return {
            "endpoint": recipe.teacher.api.identity(),
            "prompt": prompt,
            "max_tokens": min(limits, default=0),
        }
    return {**machine, "model": _model(recipe, "teacher", content)}


def _asking(recipe: Recipe) -> dict[str, Any]:
    # As the labels are asked for: some providers take no temperature but their own.
    label = recipe.label
    return {"temperature": label.temperature, "answer_schema": label.answer_schema}


def _label(recipe: Recipe) -> dict[str, Any]:
    # The prompt stands there by its content, a judge by what shapes its judgement.
    judges = [_dump(judge) | {"api": judge.api.identity()} for judge in recipe.label.judges]
    return _dump(recipe.label) | {"prompt": None, "judges": judges}


def _prepare(recipe: Recipe, content: Content) -> dict[str, Any]:
    scratch = recipe.reading_model.scratch
    asks_again = recipe.label.completions == "teacher"
    relabelled = {*recipe.label.parts, "validation"} if asks_again else set()
    return {
        "prepare": _dump(recipe.prepare),
        "tokenizer": content.tokenizer,
        "trained_tokenizer": _dump(scratch.tokenizer) if scratch and scratch.tokenizer else None,
        "template": _dump(recipe.reading_model)["template"],
        "context": content.context,
        "room_for_answer": max(recipe.label.max_new_tokens, recipe.evaluate.max_new_tokens or 0),
        "asked_parts": sorted(relabelled | {"holdout"}),
        "paired": [[list(setting) for setting in each] for each in content.paired],
    }


def _model(recipe: Recipe, which: str, content: Content) -> dict[str, Any]:
    source = recipe.teacher if which == "teacher" else recipe.student
    return {
        "weights": content.teacher if which == "teacher" else content.student,
        "scratch": _dump(source.scratch) if source.scratch else None,
    }


def _card(recipe: Recipe) -> dict[str, Any]:
    """What the bundle's model card says of where the student comes from."""
    sources = {"teacher": recipe.teacher, "student": recipe.student}
    known = {name: facts_for(source.hub or "") for name, source in sources.items()}
    return {
        "recipe": recipe.name,
        "teacher": _origin(recipe.teacher),
        "base": _origin(recipe.student),
        "licences": {f"{name} weights": facts.licence for name, facts in known.items() if facts}
        | _accepted_terms(recipe.teacher),
    }


def _accepted_terms(teacher: ModelSource) -> dict[str, str]:
    return {"teacher terms accepted": teacher.accept_terms} if teacher.accept_terms else {}


def _origin(source: ModelSource) -> str:
    if source.api:
        return f"{source.api.model}, asked at {source.api.provider or source.api.kind}"
    if source.scratch:
        return f"a {source.scratch.model_type} model of random weights"
    return source.hub or Path(source.path or "").name


def _dump(section: Any) -> dict[str, Any]:
    dumped: dict[str, Any] = section.model_dump(mode="json", by_alias=True)
    return dumped
