"""What a model wrote, as an answer: without special tokens, channels and thoughts unasked for."""

from __future__ import annotations

from numpy import int32
from numpy.typing import NDArray

from stillhouse.tokens.template import ChatTemplate, Template
from stillhouse.tokens.thoughts import drop_thought, read_channels
from stillhouse.tokens.tokenizer import TextTokenizer


def read_answer(
    ids: NDArray[int32], tokenizer: TextTokenizer, template: Template
) -> tuple[str, str]:
    """The answer in what a model wrote, and the thought that it was told not to have.

    Args:
        ids: (T,) what it wrote, without the token that ended it.
        tokenizer: its own.
        template: the one that asked it.

    Returns:
        The answer, a thought that belongs to it in front; and a thought that was taken out,
        because the prompt said not to think. It is empty where there was none.
    """
    if isinstance(template, ChatTemplate) and template.has_channels:
        return read_channels(tokenizer.decode(ids, skip_special=False)), ""
    text = tokenizer.decode(ids)
    if isinstance(template, ChatTemplate) and template.is_silent:
        return drop_thought(text)
    return text, ""
