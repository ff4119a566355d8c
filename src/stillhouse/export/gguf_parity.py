"""Proof that a GGUF file answers as the student does, in llama.cpp itself.

Compared are the texts of its template, the ids of those texts, the tokens that end an answer, the
logits, and what is written greedily. Legend: T tokens, V rows of the embedding.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from stillhouse.core.errors import ArtifactError
from stillhouse.core.rows import Example
from stillhouse.engines.gguf_examiner import GgufExaminer
from stillhouse.engines.gguf_head import read_gguf_head
from stillhouse.export.llama_cpp_order import GgufReport
from stillhouse.models.inference import evaluating, plain_model
from stillhouse.tokens.encode import encode_conversation
from stillhouse.tokens.ends import end_ids
from stillhouse.tokens.jinja import jinja_of
from stillhouse.tokens.template import ChatTemplate, Template
from stillhouse.tokens.tokenizer import TextTokenizer

LIMITS = {"f32": 1e-5, "bf16": 1e-3, "f16": 1e-3, "q8_0": 5e-3, "q4_k_m": 5e-2}
"""Mean KL of a file to its student, nats a token, at most.

measured: 0.0002 for Q8_0 and 0.015 for Q4_K_M of 100 M random weights, 0 for F16.
"""

LARGEST = {"gpt2": 5e-3}
LARGEST_OTHERS = 1e-4
"""Largest difference of two logits of float32 files, relative to the largest logit (at least 1).

measured: 2e-5 on logits of 7 with two layers; GPT-2's GELU comes from a table in half precision.
"""

_OF_TEXTS = "ship the format merged, which reads texts by the tokenizer's own rules"
_OF_WEIGHTS = (
    "take this one out of export.gguf.weights (f16 and q8_0 are nearer to the student), or raise "
    "export.gguf.max_kl where only that was missed"
)

HARD_TEXTS = (
    "a", " a", "  b\n\n c\t", "I'M sure they'Ve 12345 3.14", "naïve Ünï ß €", "漢字とかな 한국",
    "🦊👩‍👩‍👧🇩🇪", "http://a.b/c?d=e&f", '{"key": [1, 2, null]}', "\r\n\u00a0\u3000x", "\u200b",
    "ǅ½Ⅻ٣", "_-_-_ ... ?!", "हिन्दी ไทย",
)  # fmt: skip
"""Texts that tokenizers often disagree about."""


@dataclass(frozen=True, slots=True)
class Reference:
    """The student that a file must answer like.

    Attributes:
        model: merged, in float32.
        tokenizer: its own.
        template: how its conversations are written.
        examples: with answers, whose prompts and texts are compared.
        max_new_tokens: of the greedy answers.
    """

    model: PreTrainedModel
    tokenizer: TextTokenizer
    template: Template
    examples: Sequence[Example]
    max_new_tokens: int = 32


def check_gguf(
    examiner: GgufExaminer, path: Path, weights: str, student: Reference, max_kl: float
) -> GgufReport:
    """Hold a file against its student.

    Args:
        examiner: with the file, or with the base and the adapter in the file.
        path: of the file.
        weights: how its matrices are stored, for the limit of its logits.
        student: what it must answer like.
        max_kl: nats a token at most, on average over all positions.

    Returns:
        What was compared, and how near it is.

    Raises:
        ArtifactError: it drifts; names in what.
    """
    num_texts = _check_texts(examiner, path, student)
    others = _check_stops(examiner, path, student)
    probes = [_ids(student, example) for example in student.examples]
    found = _Distance()
    for ids in probes:
        found.add(_logits(student.model, ids), examiner.logits(ids))
    report = GgufReport(
        path.name,
        weights,
        path.stat().st_size,
        read_gguf_head(path).bytes_by_kind(),
        num_texts,
        found.num_positions,
        found.largest,
        found.total_kl / found.num_positions,
        found.num_same / found.num_positions,
        _same_answers(examiner, student),
        others,
    )
    _require_near(path, report, found.largest_logit, student, max_kl)
    return report


def _check_texts(examiner: GgufExaminer, path: Path, student: Reference) -> int:
    """How many texts have equal ids; the template writes the same ones."""
    if examiner.file.chat_template != jinja_of(student.template):
        raise _drift(path, "its chat template is not the student's, byte by byte")
    written = ChatTemplate(
        examiner.file.chat_template,
        tuple(sorted(student.tokenizer.specials.items())),
        special_tokens=tuple(
            sorted(map(student.tokenizer.token_of, student.tokenizer.special_ids))
        ),
    )
    texts: list[str] = []
    for example in student.examples:
        prompt = student.template.prompt_text(example.prompt)
        if written.prompt_text(example.prompt) != prompt:
            raise _drift(path, f"its template writes the prompt of {example.example_id} otherwise")
        texts += [prompt, student.template.render(example.messages()).text]
    composes = _composes(student.tokenizer)
    texts += [unicodedata.normalize("NFC", text) if composes else text for text in HARD_TEXTS]
    for text, theirs in zip(texts, examiner.tokenize(texts), strict=True):
        ours, _ = student.tokenizer.encode(text)
        if not np.array_equal(ours, theirs):
            raise _drift(path, _first_difference(student.tokenizer, text, ours, theirs))
    return len(texts)


def _composes(tokenizer: TextTokenizer) -> bool:
    return tokenizer.encode("e\u0301")[0].tolist() == tokenizer.encode("é")[0].tolist()


def _first_difference(
    tokenizer: TextTokenizer, text: str, ours: NDArray[np.int32], theirs: NDArray[np.int32]
) -> str:
    shortest = min(len(ours), len(theirs))
    unequal = np.flatnonzero(ours[:shortest] != theirs[:shortest])
    place = int(unequal[0]) if len(unequal) else shortest
    told = [
        repr(tokenizer.token_of(int(ids[place]))) if place < len(ids) else "nothing"
        for ids in (ours, theirs)
    ]
    composed = (
        ""
        if unicodedata.is_normalized("NFC", text)
        else ("; it is not in Unicode's composed form (NFC), which a step clean can bring it to")
    )
    return f"token {place} of {text[:60]!r} is {told[0]}, in llama.cpp {told[1]}{composed}"


def _check_stops(examiner: GgufExaminer, path: Path, student: Reference) -> tuple[str, ...]:
    ours = end_ids(student.tokenizer, student.template)
    missing = ours - examiner.file.stops
    if missing:
        names = ", ".join(repr(student.tokenizer.token_of(one)) for one in sorted(missing))
        raise _drift(path, f"llama.cpp goes on after {names}, which ends the student's answers")
    others = sorted(examiner.file.stops - ours)
    return tuple(student.tokenizer.token_of(number) for number in others)


def _ids(student: Reference, example: Example) -> NDArray[np.int32]:
    return encode_conversation(example.messages(), student.template, student.tokenizer).ids


def _logits(model: PreTrainedModel, ids: NDArray[np.int32]) -> NDArray[np.float32]:
    told = torch.from_numpy(ids).long()[None].to(plain_model(model).device)
    with evaluating(model):
        found: NDArray[np.float32] = model(input_ids=told).logits[0].float().cpu().numpy()
    return found


class _Distance:
    """How far rows of logits are from others, added up."""

    def __init__(self) -> None:
        self.num_positions = self.num_same = 0
        self.largest = self.largest_logit = self.total_kl = 0.0

    def add(self, ours_TV: NDArray[np.float32], theirs_TV: NDArray[np.float32]) -> None:
        for ours, theirs in zip(ours_TV, theirs_TV, strict=True):
            self.num_positions += 1
            self.num_same += int(ours.argmax() == theirs.argmax())
            # NumPy's maximum keeps NaN, Python's may lose it
            self.largest = float(np.maximum(self.largest, np.abs(ours - theirs).max()))
            self.largest_logit = float(np.maximum(self.largest_logit, np.abs(ours).max()))
            self.total_kl += _kl(ours.astype(np.float64), theirs.astype(np.float64))


def _kl(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> float:
    """KL(student || file), nats."""
    ours, theirs = ours - ours.max(), theirs - theirs.max()
    ours -= np.log(np.exp(ours).sum())
    theirs -= np.log(np.exp(theirs).sum())
    return float(np.sum(np.exp(ours) * (ours - theirs)))


def _same_answers(examiner: GgufExaminer, student: Reference) -> float:
    """Share of prompts whose greedy answer is the student's own, up to its end.

    The student is asked once about the file's whole answer: it would have written it where each
    token, and the end, is its likeliest.
    """
    ends = end_ids(student.tokenizer, student.template)
    same = 0
    for example in student.examples:
        text = student.template.prompt_text(example.prompt)
        prompt, _ = student.tokenizer.encode(text)
        room = examiner.file.context - len(prompt)
        most = min(student.max_new_tokens, room)
        answer = examiner.greedy(prompt, most, ends)
        chosen = _logits(student.model, np.concatenate([prompt, answer]))[len(prompt) - 1 :]
        likeliest = chosen.argmax(axis=1)
        is_same = np.array_equal(likeliest[: len(answer)], answer)
        ended = len(answer) == most or int(likeliest[len(answer)]) in ends
        same += int(is_same and ended)
    return same / len(student.examples)


def _require_near(
    path: Path, report: GgufReport, largest_logit: float, student: Reference, max_kl: float
) -> None:
    if not report.mean_kl <= max_kl:  # also when it is NaN
        raise _drift(
            path,
            f"its mean KL to the student is {report.mean_kl:.3g} nats a token, more than "
            f"{max_kl:g}; the likeliest token is the same at {report.top1_agreement:.1%}",
            _OF_WEIGHTS,
        )
    if report.weights != "f32":
        return
    kind = str(student.model.config.model_type)
    limit = LARGEST.get(kind, LARGEST_OTHERS) * max(1.0, largest_logit)
    if not report.max_abs_diff <= limit:
        told = f"its logits differ by {report.max_abs_diff:.3g}, more than {limit:.3g}"
        raise _drift(path, told, _OF_WEIGHTS)


def _drift(path: Path, what: str, hint: str = _OF_TEXTS) -> ArtifactError:
    return ArtifactError(f"{path.name} is not the student that was measured: {what}", hint)
