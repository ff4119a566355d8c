"""The `evaluate`, `export` and `register` sections: what is measured and what ships."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from stillhouse.recipes.answers import AnswerKind
from stillhouse.recipes.baselines import Baseline
from stillhouse.recipes.harness import Harness
from stillhouse.recipes.judging import AnswerJudge
from stillhouse.recipes.section import Count, Fraction, NotNegative, Section, Seed

LENGTH, CLASS = "length", "class"
"""Slices that are no column of the rows: by the prompt's length, and by what is right."""

Reference = Literal["gold", "teacher"]
"""Whose answers candidates are measured against."""


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
        reference: whose answers are measured against. `gold` are the rows' own. With `teacher` rows
            that hold only prompts are measured too: against what the teacher says to them, never
            under the name of a metric that says what is right.
        top_k: teacher entries a token for the held-out KL; when it covers the vocabulary, exact
            but for the rounding of what is stored, else a lower bound (the tail counts as one
            bucket).
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
            answers name. `texts` and `prompts` come with Stillhouse.
        slices: what the holdout is cut by, so that each part is told by itself: columns of the
            rows, `length` of the prompt, `class` of the reference.
    """

    reference: Reference = "gold"
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


GgufWeights = Literal["f32", "bf16", "f16", "q8_0", "q4_k_m", "mxfp4"]
"""How the matrices of a GGUF file are stored."""


class Gguf(Section):
    """Files for llama.cpp and Ollama; each is asked in llama.cpp before it ships.

    Attributes:
        weights: a file each: `f32`, `bf16`, `f16`, `q8_0` (8.5 bits a weight), `q4_k_m` (about
            4.8) and `mxfp4` (4.25 for the experts of a mixture, 8.5 for the rest).
        max_kl: for some of them, the mean KL to the student that is accepted, in nats a token;
            1e-5 for f32, 0.001 for 16 bits, 0.005 for q8_0, 0.05 for q4_k_m and mxfp4 where it is
            not said.
        examples: of the holdout on which files and student are compared.
        max_new_tokens: of the greedy answers that are compared; with `label.answer_schema` they are
            as long as the evaluation's.
        max_schema_loss: share of these answers, at most, that keep `label.answer_schema` when the
            student gives them and no longer when the file does.
        importance: weigh the columns of each matrix by how much goes through them on prompts and
            answers that the student learned from, where `q4_k_m` is rounded; the weights lie
            beside the files as llama.cpp's tools read them.
        llama_cpp_dir: a folder of llama.cpp with its `convert_hf_to_gguf.py`, whose converter
            writes the architectures that are not written here; it is run as a program of its own.
    """

    weights: tuple[GgufWeights, ...] = Field(default=("f16", "q8_0"), min_length=1)
    max_kl: dict[GgufWeights, NotNegative] = Field(default_factory=dict)
    examples: Count = 8
    max_new_tokens: Count = 32
    max_schema_loss: Fraction = 0.0
    importance: bool = False
    llama_cpp_dir: str | None = None

    @model_validator(mode="after")
    def _weights_are_written_once(self) -> Self:
        if len(set(self.weights)) != len(self.weights):
            raise ValueError("weights: one is there twice")
        return self

    @model_validator(mode="after")
    def _experts_are_converted(self) -> Self:
        if "mxfp4" in self.weights and self.llama_cpp_dir is None:
            raise ValueError("weights: mxfp4 is of mixtures of experts, which llama.cpp's own "
                             "converter writes: name its folder as llama_cpp_dir")  # fmt: skip
        return self

    @model_validator(mode="after")
    def _importance_is_used(self) -> Self:
        if self.importance and "q4_k_m" not in self.weights:
            raise ValueError(
                "importance: only q4_k_m is rounded by it, which weights does not name"
            )
        return self


class Int8(Section):
    """The student with its linear layers in 8 bits, as safetensors; see `export.formats`.

    Attributes:
        max_kl: the mean KL to the student that is accepted, in nats a token.
        examples: of the holdout on which the two are compared.
        max_new_tokens: of the greedy answers that are compared; with `label.answer_schema` they are
            as long as the evaluation's.
        max_schema_loss: share of these answers, at most, that keep `label.answer_schema` when the
            student gives them and no longer in 8 bits.
    """

    max_kl: NotNegative = 0.005
    examples: Count = 8
    max_new_tokens: Count = 32
    max_schema_loss: Fraction = 0.0


class Modelfile(Section):
    """What Ollama is told about the student.

    Attributes:
        name: the model's name there.
        base: for `gguf_adapter`, the model that it is put on: a name in Ollama, or a path beside
            the file; the whole student of `gguf` when absent.
        base_digest: of that model, as Ollama's `/api/tags` shows it; a tag can come
            to mean another model, and `stillhouse export --to ollama` refuses another.
        weights: of the file that is taken; the first of `export.gguf.weights` when absent.
        system: what every conversation opens with unless it says something else.
        num_ctx: tokens of a conversation, its answer included; the model's own context when
            absent. Ollama cuts longer ones without a word.
        temperature: of its sampling; 0 is greedy.
        top_p: of its sampling.
    """

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9._-]{0,63}(/[a-z0-9._-]{1,64})?(:[a-z0-9._-]{1,64})?$"
    )
    base: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]*$")
    base_digest: str | None = Field(default=None, pattern=r"^(sha256:)?[0-9a-f]{64}$")
    weights: GgufWeights | None = None
    system: str | None = None
    num_ctx: Count | None = None
    temperature: NotNegative = 0.0
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)


GGUF_FORMATS = ("gguf", "gguf_adapter")
"""Formats whose files llama.cpp reads."""


class Export(Section):
    """In which forms the student ships; `modelfile` says what the form of that name holds.

    Attributes:
        formats: `merged` is a whole model, `adapter` the LoRA weights alone; `gguf` and
            `gguf_adapter` are the same for llama.cpp, and `modelfile` tells Ollama of them; `int8`
            is a whole model in transformers' layout with its linear layers in 8 bits.
        dtype: of the weights of `merged`: float32 as they were trained, or bfloat16, which rounds
            each once and takes half of the disk, and half of the memory while it is written.
        gguf: which files the form of that name holds; needs the extra `gguf`.
        int8: how near the form of that name must be; needs the extra `int8`.
        modelfile: what the form of that name holds.
        evaluate: measure what ships as it will be loaded, each GGUF file by llama.cpp, and ask the
            gate about it again; the time of one more evaluation each.
    """

    formats: tuple[
        Literal["merged", "adapter", "gguf", "gguf_adapter", "modelfile", "int8"], ...
    ] = ("merged",)
    dtype: Literal["float32", "bfloat16"] = "float32"
    gguf: Gguf | None = None
    int8: Int8 | None = None
    modelfile: Modelfile | None = None
    evaluate: bool = True

    @property
    def weight_bytes(self) -> int:
        """Of a weight of the merged student."""
        return 4 if self.dtype == "float32" else 2

    @property
    def is_adapter_alone(self) -> bool:
        """Whether nothing is merged."""
        return self.formats == ("adapter",)

    @property
    def gguf_files(self) -> Gguf | None:
        """What the GGUF forms hold; None where there is none of them."""
        is_asked = any(name in self.formats for name in GGUF_FORMATS)
        return (self.gguf or Gguf()) if is_asked else None

    @property
    def int8_form(self) -> Int8 | None:
        """How near `int8` must be; None where it is not asked for."""
        return (self.int8 or Int8()) if "int8" in self.formats else None

    @property
    def evaluated(self) -> dict[str, dict[str, str]]:
        """The forms that are measured as they ship, by name.

        Each with what its instances are told: `form` of a folder besides the student's own,
        `gguf` of a file for llama.cpp.
        """
        if not self.evaluate:
            return {}
        told: list[tuple[str, dict[str, str]]] = []
        if any(name in self.formats for name in ("merged", "adapter")):
            told.append(("", {}))
        if self.int8_form:
            told.append(("int8", {"form": "int8"}))
        files = self.gguf_files if "gguf" in self.formats else None
        told += [(weights, {"gguf": weights}) for weights in (files.weights if files else ())]
        return {
            f"exported-{name}" if number else "exported": form
            for number, (name, form) in enumerate(told)
        }

    @model_validator(mode="after")
    def _forms_are_written_once(self) -> Self:
        if len(set(self.formats)) != len(self.formats):
            raise ValueError("formats: one is there twice")
        return self

    @model_validator(mode="after")
    def _forms_of_few_bits_are_made_of_all(self) -> Self:
        others = [name for name in self.formats if name not in ("merged", "adapter")]
        if self.dtype != "float32" and others:
            raise ValueError(
                f"dtype: {self.dtype} is of merged alone, and {others[0]} is made of and proved "
                "against float32: remove dtype"
            )
        return self

    @model_validator(mode="after")
    def _modelfile_is_described(self) -> Self:
        if ("modelfile" in self.formats) != (self.modelfile is not None):
            raise ValueError("the format modelfile and the section export.modelfile go together")
        return self

    @model_validator(mode="after")
    def _forms_for_llama_cpp_go_together(self) -> Self:
        files = self.gguf_files
        if self.gguf and files is None:
            raise ValueError("the section export.gguf is of the formats gguf and gguf_adapter")
        if self.int8 and "int8" not in self.formats:
            raise ValueError("the section export.int8 is of the format int8")
        if self.modelfile is None:
            return self
        if self.modelfile.base_digest and not self.modelfile.base:
            raise ValueError("modelfile.base_digest is of modelfile.base: name the model too")
        wanted = "gguf_adapter" if self.modelfile.base else "gguf"
        if wanted not in self.formats:
            raise ValueError(f"a modelfile {'with' if self.modelfile.base else 'without'} a base "
                             f"tells Ollama of the format {wanted}: add it")  # fmt: skip
        if files and self.modelfile.weights and self.modelfile.weights not in files.weights:
            raise ValueError("modelfile.weights is none of export.gguf.weights")
        return self


class Register(Section):
    """Under which name the version is kept.

    Attributes:
        name: of the student; the recipe's when the section is absent.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
