"""A grammar's word on what comes next, as transformers' `generate` takes it.

Legend: B rows of a batch, T token position, V ids of the model's head.
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import LogitsProcessor

from stillhouse.tokens.grammar import AnswerGrammar


class OnlyAllowed(LogitsProcessor):
    """Takes every token out that the grammar does not allow; for one batch, used once.

    Args:
        grammar: that each row's completion must fit.
        num_rows: of the batch.
    """

    def __init__(self, grammar: AnswerGrammar, num_rows: int) -> None:
        self._answers = grammar.begin(num_rows)
        self._is_first = True

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The scores with minus infinity where a token is not allowed.

        Args:
            input_ids: (B, T) int64; all but the prompts was written under this processor.
            scores: (B, V), any float type; ids behind the tokenizer's are not allowed.

        Returns:
            (B, V).
        """
        if not self._is_first:
            self._answers.take(input_ids[:, -1].cpu().numpy())
        self._is_first = False
        known_BV = torch.from_numpy(self._answers.allowed()).to(scores.device)
        allowed_BV = torch.zeros_like(scores, dtype=torch.bool)
        allowed_BV[:, : known_BV.shape[1]] = known_BV
        return scores.masked_fill(~allowed_BV, -torch.inf)
