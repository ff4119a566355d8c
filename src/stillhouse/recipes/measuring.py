"""The `evaluate`, `export` and `register` sections: what is measured and what ships."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from stillhouse.recipes.answers import AnswerKind
from stillhouse.recipes.baselines import Baseline
from stillhouse.recipes.harness import Harness
from stillhouse.recipes.judging import AnswerJudge
from stillhouse.recipes.section import Count, NotNegative, Section, Seed

LENGTH, CLASS = "length", "class"
"""Slices that are no column of the rows: by the prompt's length, and by what is right."""


class Latency(Section):
    """How fast candidates are on the machine of the run, asked one request at a time.

    Attributes:
        examples: of the holdout that are timed, alone and side by side.
        warmup: requests before, which are not timed.
    """

    examples: Count = 20
    warmup: Count = 3


class Repeats(Section):
    """The same prompts asked several times, to see how steady the answers are.

    Attributes:
        times: each prompt is asked.
        temperature: of these answers; 0 is greedy, as all other answers are.
        examples: of the holdout that are asked.
    """

    times: int = Field(default=5, ge=2)
    temperature: NotNegative = 0.7
    examples: Count = 50


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
        fields: what each field of the answers is, so that it is measured as that; the one field of
            a plain answer is called `answer`.
        agree_together: fields that must be the teacher's at once, such as score and verdict.
        confidence_field: a JSON field in which answers say how sure they are, from 0 to 1; without
            it a model in memory is as sure as its tokens are likely, or its class among all.
        repeats: ask some prompts several times.
        alone: examples that are also asked one by one, to be compared with their answers in a
            batch; 0 for none.
        paraphrases: a column of the rows with another wording of the last turn, or a list of them;
            each is asked, and should get the same answer.
        latency: time every candidate that is in memory.
        baselines: whoever did the work before: a task's rules, a model behind an API, a service of
            your own; rules may compare with them by name.
        judge: a model that compares the candidates' answers, and rates them.
        harness: public tasks of lm-evaluation-harness, asked of every candidate in memory; needs
            the extra `lm-eval`.
        measures: further sets of them: `diversity` of the answers' words; `memorised`, passages
            that answers share with what was learned; for `songs` claims that nothing supports,
            categories of errors, and improvement on the rules.
        probes: a YAML file of declared probes, as for an audit: which classes and traditions the
            answers name. Each example is a prompt of its own.
        slices: what the holdout is cut by, so that each part is told by itself: columns of the
            rows, `length` of the prompt, `class` of the reference.
    """

    top_k: Count = 1024
    confidence: float = Field(default=0.95, gt=0.5, lt=1.0)
    draws: int = Field(default=2000, ge=100)
    seed: Seed = 0
    batch_size: Count = 64
    max_new_tokens: Count | None = None
    metrics: tuple[str, ...] = ()
    fields: dict[str, AnswerKind] = Field(default_factory=dict)
    agree_together: tuple[str, ...] = ()
    confidence_field: str | None = None
    repeats: Repeats | None = None
    alone: int = Field(default=0, ge=0)
    paraphrases: str | None = None
    latency: Latency | None = None
    baselines: tuple[Baseline, ...] = ()
    judge: AnswerJudge | None = None
    harness: Harness | None = None
    measures: tuple[Literal["diversity", "memorised", "songs"], ...] = ()
    probes: str | None = None
    slices: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _baselines_have_names_of_their_own(self) -> Self:
        names = [one.name for one in self.baselines]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise ValueError(f"baselines: two are called {twice!r}; give each its own name")
        return self

    @property
    def class_fields(self) -> tuple[str, ...]:
        """The JSON fields whose value is a class or several."""
        return tuple(name for name, one in self.fields.items() if one.kind in ("label", "labels"))


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
        evaluate: measure what ships as it will be loaded, and ask the gate about it again; the
            time of one more evaluation.
    """

    formats: tuple[Literal["merged", "adapter", "gguf", "modelfile", "int8"], ...] = ("merged",)
    modelfile: Modelfile | None = None
    evaluate: bool = True

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
