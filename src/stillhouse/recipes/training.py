"""The `finetune` and `train` sections: what learns, from which parts, for how long."""

from __future__ import annotations

import math
from typing import Literal, Self

from pydantic import Field, model_validator

from stillhouse.recipes.gating import Gate
from stillhouse.recipes.section import Count, NotNegative, Positive, Section, Seed


class Lora(Section):
    """A low-rank adapter beside frozen weights (Hu et al. 2021, arXiv:2106.09685).

    Attributes:
        rank: of the two small matrices.
        alpha: the update is scaled by alpha / rank.
        dropout: on the adapter's input.
        modules: names of linear layers, whole or their end after a dot; `all-linear` is each but
            the head. Routers of a mixture of experts are never adapted.
        experts: names of the parameters that hold all experts of a layer in one, such as
            `gate_up_proj` of gpt-oss; each expert gets an adapter of this rank.
        bias: biases that are trained beside it: none, those of the adapted layers, or all but
            the routers'.
        rank_stabilized: scale by alpha / sqrt(rank) (Kalajdzievski 2023, arXiv:2312.03732), so
            that a higher rank learns as fast.
    """

    rank: Count = 16
    alpha: Positive = 32.0
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    modules: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    experts: tuple[str, ...] = ()
    bias: Literal["none", "all", "lora_only"] = "none"
    rank_stabilized: bool = False

    @model_validator(mode="after")
    def _something_is_adapted(self) -> Self:
        if not self.modules and not self.experts:
            raise ValueError("modules and experts are both empty, so nothing would be adapted")
        return self


class Galore(Section):
    """AdamW on gradients projected to a low rank (Zhao et al. 2024, arXiv:2403.03507).

    Attributes:
        rank: of the projection, at most; `auto` is as large as memory_gb allows. A matrix whose
            smaller side is below it keeps that side as its own rank.
        memory_gb: 10**9 bytes that the optimizer's whole state may take; the rank is lowered until
            it fits.
        update_gap: steps between two projections.
        scale: of the projected update.
        modules: names of linear layers, or their ends; `all-linear` is each but the head and the
            routers. Every other parameter is moved by plain AdamW.
        layerwise: move each parameter as soon as its gradient is there, then free the gradient.
            Each gradient is then shortened to max_grad_norm on its own.
    """

    rank: Count | Literal["auto"] = 128
    memory_gb: Positive | None = None
    update_gap: Count = 200
    scale: Positive = 0.25
    modules: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    layerwise: bool = False

    @model_validator(mode="after")
    def _rank_is_known(self) -> Self:
        if self.rank == "auto" and self.memory_gb is None:
            raise ValueError("rank: auto is as large as memory_gb allows, which is not given")
        if not self.modules:
            raise ValueError("modules names no layer; all-linear names each of them")
        return self


class Optimizer(Section):
    """AdamW with a schedule; the ranges are those in which it is known to train.

    Attributes:
        name: `adamw_8bit` keeps both moments in 8 bits (Dettmers et al. 2022, arXiv:2110.02861),
            but for embeddings and for what has under 4,096 numbers; it needs the extra qlora.
            `galore_adamw` keeps them in a low rank.
        learning_rate: at the top of the schedule.
        weight_decay: decoupled; norms and biases have none.
        beta1: of the first moment.
        beta2: of the second moment.
        eps: added to the square root of the second moment.
        max_grad_norm: longer gradients are shortened to it.
        schedule: of the learning rate after the warm-up; cosine and linear end at 0.
        warmup_steps: of a linear rise from 0.
        galore: settings of galore_adamw.
    """

    name: Literal["adamw", "adamw_8bit", "galore_adamw"] = "adamw"
    learning_rate: float = Field(default=1e-4, ge=1e-7, le=1e-1)
    weight_decay: NotNegative = 0.0
    beta1: float = Field(default=0.9, ge=0.0, lt=1.0)
    beta2: float = Field(default=0.999, ge=0.0, lt=1.0)
    eps: Positive = 1e-8
    max_grad_norm: Positive = 1.0
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup_steps: int = Field(default=0, ge=0)
    galore: Galore | None = None


class Validation(Section):
    """What is measured on the part validation while a training runs; kept in `kd_metrics.json`.

    The loss and each of its terms are measured on all of it. With `examples` so many of it, spread
    over it, are also asked, and their answers measured as `evaluate` does; the texts that are
    learned are compared with the teacher token by token.

    Attributes:
        every_steps: between two measurements; a tenth of the training when absent.
        examples: that are asked; 0 measures the loss alone.
        metrics: of these, by the names of `evaluate.metrics`; all that are measured when empty.
    """

    every_steps: Count | None = None
    examples: int = Field(default=0, ge=0)
    metrics: tuple[str, ...] = ()


class EarlyStopping(Section):
    """Stop when a metric of the part validation has not improved for `patience` measurements.

    Attributes:
        metric: `loss`, a loss term, or any metric that `validation.examples` measures; its own
            direction says what an improvement is.
        patience: measurements without an improvement.
        min_delta: a smaller improvement does not count.
    """

    metric: str = "loss"
    patience: Count = 4
    min_delta: NotNegative = 0.0


class Length(Section):
    """How long training lasts; exactly one of `steps`, `epochs` and `one_step_per`.

    Attributes:
        steps: of the optimizer.
        epochs: passes over the examples.
        one_step_per: examples that each step stands for, whatever its batch: 10 gives n // 10
            steps.
        most_steps: ends a training of `epochs` or `one_step_per` that would be longer.
        batch_size: examples that stand in memory at once.
        accumulation: batches of one step, which sees `batch_size * accumulation` examples.
        checkpoint_every: steps between two checkpoints; a tenth of the training when absent.
    """

    steps: Count | None = None
    epochs: Positive | None = None
    one_step_per: Count | None = None
    most_steps: Count | None = None
    batch_size: Count = 8
    accumulation: Count = 1
    checkpoint_every: Count | None = None

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if sum(one is not None for one in (self.steps, self.epochs, self.one_step_per)) != 1:
            raise ValueError("give exactly one of steps, epochs and one_step_per")
        if self.steps and self.most_steps:
            raise ValueError("most_steps caps epochs or one_step_per; steps is a number of its own")
        return self

    def of_steps(self, steps: int) -> Self:
        """The same batches for a number of steps that is known."""
        said = {"steps": steps, "epochs": None, "one_step_per": None, "most_steps": None}
        return self.model_copy(update=said)

    def steps_per_pass(self, examples: int, processes: int = 1) -> int:
        """Steps that see every example once; the last may be short of rows."""
        return max(1, math.ceil(examples / (self.batch_size * self.accumulation * processes)))

    def num_steps(self, examples: int, processes: int = 1) -> int:
        """Steps of the optimizer.

        Args:
            examples: what is trained on, >= 0.
            processes: that train side by side, each with its own batches.

        Returns:
            At least 1: what is said, or `most_steps` where that comes first.
        """
        if self.steps:
            return self.steps
        if self.one_step_per:
            wanted = examples // self.one_step_per
        else:
            wanted = math.ceil((self.epochs or 0.0) * self.steps_per_pass(examples, processes))
        return max(1, min(wanted, self.most_steps or wanted))

    def num_epochs(self, examples: int, processes: int = 1) -> float:
        """Passes over the examples that this many steps make."""
        steps = self.num_steps(examples, processes)
        return steps / self.steps_per_pass(examples, processes)


_CHECKPOINTS = 10
"""How many a training writes when the recipe does not say; assumption: a tenth may be lost."""


class Training(Section):
    """What fine-tuning a teacher and training a student share.

    Attributes:
        parts: whose examples are learned.
        seed: of the order of the examples, of dropout and of an adapter's first matrix.
        length: how long.
        optimizer: how steps are taken.
        lora: train an adapter instead of all weights.
        validation: what is measured while it runs, and how often.
        early_stopping: when to stop before the end; the weights of the best measurement are kept.
        gradient_checkpointing: compute activations twice and keep few of them.
        deepspeed: a DeepSpeed configuration in JSON, ZeRO stages 0 to 2; a relative path starts
            at the recipe's folder.
    """

    parts: tuple[str, ...] = Field(default=("labelled",), min_length=1)
    seed: Seed = 0
    length: Length
    optimizer: Optimizer = Optimizer()
    lora: Lora | None = None
    validation: Validation = Validation()
    early_stopping: EarlyStopping | None = None
    gradient_checkpointing: bool = False
    deepspeed: str | None = None

    def measured_every(self, steps: int) -> int:
        """Steps between two measurements of the part validation, in a training of so many."""
        return min(self.validation.every_steps or self._checkpoint_every(steps), steps)

    def saved_every(self, steps: int) -> int:
        """Steps between two checkpoints, likewise; the best measurement must have one."""
        return self.measured_every(steps) if self.early_stopping else self._checkpoint_every(steps)

    def _checkpoint_every(self, steps: int) -> int:
        return self.length.checkpoint_every or max(1, steps // _CHECKPOINTS)


class Finetune(Training):
    """Fine-tune the teacher on gold answers before it labels.

    Attributes:
        gate: rules on the fine-tuned teacher, measured on the part validation, that must pass
            before it labels anything.
    """

    parts: tuple[str, ...] = Field(default=("teacher",), min_length=1)
    gate: Gate | None = None


class LossWeights(Section):
    """Named loss terms with their weights; a term of weight 0 is not computed.

    Attributes:
        forward_kl: of KL(teacher || student): cover all of the teacher's mass.
        cross_entropy: of the cross-entropy with the text that is learned.
        reverse_kl: of KL(student || teacher): stay where the teacher is sure.
        jsd: of the generalised Jensen-Shannon divergence.
        skew_kl: of KL(teacher || mixture of both).
        skew_reverse_kl: of KL(student || mixture of both).
        tvd: of the total variation distance.
        akl: of forward and reverse KL, weighted by where the two differ.
        alpha_beta: of the alpha-beta divergence.
        class_kl: of KL(teacher || student) over the named answers of label.classes, by the
            likelihoods of whole answers; a mean over examples, where the others are means over
            tokens. It stands alone or beside cross_entropy.
    """

    forward_kl: NotNegative = 0.0
    cross_entropy: NotNegative = 0.0
    reverse_kl: NotNegative = 0.0
    jsd: NotNegative = 0.0
    skew_kl: NotNegative = 0.0
    skew_reverse_kl: NotNegative = 0.0
    tvd: NotNegative = 0.0
    akl: NotNegative = 0.0
    alpha_beta: NotNegative = 0.0
    class_kl: NotNegative = 0.0

    @property
    def of_tokens(self) -> tuple[str, ...]:
        """Terms that are learned from the teacher's distribution at each token."""
        others = ("cross_entropy", "class_kl")
        return tuple(name for name, weight in self if weight and name not in others)

    @property
    def needs_teacher(self) -> bool:
        """Whether a term is learned from the teacher's distribution at each token."""
        return bool(self.of_tokens)

    @property
    def not_linear(self) -> tuple[str, ...]:
        """Terms that tokens drawn from the teacher cannot give unbiased."""
        return tuple(name for name in self.of_tokens if name != "forward_kl")

    @model_validator(mode="after")
    def _something_is_learned(self) -> Self:
        if not any(weight for _, weight in self):
            raise ValueError("every loss weight is 0, so nothing would be learned")
        return self


class LossOptions(Section):
    """Settings of the loss terms that have some; read where the term has a weight.

    Attributes:
        jsd_weight: of jsd, the teacher's share of the mixture; 0.5 is symmetric, and near 0 or 1
            next to nothing is learned.
        skew: of skew_kl and skew_reverse_kl, the share that keeps the mixture above 0.
        head_mass: of akl, the part of the teacher's mass that counts as likely tokens.
        alpha: of alpha_beta; more of it looks at where the teacher is sure.
        beta: of alpha_beta; more of it looks at where the student is sure.
    """

    jsd_weight: float = Field(default=0.5, gt=0.0, lt=1.0)
    skew: float = Field(default=0.1, gt=0.0, lt=1.0)
    head_mass: float = Field(default=0.5, gt=0.0, lt=1.0)
    alpha: float = Field(default=0.2, ge=0.0, le=2.0)
    beta: float = Field(default=0.7, ge=0.0, le=2.0)

    @model_validator(mode="after")
    def _alpha_or_beta_counts(self) -> Self:
        if max(self.alpha, self.beta) < 0.1:
            raise ValueError("the larger of alpha and beta must be at least 0.1")
        return self


OPTION_TERMS = {
    "jsd_weight": ("jsd",),
    "skew": ("skew_kl", "skew_reverse_kl"),
    "head_mass": ("akl",),
    "alpha": ("alpha_beta",),
    "beta": ("alpha_beta",),
}
"""Which loss terms read each setting."""

_LABELLED = ("labelled",)


class Twin(Section):
    """The same student trained with cross-entropy alone: what distillation has to beat.

    Attributes:
        text: the answers that it learns: `gold` the rows' own; `labelled` those that the student
            learns, so that the two differ by the teacher's probabilities alone.
        parts: whose own answers it learns; with `labelled` text it learns `train.parts`.
    """

    text: Literal["gold", "labelled"] = "gold"
    parts: tuple[str, ...] = Field(default=_LABELLED, min_length=1)

    @model_validator(mode="after")
    def _parts_are_read(self) -> Self:
        if self.text == "labelled" and self.parts != _LABELLED:
            raise ValueError("text labelled learns train.parts, as the student does: remove parts")
        return self


class Train(Training):
    """Train the student from what the teacher says of each token.

    Attributes:
        mode: who says it. `cached` reads what `label` has stored; `live` asks the recipe's teacher
            beside the student, and stores nothing; `base` asks the student's own base, its adapter
            switched off, which holds it near what it was while it learns the text; `on_policy`
            learns from the student's own text.
        weights: of the loss terms; forward_kl alone where nothing is said, and where terms are
            named, they alone.
        loss_options: settings of these terms.
        kd_temperature: softens teacher and student inside the loss, > 0.
        t2_scaling: multiply the softened loss by kd_temperature squared.
        twin: also train the same student with cross-entropy alone.
    """

    parts: tuple[str, ...] = Field(default=("labelled", "unlabelled"), min_length=1)
    mode: Literal["cached", "live", "base", "on_policy"] = "cached"
    weights: LossWeights = LossWeights(forward_kl=1.0)
    loss_options: LossOptions = LossOptions()
    kd_temperature: Positive = 1.0
    t2_scaling: bool = True
    twin: Twin | None = None

    @property
    def twin_parts(self) -> tuple[str, ...]:
        """Whose examples the twin learns; none without one."""
        if self.twin is None:
            return ()
        return self.parts if self.twin.text == "labelled" else self.twin.parts
