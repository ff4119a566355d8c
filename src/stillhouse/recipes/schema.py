"""The recipe: one section a stage, in the order of work."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from stillhouse.recipes.measuring import Evaluate, Export, Gate, Register
from stillhouse.recipes.models import Compute, ModelSource
from stillhouse.recipes.rows import Collect, Label, Prepare
from stillhouse.recipes.section import Section
from stillhouse.recipes.training import Finetune, Train


class Recipe(Section):
    """Everything a run does.

    Attributes:
        version: of the recipe language.
        name: of the run, and of the bundle's card; small letters, digits, `.`, `_` and `-`.
        description: one line for people; changes no hash.
        network: `none`, `hub`, or the hosts that may be reached; enforced in every process.
        teacher: the model that is imitated.
        student: the model that learns.
        domains: names of the domains that the stages run for, one adapter each.
        serve: how the student is served; read by later versions.
        monitor: what is watched while it serves; read by later versions.
    """

    version: Literal[1] = 1
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    description: str = ""
    network: Literal["none", "hub"] | tuple[str, ...] = "none"
    compute: Compute = Compute()
    teacher: ModelSource
    student: ModelSource
    domains: tuple[str, ...] = ()
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

    @model_validator(mode="after")
    def _sections_agree(self) -> Self:
        problems = [
            *self._unknown_parts(),
            *self._parts_without_answers(),
            *self._temperature_not_stored(),
            *self._network(),
        ]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _unknown_parts(self) -> list[str]:
        known = set(self.prepare.split.parts)
        used = {
            "label.parts": self.label.parts,
            "train.parts": self.train.parts,
            "finetune.parts": self.finetune.parts if self.finetune else (),
            "train.twin.parts": self.train.twin.parts if self.train.twin else (),
        }
        problems = [
            f"{key} names the part {part!r}, which prepare.split.parts does not make"
            for key, parts in used.items()
            for part in parts
            if part not in known
        ]
        problems += [
            f"{key} holds the holdout; it is measured on and never trained on"
            for key, parts in used.items()
            if "holdout" in parts
        ]
        return problems

    def _parts_without_answers(self) -> list[str]:
        problems = []
        if self.finetune and "unlabelled" in self.finetune.parts:
            problems.append(
                "finetune.parts names the part 'unlabelled', whose answers are hidden: the "
                "teacher learns from the part 'teacher'"
            )
        if self.train.mode == "cached":
            problems += [
                f"train.parts names the part {part!r}, which the teacher is not asked about: "
                "add it to label.parts"
                for part in self.train.parts
                if part in self.prepare.split.parts and part not in self.label.parts
            ]
        return problems

    def _temperature_not_stored(self) -> list[str]:
        needs = self.train.weights.forward_kl > 0 and self.train.mode == "cached"
        if not needs or self.label.targets != "top_k":
            return []
        if self.train.kd_temperature in self.label.kd_temperatures:
            return []
        return [
            f"train.kd_temperature is {self.train.kd_temperature}, but label.kd_temperatures "
            f"holds {list(self.label.kd_temperatures)}: add it there"
        ]

    def _network(self) -> list[str]:
        if self.network != "none":
            return []
        return [
            f"{name}.hub needs network: hub, this recipe says network: none"
            for name in ("teacher", "student")
            if getattr(self, name).hub
        ]
