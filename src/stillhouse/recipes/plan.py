"""The plan: which stage instances a recipe means, in which order, named by content hashes.

An instance's hash covers its stage's version, its part of the recipe, the content of files it
reads, and the hashes of the instances before it. So a later section changes no earlier hash.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from stillhouse.core.hashing import digest_value
from stillhouse.recipes.compute import ResolvedCompute
from stillhouse.recipes.gating import Gate
from stillhouse.recipes.instance_config import Configs, Content
from stillhouse.recipes.needed import BUNDLE_BYTES, is_of_memory
from stillhouse.recipes.schema import Recipe

STAGE_VERSIONS = {
    "collect": 3,
    "step": 4,
    "prepare": 8,
    "finetune": 4,
    "label": 8,
    "train": 7,
    "evaluate": 9,
    "speed": 1,
    "judge": 1,
    "harness": 1,
    "gate": 4,
    "export": 6,
    "register": 3,
}
"""Raised when a stage's code changes what it writes, so that old artifacts are not reused."""

SPEED_OF, JUDGED_OF, HARNESS_OF = "speed of ", "judgement of ", "harness of "
"""Before a candidate's name: a gate's input with what was timed of it, what a judge said, and how
it did on public tasks."""

EXPORTED = "exported"
"""The form that ships whose numbers are registered."""

LEARNED = "learned"
"""An evaluation's input: the labels that the student learned from."""

START = "start"
"""An evaluation's input: the fine-tuned teacher whose layers the untaught student is."""

_HASH_LENGTH = 16


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

    def after(self, name: str) -> list[Instance]:
        """The instances of a stage, or the one of that key, and every one that depends on them."""
        chosen: set[str] = set()
        for instance in self.instances:
            is_named = name in (instance.stage, instance.key)
            if is_named or chosen & set(instance.inputs.values()):
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
    return _Builder(recipe, Configs(recipe, content, compute.as_config())).build()


class _Builder:
    """Adds the instances of a recipe to a plan, in the order of work."""

    def __init__(self, recipe: Recipe, configs: Configs) -> None:
        self._recipe = recipe
        self._configs = configs
        self._plan = Plan()
        # What answers are held against, where the recipe asks what was learned by heart.
        self._learned: dict[str, str] = {}
        # Whose answers are measured against, where that is the teacher.
        self._reference: dict[str, str] = {}

    def build(self) -> Plan:
        add, configs = self._plan.add, self._configs
        rows = add("collect", configs.collect(), {})
        for variant, config in configs.row_steps():
            rows = add("step", config, {"rows": rows}, variant=variant)
        examples = {"examples": add("prepare", configs.prepare(), {"rows": rows})}
        teacher = self._teacher(examples)
        labelled = add("label", configs.label(), examples | teacher)
        if "memorised" in self._recipe.evaluate.measures:
            self._learned = {LEARNED: labelled}
        # A student of the teacher's layers starts from the weights that finetune made, and a live
        # teacher stands beside it with them.
        start = examples | (teacher if self._recipe.student.layers_of_teacher else {})
        taught = start | {"targets": labelled}
        if self._recipe.train.mode == "live":
            taught |= teacher
        students = {"student": add("train", configs.student(), taught, variant="student")}
        twin = self._recipe.train.twin
        if twin:
            learned = {"targets": labelled} if twin.text == "labelled" else {}
            if _labels_decide_length(self._recipe):
                learned |= {"labels": labelled}
            students["twin"] = add("train", configs.twin(), start | learned, variant="twin")
        evaluated = self._evaluations(examples, teacher, students)
        self._release(examples, students["student"], evaluated)
        return self._plan

    def _teacher(self, examples: dict[str, str]) -> dict[str, str]:
        """The fine-tuned teacher; its gate stands here, so that nothing it labels is paid for."""
        finetune = self._recipe.finetune
        if finetune is None:
            return {}
        teacher = self._plan.add("finetune", self._configs.finetune(), examples)
        if finetune.gate:
            config = self._configs.evaluate_teacher(part="validation")
            inputs = examples | {"model": teacher}
            measured = self._plan.add("evaluate", config, inputs, variant="finetuned")
            self._gate(finetune.gate, "finetuned", {"finetuned": measured})
        return {"teacher": teacher}

    def _evaluations(
        self, examples: dict[str, str], teacher: dict[str, str], students: dict[str, str]
    ) -> dict[str, str]:
        own = {"model": teacher["teacher"]} if teacher else {}
        config = self._configs.evaluate_teacher()
        evaluated = {
            "teacher": self._plan.add(
                "evaluate", config, examples | own | self._learned, variant="teacher"
            )
        }
        if self._configs.reference():
            self._reference = {"teacher": evaluated["teacher"]}
        if not self._recipe.teacher.api:
            evaluated |= self._apart("teacher", "teacher", examples | own)
        for name, model in students.items():
            inputs = examples | {"model": model}
            evaluated[name] = self._evaluate_student(
                name, inputs | {"teacher": evaluated["teacher"]}
            )
            evaluated |= self._apart(name, "student", inputs)
        for baseline in self._recipe.evaluate.baselines:
            inputs = examples | {"teacher": evaluated["teacher"]} | self._learned
            if baseline.model and self._recipe.student.layers_of_teacher and teacher:
                inputs |= {START: teacher["teacher"]}
            config = self._configs.evaluate_baseline(baseline)
            evaluated[baseline.name] = self._plan.add(
                "evaluate", config, inputs, variant=baseline.name
            )
        for name in [name for name in evaluated if not name.startswith((SPEED_OF, HARNESS_OF))]:
            evaluated |= self._judge(name, examples, evaluated)
        return evaluated

    def _judge(
        self, name: str, examples: dict[str, str], evaluated: dict[str, str]
    ) -> dict[str, str]:
        """The judgements on a candidate, as a gate knows them beside its evaluation."""
        judge = self._recipe.evaluate.judge
        if judge is None:
            return {}
        is_compared = judge.against is not None and judge.against != name
        if not is_compared and not judge.rubrics:
            return {}
        other = {"other": evaluated[judge.against]} if is_compared and judge.against else {}
        inputs = examples | {"own": evaluated[name]} | other | self._reference
        key = self._plan.add("judge", self._configs.judge(judge), inputs, variant=name)
        return {f"{JUDGED_OF}{name}": key}

    def _apart(
        self, name: str, of: str, inputs: dict[str, str], form: dict[str, str] | None = None
    ) -> dict[str, str]:
        """What is measured of a candidate beside its evaluation, as a gate knows it."""
        settings, add, form = self._recipe.evaluate, self._plan.add, form or {}
        found = {}
        if settings.latency:
            timed = inputs | self._reference
            key = add("speed", self._configs.speed(of) | form, timed, variant=name)
            found[f"{SPEED_OF}{name}"] = key
        if settings.harness and "gguf" not in form:
            key = add("harness", self._configs.harness(of) | form, inputs, variant=name)
            found[f"{HARNESS_OF}{name}"] = key
        return found

    def _evaluate_student(self, name: str, inputs: dict[str, str]) -> str:
        # The rows' own answers, which most twins learn, lie with the examples.
        twin = self._recipe.train.twin
        is_gold = name == "twin" and twin is not None and twin.text == "gold"
        learned = {} if is_gold else self._learned
        config = self._configs.evaluate_student(name)
        return self._plan.add("evaluate", config, inputs | learned, variant=name)

    def _gate(self, gate: Gate, candidate: str, evaluated: dict[str, str]) -> str:
        variant = "" if candidate == "student" else candidate
        config = self._configs.gate(gate, candidate)
        return self._plan.add("gate", config, evaluated, variant=variant)

    def _release(self, examples: dict[str, str], student: str, evaluated: dict[str, str]) -> None:
        recipe, configs = self._recipe, self._configs
        numbers, gate = {"numbers": evaluated["student"]}, {}
        before = _rules_but(recipe.gate, lambda metric: metric == BUNDLE_BYTES)
        if before:
            gate = {"gate": self._gate(before, "student", evaluated)}
        # The verdict changes no byte of the bundle, but a refused student must have none.
        inputs = examples | {"model": student} | gate | numbers
        exported = self._plan.add("export", configs.export(), inputs)
        further: dict[str, str] = {}
        for name, form in recipe.export.evaluated.items():
            inputs = examples | {"model": exported}
            measured, verdict = self._evaluate_shipped(name, form, inputs, evaluated)
            if name == EXPORTED:
                numbers, gate = {"numbers": measured}, verdict
            else:
                # Nothing of it is registered, but a refused form must not be either.
                further |= {f"{key} of {name}": one for key, one in verdict.items()}
        inputs = {"bundle": exported} | numbers | gate | further
        self._plan.add("register", configs.register(), inputs)

    def _evaluate_shipped(
        self, name: str, form: dict[str, str], inputs: dict[str, str], evaluated: dict[str, str]
    ) -> tuple[str, dict[str, str]]:
        """The evaluation of a form that ships, and its gate where the recipe has one.

        What ships is asked again: it has come through a file and a loader.
        """
        recipe = self._recipe
        config = self._configs.evaluate_student(name) | form
        against = {"teacher": evaluated["teacher"]} | self._learned
        measured = self._plan.add("evaluate", config, inputs | against, variant=name)
        apart = self._apart(name, "student", inputs, form)
        if not recipe.gate:
            return measured, {}
        known = evaluated | apart | {name: measured}
        asked: Gate | None = recipe.gate
        if "gguf" in form:
            asked = _rules_but(recipe.gate, is_of_memory)
        else:
            examples = {key: one for key, one in inputs.items() if key != "model"}
            known |= self._judge(name, examples, known)
        return measured, {"gate": self._gate(asked, name, known)} if asked else {}


def _rules_but(gate: Gate | None, is_left_out: Callable[[str], bool]) -> Gate | None:
    """A gate without the rules on some metrics; None where no rule is left."""
    rules = tuple(one for one in gate.rules if not is_left_out(one.metric)) if gate else ()
    return gate.model_copy(update={"rules": rules}) if gate and rules else None


def _labels_decide_length(recipe: Recipe) -> bool:
    """Whether the student's number of steps is known only when its labels are.

    An answer that was cut or refused is not learned, and a twin takes as many steps.
    """
    train, label = recipe.train, recipe.label
    is_asked = label.completions == "teacher" or (
        label.completions == "mix" and "unlabelled" in train.parts
    )
    return not train.length.steps and (is_asked or bool(train.weights.class_kl))
