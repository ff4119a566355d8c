"""The `evaluate`, `export` and `register` sections: what is measured and what ships."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from stillhouse.recipes.section import Count, NotNegative, Section, Seed


class Evaluate(Section):
    """What is measured on the holdout.

    Attributes:
        top_k: teacher entries a token for the held-out KL; exact when it covers the vocabulary,
            else a lower bound (the tail counts as one bucket).
        confidence: of the bootstrap intervals.
        draws: bootstrap resamples of the examples.
        seed: of the resamples.
        batch_size: examples side by side.
        max_new_tokens: of the completions; `label.max_new_tokens` when absent.
        metrics: names that must be measurable; whatever can be measured is, named or not.
    """

    top_k: Count = 1024
    confidence: float = Field(default=0.95, gt=0.5, lt=1.0)
    draws: int = Field(default=2000, ge=100)
    seed: Seed = 0
    batch_size: Count = 64
    max_new_tokens: Count | None = None
    metrics: tuple[str, ...] = ()


class Modelfile(Section):
    """What Ollama is told about the student.

    Attributes:
        name: the model's name there.
        base: for an adapter: the model that it was trained on; the merged student when absent.
        temperature: of its sampling; 0 is greedy.
        top_p: of its sampling.
    """

    name: str
    base: str | None = None
    temperature: NotNegative = 0.0
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)


class Export(Section):
    """In which forms the student ships; `modelfile` says what the form of that name holds.

    Attributes:
        formats: `merged` is a whole model, `adapter` the LoRA weights alone.
        modelfile: what the form of that name holds.
    """

    formats: tuple[Literal["merged", "adapter", "gguf", "modelfile", "int8"], ...] = ("merged",)
    modelfile: Modelfile | None = None

    @model_validator(mode="after")
    def _modelfile_is_described(self) -> Self:
        if ("modelfile" in self.formats) != (self.modelfile is not None):
            raise ValueError("the format modelfile and the section export.modelfile go together")
        return self


class Register(Section):
    """Under which name the version is kept.

    Attributes:
        name: of the student; the recipe's when the section is absent.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
