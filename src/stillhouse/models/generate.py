"""Completions of a model in memory; what one prompt gets does not depend on its neighbours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import GenerationConfig, LogitsProcessorList, PreTrainedModel

from stillhouse.core.errors import InputError, ModelError
from stillhouse.core.rows import FinishReason
from stillhouse.core.sampling import Sampling
from stillhouse.models.constrain import OnlyAllowed
from stillhouse.models.inference import (
    batches_by_length,
    evaluating,
    is_encoder_decoder,
    pad_batch,
    plain_model,
)
from stillhouse.models.own_logprobs import GreedyLogprobs
from stillhouse.models.source import context_tokens
from stillhouse.tokens.ends import end_ids
from stillhouse.tokens.grammar import AnswerGrammar
from stillhouse.tokens.template import Template
from stillhouse.tokens.tokenizer import TextTokenizer

if TYPE_CHECKING:
    from peft import PeftModel


@dataclass(frozen=True, slots=True, eq=False)
class Generated:
    """One completion as token ids.

    Attributes:
        ids: (length,) int32, without the token that ended it.
        finish: `stop` when it ended itself, `length` when it was cut.
        logprobs: of a greedy one, nats: one for each token, and one for that which ended it;
            None where it was drawn.
    """

    ids: NDArray[np.int32]
    finish: FinishReason
    logprobs: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class Stopping:
    """Which tokens end a completion, and which one fills a batch."""

    stop_ids: frozenset[int]
    pad_id: int


def find_stopping(
    model: PreTrainedModel | PeftModel, tokenizer: TextTokenizer, template: Template
) -> Stopping:
    """The ends that tokenizer, model and template know.

    Args:
        model: its generation config may list several end tokens.
        tokenizer: its end-of-text token.
        template: the special token that closes an assistant turn, if it writes one.

    Returns:
        The ends, and the smallest of them to fill batches with.
    """
    plain = plain_model(model)
    stated: list[Any] = [plain.config.eos_token_id]
    if plain.generation_config is not None:
        stated.append(plain.generation_config.eos_token_id)
    stops = {int(token) for entry in stated for token in _as_list(entry)}
    stops |= end_ids(tokenizer, template)
    return Stopping(frozenset(stops), min(stops, default=0))


def generate_ids(
    model: PreTrainedModel | PeftModel,
    prompts: Sequence[NDArray[np.int32]],
    sampling: Sampling,
    stopping: Stopping,
    *,
    seed: int = 0,
    grammar: AnswerGrammar | None = None,
) -> list[Generated]:
    """One completion a prompt, in the order of the prompts.

    The model's own generation defaults (repetition penalty, top-p, ...) are not used.

    Args:
        model: a causal language model or an encoder-decoder, with or without an adapter.
        prompts: (length,) token ids each, at least one token; an encoder-decoder's encoder reads
            them.
        sampling: greedy at temperature 0; else drawn, and then `batch_size` is part of the draw.
        stopping: which tokens end a completion.
        seed: of the draw; the global random state is left as it was.
        grammar: that every completion which ends itself fits; None for any text. One that is cut
            fits it as far as it goes.

    Returns:
        Token ids with how each ended; equal for a prompt alone and among others, when greedy.

    Raises:
        InputError: an empty prompt, or one that leaves no room for `max_new_tokens`.
        ModelError: an encoder-decoder that names no token to start with.
    """
    plain = plain_model(model)
    reads_apart = is_encoder_decoder(model)
    lengths = [len(prompt) for prompt in prompts]
    _require_room(lengths, sampling.max_new_tokens, plain)
    settings = _settings(sampling, stopping)
    if reads_apart:
        settings.decoder_start_token_id = _decoder_start(plain)
    found: dict[int, Generated] = {}
    with evaluating(model), _no_defaults(plain), torch.random.fork_rng():
        torch.manual_seed(seed)
        for batch in batches_by_length(lengths, sampling.batch_size):
            rows = [prompts[index] for index in batch]
            heard = None if sampling.temperature > 0 else GreedyLogprobs()
            ids_BT, mask_BT = pad_batch(rows, stopping.pad_id, left=not reads_apart)
            out_BT: torch.Tensor = plain.generate(  # type: ignore[operator]
                ids_BT.to(plain.device),
                attention_mask=mask_BT.to(plain.device),
                generation_config=settings,
                logits_processor=_rules(grammar, len(rows), heard),
            )
            # A decoder of its own starts with one token; else the prompt comes back in front.
            start = 1 if reads_apart else ids_BT.shape[1]
            new_BT = out_BT[:, start:].cpu().numpy().astype(np.int32)
            logprobs_BT = heard.logprobs() if heard else [None] * len(rows)
            for index, new_T, logprobs_T in zip(batch, new_BT, logprobs_BT, strict=True):
                found[index] = _cut(new_T, logprobs_T, stopping.stop_ids)
    return [found[index] for index in range(len(prompts))]


def _cut(
    new_T: NDArray[np.int32], logprobs_T: NDArray[np.float32] | None, stop_ids: frozenset[int]
) -> Generated:
    ends = np.flatnonzero(np.isin(new_T, sorted(stop_ids)))
    length = int(ends[0]) if ends.size else len(new_T)
    own = None if logprobs_T is None else logprobs_T[: length + bool(ends.size)]
    return Generated(new_T[:length], "stop" if ends.size else "length", own)


def _rules(
    grammar: AnswerGrammar | None, num_rows: int, heard: GreedyLogprobs | None
) -> LogitsProcessorList:
    allowed = [OnlyAllowed(grammar, num_rows)] if grammar else []
    return LogitsProcessorList([*allowed, *([heard] if heard else [])])


def _settings(sampling: Sampling, stopping: Stopping) -> GenerationConfig:
    drawn: dict[str, Any] = (
        {"do_sample": True, "temperature": sampling.temperature, "top_k": 0, "top_p": 1.0}
        if sampling.temperature > 0
        else {"do_sample": False}
    )
    return GenerationConfig(
        max_new_tokens=sampling.max_new_tokens,
        eos_token_id=sorted(stopping.stop_ids) or None,
        pad_token_id=stopping.pad_id,
        use_cache=True,
        **drawn,
    )


@contextmanager
def _no_defaults(model: PreTrainedModel) -> Iterator[None]:
    """Transformers fills what a generation config leaves open from the model's own."""
    own = model.generation_config
    model.generation_config = GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = own


def _decoder_start(model: PreTrainedModel) -> int:
    for config in (model.generation_config, model.config):
        start = getattr(config, "decoder_start_token_id", None)
        if start is not None:
            return int(start)
    raise ModelError(
        f"{type(model).__name__} names no token that its decoder starts with",
        'set "decoder_start_token_id" in its config.json; T5 takes its padding token',
    )


def _require_room(lengths: Sequence[int], max_new_tokens: int, model: PreTrainedModel) -> None:
    if 0 in lengths:
        raise InputError(f"prompt {list(lengths).index(0)} has no token", "drop empty prompts")
    longest, context = max(lengths, default=0), context_tokens(model.config.to_dict())
    if context is not None and is_encoder_decoder(model):
        if max(longest, max_new_tokens) > context:
            raise InputError(
                f"a prompt of {longest} tokens or max_new_tokens {max_new_tokens} exceeds the "
                f"{context} tokens that the model reads and writes",
                "lower prepare.max_tokens or max_new_tokens",
            )
    elif context is not None and longest + max_new_tokens > context:
        raise InputError(
            f"a prompt of {longest} tokens and max_new_tokens {max_new_tokens} exceed the "
            f"model's context of {context} tokens",
            "lower prepare.max_tokens or max_new_tokens",
        )


def _as_list(value: int | list[int] | None) -> list[int]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
