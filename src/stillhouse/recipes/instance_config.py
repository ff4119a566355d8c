"""What the result of each instance depends on: its part of the recipe, as plain JSON values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from stillhouse.recipes.baselines import Baseline
from stillhouse.recipes.card_config import card_of
from stillhouse.recipes.data_steps import PairWith
from stillhouse.recipes.export_config import export_config
from stillhouse.recipes.gating import Gate
from stillhouse.recipes.judging import AnswerJudge
from stillhouse.recipes.prompts import PromptTemplate
from stillhouse.recipes.readers import ReaderContent, reader_config
from stillhouse.recipes.rights import Rights
from stillhouse.recipes.row_step import FileStep, Step
from stillhouse.recipes.schema import Recipe
from stillhouse.recipes.step_engine import EngineContent
from stillhouse.recipes.training import LossOptions, Training
from stillhouse.recipes.watched import metrics_without_teacher, stopping_without_teacher

Config = dict[str, Any]

_EXAMINED = ("fields", "slices", "measures", "agree_together", "batch_size")
"""Settings of `evaluate` that shape what is measured while a training runs."""


@dataclass(frozen=True, slots=True)
class Content:
    """Digests of what a recipe reads from outside, found before the plan is made.

    Attributes:
        source: of the rows.
        teacher: of the teacher's weights; empty for a scratch model and one behind an API.
        student: of the student's weights; empty for a scratch model.
        tokenizer: of the tokenizer that the student reads with; empty when it is trained.
        context: tokens that all can hold who read so; 0 when none of them says.
        teachers: of the teacher's own reader; None where it reads as the student does.
        prompt: the teacher's own prompt; None where it sees the examples' prompts.
        harness: of the recipe's own task files.
        paired: the settings of each `pair_with` step, as name and value.
        against: of the file that each step names which reads one, such as `decontaminate`.
        probes: those of the file that `evaluate.probes` names, as JSON values.
        collection: the plan of a collection, and what is asked for or read from files.
        deepspeed: `finetune` and `train` -> the DeepSpeed configuration that each names.
        engines: of the steps: variant of the instance (empty for `prepare`) and the engine's key.
        encoders: of the model of each step that names one, in the order of the steps.
        encoder_dtype: the numbers that they compute with.
        held: what is held back of the rows beside what the recipe says; mostly nothing.
        llama_cpp: of the converter in `export.gguf.llama_cpp_dir`; empty without one.
    """

    source: str
    teacher: str = ""
    student: str = ""
    tokenizer: str = ""
    context: int = 0
    teachers: ReaderContent | None = None
    prompt: PromptTemplate | None = None
    harness: str = ""
    paired: tuple[tuple[tuple[str, Any], ...], ...] = ()
    against: tuple[str, ...] = ()
    probes: tuple[Config, ...] = ()
    collection: Config = field(default_factory=dict)
    deepspeed: dict[str, Config] = field(default_factory=dict)
    engines: dict[tuple[str, str], EngineContent] = field(default_factory=dict)
    encoders: tuple[str, ...] = ()
    encoder_dtype: str = ""
    held: Config = field(default_factory=dict)
    llama_cpp: str = ""


@dataclass(frozen=True, slots=True)
class Configs:
    """The configuration of every instance of a recipe.

    Attributes:
        recipe: the effective recipe.
        content: what it reads.
        machine: device, dtype and threads.
    """

    recipe: Recipe
    content: Content
    machine: Config

    def collect(self) -> Config:
        """Of `collect`."""
        section = dump(self.recipe.collect)
        del section["planned_rows"]
        section["source"]["file"] = bool(section["source"]["file"])
        # Where nothing is asked of the rows, nothing is named anew.
        for name, value in (("log", None), ("rights", dump(Rights()))):
            if section[name] == value:
                del section[name]
        held = {"held": self.content.held} if self.content.held else {}
        del section["source"]["collection"]
        collection = self.recipe.collect.source.collection
        if not collection:
            return {"collect": section, "content": self.content.source, **held}
        return {"collect": section, **collection.identity(), **self.content.collection, **held}

    def row_steps(self) -> list[tuple[str, Config]]:
        """Of each named step, with its variant; cleaning comes before them."""
        prepare, paired = self.recipe.prepare, iter(self.content.paired)
        against = iter(self.content.against)
        encoders = iter(self.content.encoders)
        if not prepare.steps:
            return []
        found: list[tuple[str, Config]] = [("clean", {"clean": dump(prepare.clean)})]
        for variant, _, step in prepare.variants:
            settings = [list(one) for one in next(paired)] if isinstance(step, PairWith) else []
            config: Config = {"step": step.identity()} | ({"paired": settings} if settings else {})
            config |= {"against": next(against)} if isinstance(step, FileStep) else {}
            if step.encoder:
                # A folder by its content, not by its name.
                config["step"] |= {"by": {"path": next(encoders)}}
                config["machine"] = self.machine | {"dtype": self.content.encoder_dtype}
            found.append((variant, config | self._engines(variant, step)))
        return found

    def _engines(self, variant: str, step: Step) -> Config:
        """What the answers of a step's engines depend on beside its settings."""
        known = self.content.engines
        found = {
            place: known[variant, place].config(engine, self.machine)
            for place, engine in step.asked.items()
        }
        return {"engines": found} if found else {}

    def prepare(self) -> Config:
        """Of `prepare`."""
        recipe, content = self.recipe, self.content
        found = ReaderContent(content.tokenizer, content.context)
        asks_again = recipe.label.completions == "teacher"
        relabelled = {*recipe.label.parts, "validation"} if asks_again else set()
        if recipe.finetune and "validation" in recipe.prepare.split.parts:
            # Asked by a gate of the teacher, which may be added later and must not undo this.
            relabelled.add("validation")
        augment = recipe.prepare.augment
        return {
            **(self._engines("", augment) if augment else {}),
            "prepare": recipe.prepare.identity(),
            **reader_config(recipe, found, content.teachers),
            "room_for_answer": max(
                recipe.label.max_new_tokens, recipe.evaluate.max_new_tokens or 0
            ),
            "asked_parts": sorted(relabelled | {"holdout"}),
            **self.reference(),
            **({"domains": _domains(recipe)} if recipe.domains else {}),
        }

    def finetune(self) -> Config:
        """Of `finetune`; its gate changes no weight."""
        assert self.recipe.finetune is not None
        training = dump(self.recipe.finetune)
        del training["gate"]
        made = self._training("finetune", training, self.model("teacher"))
        return made | self._examined(self.recipe.finetune)

    def label(self) -> Config:
        """Of `label`: the prompt by its content, a judge by what shapes its judgement."""
        label = self.recipe.label
        judges = [dump(judge) | {"api": judge.api.identity()} for judge in label.judges]
        return {
            "label": dump(label) | {"prompt": None, "judges": judges},
            **self.teacher(),
            "max_tokens": self._most_tokens(),
        }

    def reference(self) -> Config:
        """Whose answers are measured against; of gold ones nothing is named anew."""
        reference = self.recipe.evaluate.reference
        return {"reference": reference} if reference != "gold" else {}

    def student(self) -> Config:
        """Of the student's training; a live teacher is a part of it."""
        beside = {"teacher": self.model("teacher")} if self.recipe.train.mode == "live" else {}
        named = self._named() if self.recipe.train.weights.class_kl else {}
        return self._learner() | beside | named | self._examined(self.recipe.train)

    def _examined(self, training: Training) -> Config:
        """How answers are measured while a training runs; nothing where none are asked for."""
        if not training.validation.examples:
            return {}
        recipe = self.recipe
        evaluate = dump(recipe.evaluate)
        by_teacher = self.reference() if training is recipe.train else {}
        asked = {
            **by_teacher,
            "evaluate": {name: evaluate[name] for name in _EXAMINED},
            "max_new_tokens": recipe.evaluate.max_new_tokens or recipe.label.max_new_tokens,
            "answer_format": recipe.prepare.answer_format,
            "answer_schema": recipe.label.answer_schema,
            "asks_teacher": bool(by_teacher) or recipe.label.completions == "teacher",
        }
        return {"examined": asked}

    def twin(self) -> Config:
        """Of the twin's training; its steps are those of the student.

        What is measured against a teacher it does not have: then it stops by its loss.
        """
        train, label = self.recipe.train, self.recipe.label
        assert train.twin is not None
        own = {
            "mode": "cached",
            "weights": {"forward_kl": 0.0, "cross_entropy": 1.0},
            "loss_options": dump(LossOptions()),
            "parts": list(train.twin_parts),
            "kd_temperature": 1.0,
            "t2_scaling": True,
            "validation": dump(train.validation) | {"metrics": metrics_without_teacher(train)},
            "early_stopping": train.early_stopping
            and dump(stopping_without_teacher(train.early_stopping)),
        }
        has_heard = train.twin.text == "labelled" or not self.reference()
        student = self._learner() | (self._examined(train) if has_heard else {})
        return student | {
            "training": student["training"] | own,
            "student_parts": [] if train.length.steps else list(train.parts),
            "student_samples": label.samples if label.completions == "mix" else 0,
            "student_by_class": bool(train.weights.class_kl),
        }

    def evaluate_teacher(self, part: str = "holdout") -> Config:
        """Of an evaluation of the teacher, who is held to what labels are held to."""
        # As the labels are asked for: some providers take no temperature but their own.
        api, temperature = self.recipe.teacher.api, self.recipe.label.temperature
        asking: Config = {"temperature": temperature} if api else {}
        finetune = self.recipe.finetune
        # Before it labels there is nothing to learn from it, so that its own lessons count.
        own = finetune.parts if finetune and part != "holdout" else ()
        config = self._evaluate(part, own or self.recipe.train.parts)
        if "reference" in config:
            # Held to what labels are held to.
            asking |= {
                "reject": list(self.recipe.label.reject),
                "max_tokens": self._most_tokens(),
            }
        return {**config, **asking, "of": "teacher", **self.teacher()}

    def evaluate_student(self, name: str) -> Config:
        """Of an evaluation of the student, its twin or what ships."""
        train = self.recipe.train
        learned = train.twin_parts if name == "twin" else train.parts
        evaluation = {**self._evaluate("holdout", learned), "of": "student", **self.machine}
        return evaluation | self._held_student()

    def evaluate_baseline(self, baseline: Baseline) -> Config:
        """Of an evaluation of a baseline."""
        if baseline.model:
            return self.evaluate_student("") | {"untaught": True, "model": self.model("student")}
        config = self._evaluate("holdout", self.recipe.train.parts)
        return {**config, "of": "baseline", "baseline": baseline.identity()}

    def judge(self, judge: AnswerJudge) -> Config:
        """Of the judgements on a candidate."""
        return {"judge": judge.identity(), **self.reference()}

    def _evaluate(self, part: str, learned: Sequence[str]) -> Config:
        recipe = self.recipe
        evaluate = dump(recipe.evaluate)
        for apart in ("latency", "baselines", "judge", "harness", "reference"):
            del evaluate[apart]  # has instances of its own, or is named below
        # A file by its content, not by its name; without one nothing is named anew.
        # `probed` is raised when what is measured of probes changes, which few recipes have.
        probed = {"probes": list(self.content.probes), "probed": 2}
        asked: Config = probed if evaluate.pop("probes") else {}
        asked |= {"learned": list(learned)} if "memorised" in recipe.evaluate.measures else {}
        # Before it labels, the teacher is held to the rows' own answers.
        asked |= self.reference() if part == "holdout" else {}
        return {
            **asked,
            "evaluate": evaluate,
            "max_new_tokens": recipe.evaluate.max_new_tokens or recipe.label.max_new_tokens,
            "answer_format": recipe.prepare.answer_format,
            "answer_schema": recipe.label.answer_schema,
            "part": part,
            **self._named(),
            **({"class_read_in": "own answer"} if recipe.label.class_field else {}),  # else as ever
        }

    def _named(self) -> Config:
        """The named answers, where the recipe has some; without any nothing is named anew."""
        label = self.recipe.label
        if not label.classes:
            return {}
        return {"named": {"classes": list(label.classes), "field": label.class_field}}

    def speed(self, of: str) -> Config:
        """Of the timing of the teacher or of a student."""
        recipe = self.recipe
        is_teacher = of == "teacher"
        return {
            **self.reference(),
            "latency": dump(recipe.evaluate.latency),
            "max_new_tokens": recipe.evaluate.max_new_tokens or recipe.label.max_new_tokens,
            "batch_size": recipe.evaluate.batch_size,
            "answer_schema": recipe.label.answer_schema if is_teacher else None,
            "of": of,
            "model": self.model(of),
            **self.machine,
        }

    def harness(self, of: str) -> Config:
        """Of public tasks, asked of the teacher or of a student."""
        settings = self.recipe.evaluate
        return {
            "harness": dump(settings.harness) | {"include": self.content.harness or None},
            "draws": settings.draws,
            "confidence": settings.confidence,
            "seed": settings.seed,
            "of": of,
            "model": self.model(of),
            **self.machine,
        }

    def gate(self, gate: Gate, candidate: str) -> Config:
        """Of a gate that is asked about a candidate."""
        settings = self.recipe.evaluate
        return {
            **(self.reference() if candidate != "finetuned" else {}),
            "gate": dump(gate),
            "candidate": candidate,
            "draws": settings.draws,
            "confidence": settings.confidence,
            "seed": settings.seed,
        }

    def export(self) -> Config:
        """Of `export`."""
        exported = export_config(self.recipe, self.content.llama_cpp) | self.machine
        return exported | {"model_card": card_of(self.recipe)} | self._held_student()

    def register(self) -> Config:
        """Of `register`."""
        named = self.recipe.register_as
        return {"name": named.name if named else self.recipe.name}

    def teacher(self) -> Config:
        """What the teacher's answers depend on, beside what it is asked."""
        recipe, content = self.recipe, self.content
        if recipe.teacher.api:
            prompt = dump(content.prompt) if content.prompt else None
            return {
                "endpoint": recipe.teacher.api.identity(),
                "prompt": prompt,
                "max_tokens": self._most_tokens(),
            }
        return {**self.machine, "model": self.model("teacher")}

    def _most_tokens(self) -> int:
        """The longest conversation that the student may read; 0 for any."""
        limits = (self.content.context, self.recipe.prepare.max_tokens)
        return min((limit for limit in limits if limit), default=0)

    def model(self, which: str) -> Config:
        """The weights of teacher or student."""
        is_teacher = which == "teacher"
        source = self.recipe.teacher if is_teacher else self.recipe.student
        found: Config = {
            "weights": self.content.teacher if is_teacher else self.content.student,
            "scratch": dump(source.scratch) if source.scratch else None,
        }
        if source.layers_of_teacher:
            # They are copied as they are, whatever the teacher's own are held in.
            whole = {k: v for k, v in self.model("teacher").items() if k != "quantization"}
            found |= {"layers": list(source.layers_of_teacher), "of": whole}
        return found | source.held

    def _learner(self) -> Config:
        """What student and twin share."""
        training = dump(self.recipe.train) | {"twin": None}
        names = {"domains": list(self.recipe.domains)} if self.recipe.domains else {}
        return self._training("train", training, self.model("student")) | names

    def _training(self, section: str, training: Config, model: Config) -> Config:
        """Of a training: a DeepSpeed configuration by its content, not by its name."""
        stated = {"deepspeed": self.content.deepspeed[section]} if training["deepspeed"] else {}
        training = training | {"deepspeed": None}
        return {"training": training, "model": model, **stated, **self.machine}

    def _held_student(self) -> Config:
        """The student where it is held in a way of its own; without one nothing is named anew."""
        return {"model": self.model("student")} if self.recipe.student.held else {}


def _domains(recipe: Recipe) -> list[list[Any]]:
    """Names and settings in their order, which the keys of a hashed mapping would lose."""
    return [[name, dump(domain)] for name, domain in recipe.domains.items()]


def dump(section: Any) -> Config:
    """A section as JSON values, by the keys of the recipe."""
    dumped: dict[str, Any] = section.model_dump(mode="json", by_alias=True)
    return dumped
