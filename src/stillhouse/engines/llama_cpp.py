"""A model in a GGUF file as an engine: it completes prompts and scores given text.

llama.cpp runs in a process of its own, because it crashes on files that it does not expect. A
conversation is written and cut into ids here, by the tokenizer of a Hugging Face folder; the file's
own vocabulary must be the same, token by token, and its chat template is never used.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from stillhouse.core.errors import EngineDiedError, InputError, ModelError, UsageError
from stillhouse.core.hashing import digest_value
from stillhouse.core.rows import Completion, Example, OwnLogprob
from stillhouse.core.sampling import Sampling
from stillhouse.core.targets import Draws, TargetKey, TokenTargets
from stillhouse.engines.capabilities import Capabilities
from stillhouse.engines.child_process import ChildProcess
from stillhouse.engines.frames import Frame
from stillhouse.models.scoring import Scoring
from stillhouse.models.tally import tally
from stillhouse.tokens.answers import read_answer
from stillhouse.tokens.encode import EncodedConversation, encode_conversation, encode_prompt
from stillhouse.tokens.ends import end_ids
from stillhouse.tokens.template import Template
from stillhouse.tokens.tokenizer import TextTokenizer

_COMMAND = (sys.executable, "-m", "stillhouse.engines.llama_cpp_child")
_PACKAGE = "llama_cpp"
_MAGIC = b"GGUF"

_CRASHES = 3
"""assumption: so many prompts one after the other do not crash a model that is sound."""


@dataclass(frozen=True, slots=True)
class GgufSettings:
    """How a GGUF model is run.

    Attributes:
        threads: of llama.cpp; 0 takes every processor.
        top_logprobs: entries a token of its own completions; -1 tells no log-probabilities.
        silence_s: the longest time without a word; one step of a large model must fit in.
    """

    threads: int = 0
    top_logprobs: int = -1
    silence_s: float = 600.0


class LlamaCppEngine:
    """Completes and scores with a GGUF model; a context manager that ends its process.

    Args:
        path: the file.
        tokenizer: of the model, out of an ordinary Hugging Face folder.
        template: how its conversations are written.
        scoring: vocabulary, top-k, kd_temperatures and draws of `score`.
        seed: of drawn completions.
        settings: how it is run.

    Raises:
        UsageError: llama-cpp-python is not installed.
        ModelError: the file is no GGUF file, is cut off, or has another vocabulary.
        EngineDiedError: llama.cpp crashed on the file.
    """

    def __init__(
        self,
        path: Path,
        tokenizer: TextTokenizer,
        template: Template,
        scoring: Scoring | None = None,
        seed: int = 0,
        settings: GgufSettings | None = None,
    ) -> None:
        _require_file(path)
        _require_package()
        self._path = path
        self._tokenizer = tokenizer
        self._template = template
        self._scoring = scoring or Scoring(vocab_size=tokenizer.vocab_size)
        self._seed = seed
        self._settings = settings or GgufSettings()
        self._child: ChildProcess | None = None
        self._crashes = 0
        _, opened = self._start()
        self._context = int(opened.head["context"])
        self._ends = sorted({*opened.head["ends"], *end_ids(tokenizer, template)})
        self.capabilities = Capabilities(
            text=True,
            own_logprobs=True,
            scoring=True,
            full_logits=True,
            top_logprobs=tokenizer.vocab_size,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process; the next question would start another."""
        if self._child is not None:
            self._child.close()
        self._child = None

    def peak_bytes(self) -> int:
        """The most memory that the process took so far; 0 where nobody says."""
        return self._child.peak_bytes() if self._child else 0

    def generate(self, examples: Sequence[Example], sampling: Sampling) -> Iterator[Completion]:
        """One completion per example, in the order of the examples.

        Args:
            examples: their prompts are completed; answers are not looked at.
            sampling: greedy at temperature 0. One prompt after the other is completed, whatever
                `batch_size` says, so a draw depends on its prompt and `sample_index` alone.

        Yields:
            Text without special tokens, with how it ended; finish `error` and reason `crashed`
            where llama.cpp died of a prompt twice.

        Raises:
            InputError: a prompt does not fit the model's context, or the template refuses it.
            EngineDiedError: it died of several prompts one after the other.
        """
        for example in examples:
            ids = encode_prompt(example.prompt, self._template, self._tokenizer)
            self._require_room(example, len(ids), sampling.max_new_tokens)
            drawn_for = [self._seed, sampling.sample_index, example.example_id]
            question = {
                "ask": "generate",
                "vocab_size": self._tokenizer.vocab_size,
                "max_new_tokens": sampling.max_new_tokens,
                "temperature": sampling.temperature,
                "seed": int(digest_value(drawn_for)[:16], 16),
                "ends": self._ends,
                "top_k": max(0, self._settings.top_logprobs),
            }
            try:
                frame = self._ask(f"completing example {example.example_id}", question, ids=ids)
            except EngineDiedError:
                self._crashes += 1
                if self._crashes == _CRASHES:
                    raise
                yield _crashed(example, sampling)
                continue
            self._crashes = 0
            yield self._completion(example, sampling, frame)

    def score(self, examples: Iterable[Example]) -> Iterator[TokenTargets]:
        """Targets for every example's trained tokens, in the order of the examples.

        Args:
            examples: each with its answer; read as they come, never all at once.

        Yields:
            Targets of one example.

        Raises:
            InputError: an example has no answer or does not fit the model's context.
            ModelError: the model's logits are no numbers.
            EngineDiedError: llama.cpp died of an example twice; names it.
        """
        for example in examples:
            text = self._encode(example)
            question = {
                "ask": "score",
                "example_id": example.example_id,
                "scoring": asdict(self._scoring),
            }
            frame = self._ask(
                f"scoring example {example.example_id}",
                question,
                ids=text.ids,
                is_trained=text.is_trained.astype(np.uint8),
            )
            yield _targets(example, text, frame, bool(self._scoring.num_draws))

    def _start(self) -> tuple[ChildProcess, Frame]:
        """A process that has loaded the file, and what it said then."""
        name = f"llama.cpp with {self._path}"
        child = ChildProcess(_COMMAND, name, self._settings.silence_s)
        threads = self._settings.threads or os.cpu_count() or 1
        question = {"ask": "open", "path": str(self._path), "threads": threads}
        try:
            opened = child.ask("loading the file", question)
            _require_vocabulary(self._path, self._tokenizer, opened)
        except BaseException:
            child.close()
            raise
        self._child = child
        return child, opened

    def _ask(self, doing: str, question: Mapping[str, Any], **arrays: NDArray[Any]) -> Frame:
        """The answer; a process that died is asked again, as a fresh one, once."""
        child = self._child
        if child is not None:
            try:
                return child.ask(doing, question, arrays)
            except EngineDiedError:
                self._child = None
        child, _ = self._start()
        try:
            return child.ask(doing, question, arrays)
        except EngineDiedError:
            self._child = None
            raise

    def _encode(self, example: Example) -> EncodedConversation:
        if example.answer is None:
            raise InputError(
                f"example {example.example_id} has no answer to score",
                "label completions before targets",
            )
        text = encode_conversation(example.messages(), self._template, self._tokenizer)
        self._require_room(example, len(text.ids), 0)
        return text

    def _require_room(self, example: Example, num_tokens: int, num_more: int) -> None:
        if num_tokens == 0:
            raise InputError(f"the prompt of {example.example_id} has no token", "drop such rows")
        if num_tokens + num_more > self._context:
            more = f" and max_new_tokens {num_more}" if num_more else ""
            raise InputError(
                f"{num_tokens} tokens of example {example.example_id}{more} exceed the context "
                f"of {self._path}, {self._context} tokens",
                "lower prepare.max_tokens or max_new_tokens",
            )

    def _completion(self, example: Example, sampling: Sampling, frame: Frame) -> Completion:
        ids = frame.arrays["ids"]
        text, thought = read_answer(ids, self._tokenizer, self._template)
        return Completion(
            example.example_id,
            text,
            "stop" if frame.head["finish"] == "stop" else "length",
            len(ids),
            logprobs=() if self._settings.top_logprobs < 0 else self._own_logprobs(frame),
            reasoning=thought,
            sample_index=sampling.sample_index,
        )

    def _own_logprobs(self, frame: Frame) -> tuple[OwnLogprob, ...]:
        arrays, spell = frame.arrays, self._tokenizer.token_bytes
        tops = [
            tuple(zip(spell(ids_K), values_K.tolist(), strict=True))
            for ids_K, values_K in zip(arrays["top_ids"], arrays["top_logprobs"], strict=True)
        ]
        own = zip(spell(arrays["ids"]), arrays["logprobs"].tolist(), tops, strict=True)
        return tuple(OwnLogprob(*one) for one in own)


def _crashed(example: Example, sampling: Sampling) -> Completion:
    return Completion(
        example.example_id, "", "error", 0, "crashed", sample_index=sampling.sample_index
    )


def _targets(
    example: Example, text: EncodedConversation, frame: Frame, is_drawn: bool
) -> TokenTargets:
    arrays = frame.arrays
    return TokenTargets(
        key=TargetKey(example.example_id, text.completion_digest, text.view_digest),
        token_ids=text.ids[text.is_trained],
        byte_offsets=text.byte_offsets[text.is_trained],
        observed_logprobs=arrays["observed_logprobs"],
        top_ids=arrays["top_ids"],
        top_logprobs=arrays["top_logprobs"],
        log_z=arrays["log_z"],
        draws=Draws(*tally(arrays["drawn"]), arrays["entropy"]) if is_drawn else None,
    )


def _require_file(path: Path) -> None:
    """A look at the first bytes, so that a wrong file needs no process to be found out."""
    if not path.is_file():
        raise ModelError(f"there is no file {path}", "check the path of the GGUF file")
    with path.open("rb") as stream:
        first = stream.read(len(_MAGIC))
    if not first:
        raise ModelError(f"{path} is empty", "make or download it again")
    if first != _MAGIC:
        raise ModelError(
            f"{path} is no GGUF file: it opens with {first!r}, not {_MAGIC!r}",
            "name the .gguf file itself; a Hugging Face folder needs no llama.cpp",
        )


def _require_package() -> None:
    if importlib.util.find_spec(_PACKAGE) is None:
        raise UsageError(
            "a GGUF model needs llama-cpp-python, which is not installed",
            'pip install "stillhouse[gguf]"',
        )


def _require_vocabulary(path: Path, tokenizer: TextTokenizer, opened: Frame) -> None:
    """Refuse a file whose ids stand for other tokens than the tokenizer's."""
    lengths, stored = opened.arrays["lengths"], opened.arrays["bytes"].tobytes()
    if tokenizer.vocab_size > len(lengths):
        raise ModelError(
            f"the tokenizer has {tokenizer.vocab_size} ids, {path} {len(lengths)}",
            "take tokenizer and weights from one place",
        )
    ends = np.cumsum(lengths)
    for token_id in range(tokenizer.vocab_size):
        ours = tokenizer.token_of(token_id)
        theirs = stored[ends[token_id] - lengths[token_id] : ends[token_id]].decode(
            errors="replace"
        )
        # An id that the tokenizer lacks is padding; converters write a space for SentencePiece's.
        if ours and ours.replace("\u2581", " ") != theirs.replace("\u2581", " "):
            raise ModelError(
                f"id {token_id} is {ours!r} in the tokenizer and {theirs!r} in {path}",
                "take tokenizer and weights from one place",
            )
