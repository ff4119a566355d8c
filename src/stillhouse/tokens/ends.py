"""Which tokens end an answer, as far as tokenizer and template know."""

from __future__ import annotations

from stillhouse.core.rows import Message
from stillhouse.tokens.encode import encode_conversation
from stillhouse.tokens.template import Template
from stillhouse.tokens.tokenizer import TextTokenizer


def end_ids(tokenizer: TextTokenizer, template: Template) -> frozenset[int]:
    """The ids after which a model that keeps to its template writes nothing more.

    Args:
        tokenizer: its end-of-text token, if it names one.
        template: the special token that closes an assistant turn, if it writes one.

    Returns:
        Perhaps none; a model may know more.
    """
    found = {tokenizer.eos_id} if "eos_token" in tokenizer.specials else set()
    turn = encode_conversation(
        (Message("user", "a"), Message("assistant", "b")), template, tokenizer
    )
    last = int(turn.ids[turn.is_trained][-1])
    if tokenizer.decode([last]) == "":  # a special token, not a part of the answer
        found.add(last)
    return frozenset(found)
