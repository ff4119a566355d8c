"""What is asked of the form in 8 bits, and what is told of it; needs neither torch nor torchao."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stillhouse.core.errors import ModelError
from stillhouse.core.rows import Example
from stillhouse.export.gguf_architectures import EXPERTS
from stillhouse.recipes.measuring import Int8
from stillhouse.tokens.template import Template
from stillhouse.tokens.tokenizer import TextTokenizer

INT8 = "int8"
"""The format's name, and its folder's."""

INSTEAD = (
    "take gguf with the weights q8_0 in its place, which has as many bits; experts need "
    "export.gguf.llama_cpp_dir for it"
)

_CONVOLUTIONS = ("gpt2", "openai-gpt", "imagegpt", "decision_transformer")
"""Model types of transformers whose matrices are `Conv1D`, which is no linear layer."""


@dataclass(frozen=True, slots=True)
class Int8Order:
    """What the form is held against.

    Attributes:
        wanted: how near it must be.
        tokenizer: the student's.
        template: how its conversations are written.
        examples: with answers; at least one.
        max_new_tokens: of greedy answers that are compared.
        answer_schema: a JSON Schema that they should keep; None for any.
    """

    wanted: Int8
    tokenizer: TextTokenizer
    template: Template
    examples: Sequence[Example]
    max_new_tokens: int
    answer_schema: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Int8Report:
    """What the form was proved to be.

    Attributes:
        num_bytes: of its weights' files.
        num_layers: linear layers in 8 bits.
        num_positions: whose logits were compared.
        max_abs_diff: the largest difference of two logits.
        mean_kl: of the form to the student, nats a token.
        top1_agreement: share of positions with the same likeliest token.
        same_answers: share of prompts with the same greedy answer, to its end.
        schema_valid: share of prompts whose greedy answer keeps the answers' schema; None without
            one.
        schema_lost: share whose answer keeps it from the student alone.
    """

    num_bytes: int
    num_layers: int
    num_positions: int
    max_abs_diff: float
    mean_kl: float
    top1_agreement: float
    same_answers: float
    schema_valid: float | None = None
    schema_lost: float | None = None


def require_linear(config: Mapping[str, Any]) -> None:
    """Refuse a model that 8 bits would leave as large as it is, or that is not compared here.

    Args:
        config: as much of a `config.json` as is known.

    Raises:
        ModelError: names what stands in the way.
    """
    kind = str(config.get("model_type"))
    experts = next((key for key in EXPERTS if (config.get(key) or 0) > 1), None)
    if kind in _CONVOLUTIONS:
        why = "its matrices are Conv1D, and torchao rounds linear layers alone"
    elif experts:
        why = f"the experts of {experts} lie in one tensor, and torchao rounds linear layers alone"
    elif config.get("is_encoder_decoder") or kind in ("t5", "mt5", "bart"):
        raise ModelError(
            f"{kind} cannot be written as int8: encoder-decoders are not compared in 8 bits",
            "ship the format merged",
        )
    else:
        return
    raise ModelError(f"{kind} cannot be written as int8: {why}", INSTEAD)
