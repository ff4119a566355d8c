"""Which tokens end an answer, as far as tokenizer and template know."""

from __future__ import annotations

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
    if template.ending:
        ids, _ = tokenizer.encode(template.ending)
        if len(ids) == 1 and int(ids[0]) in tokenizer.special_ids:
            found.add(int(ids[0]))
    return frozenset(found)
