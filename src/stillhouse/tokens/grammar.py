"""Which tokens may come next, so that what is written fits a JSON Schema.

Nothing else could be written, so a model of random weights fits it too. White space between the
parts of JSON is not allowed: a model that may write it can write it for ever.

Legend: B answers side by side, V ids of the tokenizer, W 32-bit words of V bits.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.core.errors import ModelError, RecipeError, UsageError
from stillhouse.tokens.tokenizer import TextTokenizer

if TYPE_CHECKING:
    from llguidance import LLMatcher

_COMPACT: Any = {
    "item_separator": ",",
    "key_separator": ":",
    "whitespace_flexible": False,
    "lenient": False,
}
"""Over what a schema itself says under `x-guidance`."""


def compile_schema(schema: Mapping[str, Any]) -> str:
    """The grammar of a schema, in the library's own form.

    Args:
        schema: a JSON Schema.

    Returns:
        For `AnswerGrammar`.

    Raises:
        RecipeError: it asks for something that cannot be checked token by token.
        UsageError: the library is not installed.
    """
    try:
        from llguidance import LLMatcher
    except ImportError as error:
        raise UsageError(
            "label.answer_schema holds a teacher in memory to it with llguidance, which is not "
            "installed",
            "pip install 'stillhouse[train]'",
        ) from error
    grammar: str = LLMatcher.grammar_from_json_schema(json.dumps(schema), overrides=_COMPACT)
    is_wrong, told = LLMatcher.validate_grammar_with_warnings(grammar)
    if is_wrong:
        raise RecipeError(
            f"label.answer_schema: no model can be held to it: {' '.join(told[0].split())[:300]}",
            "say it with types, enum, bounds, pattern, properties, required and items; what more "
            "is wanted of an answer can stand in label.reject",
        )
    return grammar


class AnswerGrammar:
    """A schema over the ids of one tokenizer; made once, walked by any number of answers.

    Args:
        schema: a JSON Schema.
        tokenizer: of the model that answers.
        end_ids: tokens that end an answer; each is allowed where the answer is whole, and nowhere
            else.

    Raises:
        RecipeError: the schema cannot be compiled.
        ModelError: no token ends an answer, or the tokenizer cannot write the answer's beginning.
    """

    def __init__(
        self, schema: Mapping[str, Any], tokenizer: TextTokenizer, end_ids: Collection[int]
    ) -> None:
        self._grammar = compile_schema(schema)
        if not end_ids:
            raise ModelError(
                "label.answer_schema: neither model, tokenizer nor template names a token that "
                "ends an answer",
                'set "eos_token" in tokenizer_config.json',
            )
        from llguidance import LLTokenizer, TokenizerWrapper

        self.end_ids = np.array(sorted(end_ids))
        self.vocab_size = tokenizer.vocab_size
        vocabulary = _Vocabulary(tokenizer, self.end_ids.tolist())
        self._vocabulary = LLTokenizer(TokenizerWrapper(vocabulary))
        self._require_a_beginning()

    def _require_a_beginning(self) -> None:
        """Where a text is all that can follow, the library trusts the tokenizer's own cut of it."""
        firsts = np.setdiff1d(np.flatnonzero(self.begin(1).allowed()[0]), self.end_ids)
        if not firsts.size or not self.walk().consume_token(int(firsts[0])):
            raise ModelError(
                "label.answer_schema: the tokenizer has no token with which an answer could begin",
                "some tokenizers know no braces; take a model that can write JSON",
            )

    def begin(self, num_answers: int) -> Answers:
        """So many answers, of which nothing is written yet."""
        return Answers(self, num_answers)

    def walk(self) -> LLMatcher:
        """The library's own walk along one answer, at its beginning."""
        from llguidance import LLMatcher

        return LLMatcher(self._vocabulary, self._grammar, log_level=0)


class Answers:
    """Answers that are written side by side, a token each at a time.

    Args:
        grammar: what each must fit.
        num_answers: B.
    """

    def __init__(self, grammar: AnswerGrammar, num_answers: int) -> None:
        self._grammar = grammar
        self._walks = [grammar.walk() for _ in range(num_answers)]
        self._is_open_B = np.ones(num_answers, dtype=np.bool_)
        num_words = -(-grammar.vocab_size // 32)
        self._bits_BW = np.zeros((num_answers, num_words), dtype=np.int32)

    def take(self, tokens_B: NDArray[np.int64]) -> None:
        """Go on by the token (B,) that each answer got; what follows an end is not looked at."""
        self._is_open_B &= ~np.isin(tokens_B, self._grammar.end_ids)
        for row in np.flatnonzero(self._is_open_B):
            self._walks[row].consume_token(int(tokens_B[row]))

    def allowed(self) -> NDArray[np.bool_]:
        """(B, V), true for the tokens that may come next; all of them where an answer has ended.

        Where the library gives up, which it does on grammars of great ambiguity, an end alone is
        allowed, so what was written until there is no whole answer.
        """
        from llguidance.numpy import fill_next_token_bitmask

        for row in np.flatnonzero(self._is_open_B):
            fill_next_token_bitmask(self._walks[row], self._bits_BW, int(row))
        self._bits_BW[~self._is_open_B] = -1
        bytes_BW = self._bits_BW.astype("<i4", copy=False).view(np.uint8)
        bits_BV = np.unpackbits(
            bytes_BW, axis=1, count=self._grammar.vocab_size, bitorder="little"
        ).view(np.bool_)
        ends = self._grammar.end_ids
        bits_BV[:, ends] = bits_BV[:, ends].any(axis=1, keepdims=True)
        return bits_BV


class _Vocabulary:
    """A tokenizer in the form in which llguidance asks for one that is not its own."""

    bos_token_id = None

    def __init__(self, tokenizer: TextTokenizer, end_ids: list[int]) -> None:
        self._tokenizer = tokenizer
        self.tokens = tokenizer.token_bytes(np.arange(tokenizer.vocab_size, dtype=np.int32))
        self.eos_token_id = end_ids[0]
        self.special_token_ids = sorted(tokenizer.special_ids | set(end_ids))

    def __call__(self, text: str) -> list[int]:
        """The ids of a text that follows other text."""
        ids, _ = self._tokenizer.encode_spans(text, continues=True)
        listed: list[int] = ids.tolist()
        return listed
