"""What is asked for llama.cpp and Ollama, and what is told of it; needs no further package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stillhouse.core.rows import Example
from stillhouse.recipes.measuring import Gguf, Modelfile
from stillhouse.tokens.template import Template
from stillhouse.tokens.tokenizer import TextTokenizer


@dataclass(frozen=True, slots=True)
class LlamaCppOrder:
    """What is written into `gguf/`.

    Attributes:
        name: of the student; file names begin with it.
        licence: of its weights; empty where nobody says.
        base: what it started from, for people.
        whole: files of the whole student are written.
        adapter: a file of the adapter is written.
        files: of which weights, and how near they must be.
        modelfile: what Ollama is told; None writes no such file.
        tokenizer: the student's.
        template: how its conversations are written.
        examples: with answers, on which files and student are compared; at least one.
        threads: of llama.cpp; 0 takes every processor.
        answer_schema: a JSON Schema that answers should keep; None for any.
        answer_tokens: of the greedy answers where they have a schema.
        learned: examples on which the importance of the matrices' columns is measured.
        licences: of everything in it, in words, for the Modelfile.
    """

    name: str
    licence: str
    base: str
    whole: bool
    adapter: bool
    files: Gguf
    modelfile: Modelfile | None
    tokenizer: TextTokenizer
    template: Template
    examples: Sequence[Example]
    threads: int = 0
    answer_schema: Mapping[str, Any] | None = None
    answer_tokens: int = 0
    learned: Sequence[Example] = ()
    converter: Path | None = None
    licences: str = ""


@dataclass(frozen=True, slots=True)
class Sources:
    """Folders that files are made from.

    Attributes:
        whole: the merged student.
        adapter: in PEFT's layout; None where none is written.
        base: the model under the adapter; None where nobody says.
    """

    whole: Path
    adapter: Path | None = None
    base: Path | None = None


@dataclass(frozen=True, slots=True)
class GgufReport:
    """What a file was proved to be.

    Attributes:
        file: its name.
        weights: how its matrices are stored.
        num_bytes: of the file.
        bytes_by_kind: what its tensors of each kind take; rows that no block fills are of another
            kind than asked.
        num_texts: whose ids are equal.
        num_positions: whose logits were compared.
        max_abs_diff: the largest difference of two logits.
        mean_kl: of the file to the student, nats a token.
        top1_agreement: share of positions with the same likeliest token.
        same_answers: share of prompts with the same greedy answer, to its end.
        other_stops: tokens that end an answer in llama.cpp alone.
        schema_valid: share of prompts whose greedy answer keeps the answers' schema; None
            without one.
        schema_lost: share whose answer keeps it from the student alone.
        importance_tokens: on how many tokens the importance of its matrices' columns was measured;
            0 where all columns counted alike.
    """

    file: str
    weights: str
    num_bytes: int
    bytes_by_kind: dict[str, int]
    num_texts: int
    num_positions: int
    max_abs_diff: float
    mean_kl: float
    top1_agreement: float
    same_answers: float
    other_stops: tuple[str, ...] = ()
    schema_valid: float | None = None
    schema_lost: float | None = None
    importance_tokens: int = 0
