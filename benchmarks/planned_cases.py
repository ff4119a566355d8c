"""The trainings that the planner is held to: models of random weights, each with its plan."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from stillhouse.recipes.activations import Batch
from stillhouse.recipes.hours import (
    forward_seconds,
    step_seconds,
    update_seconds,
    writing_seconds,
)
from stillhouse.recipes.memory import Beside, Held, training_memory
from stillhouse.recipes.rates import Rates
from stillhouse.recipes.sizes import sizes_of
from stillhouse.recipes.training import Galore, Length, Lora, Optimizer, Training

ANSWER_SHARE = 2
"""Every second token of an example is trained."""

QWEN3 = {
    "model_type": "qwen3",
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "num_key_value_heads": 4,
    "head_dim": 64,
    "intermediate_size": 2560,
    "vocab_size": 16384,
    "tie_word_embeddings": True,
}
SMALL = QWEN3 | {
    "hidden_size": 384,
    "num_hidden_layers": 6,
    "num_attention_heads": 8,
    "head_dim": 48,
}
GPT2 = {"model_type": "gpt2", "vocab_size": 50257, "bos_token_id": 1, "eos_token_id": 2}
MODELS: dict[str, dict[str, Any]] = {"qwen3": QWEN3, "gpt2": GPT2, "small": SMALL}
LORA = Lora(rank=16)


TOKENS = 192
"""Of a row, where a case does not say."""


@dataclass(frozen=True, slots=True)
class Case:
    """One training.

    Attributes:
        model: a name in `MODELS`.
        training: what of the recipe's section differs.
        batch: examples of a batch.
        tokens: of an example.
        quantization: of the frozen weights.
        teacher: a name in `MODELS`, for a live teacher.
        dtype: of products.
    """

    model: str = "qwen3"
    training: dict[str, Any] = field(default_factory=dict)
    batch: int = 4
    tokens: int = TOKENS
    quantization: str = "none"
    teacher: str = ""
    dtype: str = "float32"

    def section(self, steps: int) -> Training:
        """As the recipe would say it."""
        length = Length(steps=steps, batch_size=self.batch, checkpoint_every=1000)
        return Training(length=length, **self.training)

    def batch_of(self) -> Batch:
        """The batch as it passes the model; all examples are equally long, so none is masked."""
        tokens = self.batch * self.tokens
        return Batch(
            tokens,
            self.tokens,
            tokens - self.batch * (self.tokens // ANSWER_SHARE),
            is_masked=False,
            is_narrow=self.dtype == "bfloat16",
        )

    def planned(self) -> dict[str, int]:
        """Bytes by part."""
        parts = training_memory(
            sizes_of(MODELS[self.model]),
            self.section(2),
            self.batch_of(),
            Held(4, self.quantization),
            Beside(teacher=sizes_of(MODELS[self.teacher]) if self.teacher else None),
        )
        return parts.by_name()

    def planned_seconds(self, rates: Rates) -> float:
        """Of one step, the teacher's pass included."""
        sizes, section, batch = sizes_of(MODELS[self.model]), self.section(2), self.batch_of()
        seconds = step_seconds(sizes, section, batch, rates)
        if self.teacher:
            seconds += forward_seconds(sizes_of(MODELS[self.teacher]), batch, rates)
        return seconds + update_seconds(sizes, section, rates)


def planned_writing(model: str, rates: Rates) -> float:
    """Seconds of `WRITTEN` tokens for `PROMPTS` prompts of `TOKENS`."""
    sizes, tokens = sizes_of(MODELS[model]), TOKENS
    read = forward_seconds(sizes, Batch(PROMPTS * tokens, tokens, PROMPTS, is_masked=False), rates)
    return read + WRITTEN * writing_seconds(sizes, PROMPTS, tokens + WRITTEN / 2, rates)


def _galore(**settings: Any) -> dict[str, Any]:
    galore = Galore(rank=64, **settings)
    return {"optimizer": Optimizer(name="galore_adamw", galore=galore)}


CASES = {
    "full": Case(),
    "full, gpt2": Case("gpt2"),
    "lora": Case(training={"lora": LORA}, batch=8),
    "lora, checkpointing": Case(training={"lora": LORA, "gradient_checkpointing": True}, batch=8),
    "qlora nf4": Case(training={"lora": LORA}, quantization="nf4", batch=8),
    "qlora int8": Case(training={"lora": LORA}, quantization="int8", batch=8),
    "galore": Case(training=_galore()),
    "galore, layerwise": Case(training=_galore(layerwise=True)),
    "8-bit adamw": Case(training={"optimizer": Optimizer(name="adamw_8bit")}),
    "live teacher": Case("small", teacher="qwen3"),
    "live teacher, lora": Case(training={"lora": LORA}, teacher="qwen3"),
}


TIMED = ("full", "full, gpt2", "lora", "lora, checkpointing", "live teacher")
"""Of these also the time of a step."""

WRITTEN, PROMPTS = 24, 8
"""Tokens that are written for each prompt of a batch."""
