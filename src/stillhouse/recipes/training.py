"""The `finetune` and `train` sections: what learns, from which parts, for how long."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from stillhouse.recipes.section import Count, Fraction, NotNegative, Positive, Section, Seed


class Lora(Section):
    """A low-rank adapter beside frozen weights (Hu et al. 2021, arXiv:2106.09685)."""

    rank: Count = 16
    alpha: Positive = 32.0
    dropout: Fraction = 0.0
    modules: Literal["all-linear"] | tuple[str, ...] = "all-linear"


class Galore(Section):
    """Gradients projected to a low rank (Zhao et al. 2024, arXiv:2403.03507)."""

    rank: Count = 128
    update_gap: Count = 200
    scale: Positive = 0.25
    modules: tuple[str, ...] = ()


class Optimizer(Section):
    """AdamW with a schedule; the ranges are those in which it is known to train."""

    name: Literal["adamw", "galore_adamw", "adamw_8bit"] = "adamw"
    learning_rate: float = Field(default=1e-4, ge=1e-7, le=1e-1)
    weight_decay: NotNegative = 0.0
    beta1: float = Field(default=0.9, ge=0.0, lt=1.0)
    beta2: float = Field(default=0.999, ge=0.0, lt=1.0)
    max_grad_norm: Positive = 1.0
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup_steps: int = Field(default=0, ge=0)
    galore: Galore | None = None


class EarlyStopping(Section):
    """Stop when the validation loss has not improved for `patience` measurements."""

    every_steps: Count
    patience: Count = 4
    min_delta: NotNegative = 0.0


class Length(Section):
    """How long training lasts; exactly one of `steps` and `epochs`.

    `batch_size` examples stand in memory at once; `batch_size * accumulation` make one step.
    """

    steps: Count | None = None
    epochs: Positive | None = None
    batch_size: Count = 8
    accumulation: Count = 1
    checkpoint_every: Count | None = None

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("give exactly one of steps and epochs")
        return self


class Training(Section):
    """What fine-tuning a teacher and training a student share."""

    parts: tuple[str, ...] = ("labelled",)
    seed: Seed = 0
    length: Length
    optimizer: Optimizer = Optimizer()
    lora: Lora | None = None
    early_stopping: EarlyStopping | None = None
    gradient_checkpointing: bool = False


class Finetune(Training):
    """Fine-tune the teacher on gold answers before it labels."""

    parts: tuple[str, ...] = ("teacher",)


class LossWeights(Section):
    """Named loss terms with their weights; a term of weight 0 is not computed."""

    forward_kl: NotNegative = 1.0
    cross_entropy: NotNegative = 0.0

    @model_validator(mode="after")
    def _something_is_learned(self) -> Self:
        if self.forward_kl == 0.0 and self.cross_entropy == 0.0:
            raise ValueError("every loss weight is 0, so nothing would be learned")
        return self


class Twin(Section):
    """The same student trained with cross-entropy alone: what distillation has to beat."""

    parts: tuple[str, ...] = ("labelled",)


class Train(Training):
    """Train the student from stored targets.

    Attributes:
        kd_temperature: softens teacher and student inside the loss, > 0.
        t2_scaling: multiply the softened loss by kd_temperature squared.
        twin: also train the same student with cross-entropy alone.
        mode: `cached` reads stored targets; the others ask the teacher while training.
    """

    parts: tuple[str, ...] = ("labelled", "unlabelled")
    mode: Literal["cached", "live", "on_policy"] = "cached"
    weights: LossWeights = LossWeights()
    kd_temperature: Positive = 1.0
    t2_scaling: bool = True
    twin: Twin | None = None
