"""Real text, a tokenizer and a teacher that was taught on the spot, kept in a folder for reuse.

Without a corpus the text is what the standard library says about itself: the language's help
pages and the docstrings of its modules.
"""

from __future__ import annotations

import argparse
import ast
import json
import sysconfig
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from measure import machine
from stillhouse.core.hashing import digest_value
from stillhouse.losses.terms import CROSS_ENTROPY
from stillhouse.recipes.compute import ResolvedCompute
from stillhouse.recipes.training import Length, Optimizer, Training
from stillhouse.students.assignment import TrainingData
from stillhouse.students.examples import EncodedExample
from stillhouse.students.train import Setting, train_model
from stillhouse.tokens.encode import EncodedConversation
from stillhouse.tokens.tokenizer import TextTokenizer, digest_ids, load_tokenizer
from stillhouse.tokens.train import train_tokenizer
from workload import qwen3

PARTS = {"teacher": (0.0, 0.7), "student": (0.7, 0.9), "holdout": (0.9, 1.0)}
"""Shares of the documents; what one part holds no other part does."""
_MEDIAN, _SIGMA, _SHORTEST, _LONGEST = 240, 0.6, 32, 512
_BATCH = 8


@dataclass(frozen=True, slots=True)
class Lesson:
    """Who is taught, on what, for how long.

    Attributes:
        corpus: folder of text, None for the standard library's.
        tokenizer: folder, None to learn one.
        cache: where the tokenizer and the teacher are kept.
        vocab: of a learned tokenizer.
        layers: of the teacher.
        hidden: of the teacher.
        seconds: of teaching.
        threads: used.
    """

    corpus: Path | None
    tokenizer: Path | None
    cache: Path
    vocab: int
    layers: int
    hidden: int
    seconds: int
    threads: int

    @classmethod
    def of(cls, told: argparse.Namespace, **sizes: int) -> dict[str, Any]:
        """A lesson as a child is told it."""
        paths = {name: getattr(told, name) for name in ("corpus", "tokenizer", "cache")}
        named = {name: str(path.resolve()) if path else None for name, path in paths.items()}
        return {**named, **sizes, "threads": told.threads}

    @classmethod
    def read(cls, spec: dict[str, Any]) -> Lesson:
        """The lesson that a child was told."""
        paths: dict[str, Any] = {
            name: Path(spec[name]) if spec[name] else None
            for name in ("corpus", "tokenizer", "cache")
        }
        sizes = {name: spec[name] for name in ("vocab", "layers", "hidden", "seconds", "threads")}
        return cls(**paths, **sizes)

    @property
    def folder(self) -> Path:
        """Of this lesson."""
        named = [str(self.corpus), str(self.tokenizer), self.vocab, self.layers]
        return self.cache / digest_value([*named, self.hidden, self.seconds])[:16]

    def texts(self, part: str) -> list[str]:
        """The documents of one of `PARTS`, in a fixed shuffled order."""
        documents = list(_documents(self.corpus) if self.corpus else _standard_library())
        order = np.random.default_rng(0).permutation(len(documents))
        start, end = (int(share * len(order)) for share in PARTS[part])
        return [documents[index] for index in order[start:end]]

    def load_tokenizer(self) -> TextTokenizer:
        """The tokenizer; learned, or converted from its older files, the first time."""
        given, folder = self.tokenizer, self.folder / "tokenizer"
        if given is not None and (given / "tokenizer.json").exists():
            return load_tokenizer(given)
        if not (folder / "tokenizer.json").exists():
            if given is None:
                return train_tokenizer(self.texts("teacher"), self.vocab, folder)
            AutoTokenizer.from_pretrained(given).save_pretrained(folder)
        return load_tokenizer(folder)

    def teacher(self) -> PreTrainedModel:
        """The teacher in eval mode; taught the first time."""
        folder = self.folder / "teacher"
        if not (folder / "config.json").exists():
            _teach(self).save_pretrained(folder)
        return AutoModelForCausalLM.from_pretrained(folder).eval().requires_grad_(False)

    def rows(self, part: str, most_tokens: int) -> list[EncodedConversation]:
        """Rows of realistic lengths; the first half of each is prompt.

        Args:
            part: of the documents.
            most_tokens: of all rows together, prompts included.

        Returns:
            Rows up to so many tokens.
        """
        random = np.random.default_rng(1)
        rows: list[EncodedConversation] = []
        total, tokenizer = 0, self.load_tokenizer()
        for text in self.texts(part):
            ids, offsets = tokenizer.encode_spans(text)
            start = 0
            while len(ids) - start >= _SHORTEST and total < most_tokens:
                drawn = random.lognormal(np.log(_MEDIAN), _SIGMA)
                length = int(np.clip(drawn, _SHORTEST, _LONGEST))
                place = slice(start, start + length)
                rows.append(_row(ids[place], offsets[place] - offsets[start, 0]))
                total, start = total + len(rows[-1].ids), place.stop
        return rows


def _row(ids: NDArray[np.int32], offsets: NDArray[np.int32]) -> EncodedConversation:
    is_trained = np.arange(len(ids)) >= max(1, len(ids) // 2)
    digest = digest_ids(ids)
    return EncodedConversation(ids, is_trained, offsets, "", digest, digest_ids(ids[is_trained]))


def _documents(folder: Path) -> Iterator[str]:
    """Whole texts, and the strings of each line's record; short records are joined."""
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".txt", ".md"):
            yield from _joined(path.read_text(encoding="utf-8", errors="replace").split("\n\n"))
        elif path.suffix == ".jsonl":
            lines = path.read_text(encoding="utf-8").splitlines()
            yield from _joined(["\n".join(_strings(json.loads(line))) for line in lines])


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _strings(inner)


def _standard_library() -> Iterator[str]:
    from pydoc_data.topics import topics

    yield from _joined([text for name in sorted(topics) for text in topics[name].split("\n\n")])
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
        found = [ast.get_docstring(node) for node in nodes if isinstance(node, kinds)]
        yield from _joined([text for text in found if text])


def _joined(paragraphs: Sequence[str]) -> Iterator[str]:
    """Paragraphs put together to documents of about 4,000 characters."""
    held: list[str] = []
    for paragraph in paragraphs:
        held.append(paragraph)
        if sum(map(len, held)) > 4000:
            yield "\n\n".join(held)
            held = []
    if held:
        yield "\n\n".join(held)


class _TimeIsUpError(Exception):
    """Ends the teaching; the weights are in the model."""


def _teach(lesson: Lesson) -> PreTrainedModel:
    vocab = lesson.load_tokenizer().vocab_size
    model = qwen3(vocab, lesson.layers, lesson.hidden)
    rows = lesson.rows("teacher", 10**7)
    # Everything but the first token is taught, the prompts too.
    examples = [EncodedExample(row.ids, np.arange(len(row.ids)) > 0) for row in rows]
    narrow = {"amx_bf16", "avx512_bf16"} & set(machine()["instructions"])
    compute = ResolvedCompute("cpu", "bfloat16" if narrow else "float32", lesson.threads)
    began = time.perf_counter()

    def stop(*_args: Any, **_shown: Any) -> None:
        if time.perf_counter() - began > lesson.seconds:
            raise _TimeIsUpError

    training = Training(
        length=Length(steps=100_000, batch_size=_BATCH),
        optimizer=Optimizer(learning_rate=1e-3, schedule="constant", warmup_steps=20),
    )
    try:
        setting = Setting(compute, lesson.folder / "training", "benchmark", stop)
        data = TrainingData(examples, vocab_size=vocab)
        train_model(model, data, CROSS_ENTROPY, training, setting)
    except _TimeIsUpError:
        pass
    return model
