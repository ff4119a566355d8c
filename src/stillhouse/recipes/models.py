"""The `teacher` and `student` sections: where a model comes from and how it is spoken to."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from stillhouse.recipes.endpoints import ApiEndpoint
from stillhouse.recipes.section import Count, Section, Seed


class PlainTemplate(Section):
    """How each role is written when the tokenizer has no chat template; `{content}` is the turn.

    The end-of-text token follows each assistant turn.

    Attributes:
        system: a system turn.
        user: a user turn.
        assistant: an assistant turn.
    """

    system: str = "{content}\n"
    user: str = "{content}\n"
    assistant: str = "{content}"

    @model_validator(mode="after")
    def _content_stands_once(self) -> Self:
        for role in ("system", "user", "assistant"):
            if getattr(self, role).count("{content}") != 1:
                raise ValueError(f"template.{role} must hold {{content}} exactly once")
        return self


class TrainedTokenizer(Section):
    """A byte-level BPE tokenizer learned from the recipe's own training rows.

    Attributes:
        vocab_size: ids, the special ones and all 256 bytes included.
    """

    vocab_size: int = Field(ge=261, le=1_000_000)


class Scratch(Section):
    """A model that starts from random weights: any Hugging Face causal-LM config.

    Attributes:
        model_type: as in a Hugging Face `config.json`, such as `qwen3`.
        config: that config's keys; what is absent is the model type's default.
        tokenizer: learned from the rows; a scratch student without one reads with its teacher's.
        seed: of the random weights.
    """

    model_type: str
    config: dict[str, Any] = Field(default_factory=dict)
    tokenizer: TrainedTokenizer | None = None
    seed: Seed = 0


class ModelSource(Section):
    """One model: a folder, a hub id, random weights, layers of the teacher or an endpoint.

    Exactly one of them is given.

    Attributes:
        path: a Hugging Face model folder with safetensors; a relative one starts at the recipe's
            folder.
        hub: `owner/name` on the Hugging Face hub.
        revision: branch, tag or commit of the hub id.
        scratch: random weights.
        layers_of_teacher: of a student: layers of the teacher that it starts as, counted from 0
            and ascending, with the teacher's embeddings, last norm and head (Sanh et al. 2019,
            arXiv:1910.01108); of the fine-tuned teacher where there is one.
        api: a model behind an API; it gives text alone, so the student learns that text.
        template: `chat` takes the tokenizer's own; or three texts.
        thinking: `off` sets the switch of a chat template that can think, in training, labelling,
            evaluation and what is exported; a model that always thinks is refused. `template`
            says nothing. Template and switch of a teacher hold for a student that reads with its
            tokenizer, unless the student has its own; a model behind an API has `api.thinking`.
        accept_terms: the licence or service whose terms you have read and may use it under: of a
            teacher, of training on its answers; of a student, of handing on weights that are made
            from its own. Asked for where they forbid some uses.
        trust_remote_code: run the Python code that comes with the model; read it first.
        quantization: of the linear layers while they are frozen: 8 bits (Dettmers et al. 2022,
            arXiv:2208.07339), or 4 bits with doubly quantised scales (Dettmers et al. 2023,
            arXiv:2305.14314); needs the extra `qlora`.
    """

    path: str | None = None
    hub: str | None = None
    revision: str | None = None
    scratch: Scratch | None = None
    layers_of_teacher: tuple[Annotated[int, Field(ge=0)], ...] | None = None
    api: ApiEndpoint | None = None
    template: Literal["chat"] | PlainTemplate = "chat"
    thinking: Literal["template", "off"] = "template"
    accept_terms: str | None = None
    trust_remote_code: bool = False
    quantization: Literal["none", "int8", "nf4"] = "none"

    @property
    def held(self) -> dict[str, Any]:
        """How its weights are held, where that is not as most are."""
        quantised = {} if self.quantization == "none" else {"quantization": self.quantization}
        return quantised | ({"trust_remote_code": True} if self.trust_remote_code else {})

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        sources = ("path", "hub", "scratch", "layers_of_teacher", "api")
        given = [name for name in sources if getattr(self, name)]
        if len(given) != 1:
            stated = " and ".join(given) if given else "none of them"
            raise ValueError(f"give exactly one of {', '.join(sources)}; this has {stated}")
        layers = self.layers_of_teacher or ()
        if list(layers) != sorted(set(layers)):
            raise ValueError("layers_of_teacher must ascend, each named once")
        if self.revision and not self.hub:
            raise ValueError("revision belongs to hub; a folder or scratch model has none")
        if self.api and self.thinking != "template":
            raise ValueError("thinking of a model behind an API is told under api.thinking")
        return self


class Compute(Section):
    """Where the work runs; `auto` is resolved when the plan is made and part of every hash.

    Attributes:
        device: `auto` takes the CUDA device of the most memory, else an Apple GPU, else the CPU;
            or cpu, mps, cuda, or one CUDA device as `cuda:3`, in whose absence what `auto` takes.
        dtype: `auto` is bfloat16 on CUDA devices that multiply it, and float32 elsewhere.
        threads: of every numeric library; `auto` is all processors.
        rows: who works on the rows of the named steps: this process, several of this machine, or
            Ray; the bytes are the same. `auto` takes several where there are many rows.
        ray: address of the Ray cluster; one of this machine is started without it.
        attention: how transformers computes it; `auto` takes the model's own choice.
    """

    device: str = Field(default="auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    threads: Literal["auto"] | Count = "auto"
    rows: Literal["auto", "inline", "processes", "ray"] = "auto"
    ray: str = ""
    attention: Literal["auto", "eager", "sdpa", "flash_attention_2", "flex_attention"] = "auto"

    @field_validator("dtype", mode="before")
    @classmethod
    def _no_half_weights(cls, dtype: object) -> object:
        if dtype in ("float16", "fp16", "half"):
            raise ValueError(
                f"{dtype} loses updates below 2**-24 and overflows above 65504; use bfloat16, "
                "whose weights stay float32 while they are trained, or float32"
            )
        return dtype
