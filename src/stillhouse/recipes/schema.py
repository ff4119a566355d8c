"""The recipe: one section a stage, in the order of work."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from stillhouse.recipes.correction import Correction
from stillhouse.recipes.domains import Domains
from stillhouse.recipes.endpoints import ApiEndpoint
from stillhouse.recipes.gating import Gate
from stillhouse.recipes.labels import Label
from stillhouse.recipes.measuring import Evaluate, Export, Register
from stillhouse.recipes.models import Compute, ModelSource
from stillhouse.recipes.rows import Collect, Prepare
from stillhouse.recipes.section import Section
from stillhouse.recipes.step_engine import StepEngine
from stillhouse.recipes.training import Finetune, Train


class Recipe(Section):
    """Everything a run does.

    Attributes:
        version: of the recipe language.
        name: of the run, and of the bundle's card; small letters, digits, `.`, `_` and `-`.
        description: one line for people; changes no hash.
        corrections: where this recipe departs from the document that it builds, and why; `check`
            tells each, and changes no hash by it.
        network: `none`, `hub`, or the hosts that may be reached; enforced in every process.
        teacher: the model that is imitated.
        student: the model that learns.
        report_to: trackers that hear every training while it runs; changes no hash. They write into
            the run's folder, unless their own environment variables say where.
        domains: a list of names, or a mapping of names to settings: the student learns an adapter
            for each, all on one frozen base; `prepare.domain_field` deals the rows out to them.
        serve: how the student will be served; a run reads nothing of it, `check` tells each key.
        monitor: what will be watched while it serves; a run reads nothing of it either.
    """

    version: Literal[1] = 1
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    description: str = ""
    corrections: tuple[Correction, ...] = ()
    network: Literal["none", "hub"] | tuple[str, ...] = "none"
    compute: Compute = Compute()
    teacher: ModelSource
    student: ModelSource
    report_to: tuple[Literal["tensorboard", "mlflow", "wandb", "trackio"], ...] = ()
    domains: Domains = Field(default_factory=dict)
    collect: Collect
    prepare: Prepare
    finetune: Finetune | None = None
    label: Label = Label()
    train: Train
    evaluate: Evaluate = Evaluate()
    gate: Gate | None = None
    export: Export = Export()
    register_as: Register | None = Field(default=None, alias="register")
    serve: dict[str, Any] | None = None
    monitor: dict[str, Any] | None = None

    @property
    def endpoints(self) -> dict[str, ApiEndpoint]:
        """Every model behind an API that is asked, by its dotted key."""
        teacher = {"teacher.api": self.teacher.api} if self.teacher.api else {}
        judges = {
            f"label.judges.{number}.api": judge.api
            for number, judge in enumerate(self.label.judges)
        }
        baselines = {
            f"evaluate.baselines.{number}.api": baseline.api
            for number, baseline in enumerate(self.evaluate.baselines)
            if baseline.api
        }
        judge = self.evaluate.judge
        own = {"evaluate.judge.api": judge.api} if judge else {}
        rows = {f"{key}.api": engine.api for key, engine in self.step_engines.items() if engine.api}
        return {**rows, **teacher, **judges, **baselines, **own}

    @property
    def step_engines(self) -> dict[str, StepEngine]:
        """Every engine that a step of the rows asks, by its dotted key."""
        return {
            f"prepare.steps.{number}.{place}": engine
            for number, step in enumerate(self.prepare.steps)
            for place, engine in step.asked.items()
        }
