"""Proof that a GGUF file answers as the student does, in llama.cpp itself.

Compared are the texts of its template, the ids of those texts, the tokens that end an answer, the
logits, and what is written greedily. Legend: T tokens, V rows of the embedding.
"""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stillhouse.core.errors import ArtifactError
from stillhouse.engines.gguf_examiner import GgufExaminer
from stillhouse.engines.gguf_head import read_gguf_head
from stillhouse.export.llama_cpp_order import GgufReport
from stillhouse.export.reference import (
    Distance,
    Reference,
    compare_answers,
    logits_of,
    require_schema,
)
from stillhouse.tokens.ends import end_ids
from stillhouse.tokens.jinja import jinja_of
from stillhouse.tokens.template import ChatTemplate
from stillhouse.tokens.tokenizer import TextTokenizer

LIMITS = {"f32": 1e-5, "bf16": 1e-3, "f16": 1e-3, "q8_0": 5e-3, "q4_k_m": 5e-2,
          "mxfp4": 5e-2}  # fmt: skip
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
    found = Distance()
    for ids in student.texts():
        found.add(logits_of(student.model, ids), examiner.logits(ids))
    answers = compare_answers(student, examiner.greedy)
    report = GgufReport(
        path.name,
        weights,
        path.stat().st_size,
        read_gguf_head(path).bytes_by_kind(),
        num_texts,
        found.num_positions,
        found.largest,
        found.mean_kl,
        found.top1_agreement,
        answers.same,
        others,
        answers.schema_valid,
        answers.schema_lost,
    )
    _require_near(path, report, found.largest_logit, student, max_kl)
    require_schema(path.name, answers, student.max_schema_loss)
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
