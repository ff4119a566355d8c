"""Transformations written by rule: the prompt's own words, and three sentences of its context.

The rules understand nothing. They give a first set of transformations to learn the form from, and
a baseline that whoever asks a model should beat.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from stillhouse.core.hashing import digest_text
from stillhouse.core.rows import Completion, Example
from stillhouse.core.sampling import Sampling
from stillhouse.data.style_references import find_style_references
from stillhouse.tasks.prompts.contexts import OPEN, Context, own_contexts

_MOST_WORDS = 30
"""assumption: who writes a prompt for a picture says in its first words what is to be seen."""
_LEAD = re.compile(r"[\s,;:.\-]*$")


def transform(prompt: str, context: Context, seed: int = 0) -> str:
    """A prompt's own words without style references, and three sentences of its context.

    Args:
        prompt: in any form.
        context: `open` takes the sentences of a tradition, each equally often.
        seed: another seed takes other sentences.

    Returns:
        Four sentences; three where nothing of the prompt is left.
    """
    kept = without_style_references(prompt)
    draw = f"{seed}\n{context.id}\n{prompt}"
    if context.type == OPEN:
        traditions = [one for one in own_contexts().values() if one.is_tradition]
        context = traditions[_place(f"{draw}\ntradition", len(traditions))]
    said = [
        sentences[_place(f"{draw}\n{number}", len(sentences))]
        for number, sentences in enumerate(
            (context.practice, context.perspective, context.perception)
        )
    ]
    return " ".join(filter(None, [_sentence(kept), *said]))


def without_style_references(text: str) -> str:
    """A text up to each style reference, and from the next comma or full stop behind it.

    Args:
        text: any text.

    Returns:
        At most its first thirty words.
    """
    pieces, at = [], 0
    for one in find_style_references(text):
        if one.start >= at:
            pieces.append(_LEAD.sub("", text[at : one.start]))
            ends = re.search(r"[,.;\n]", text[one.start + len(one.found) :])
            at = one.start + len(one.found) + ends.start() if ends else len(text)
    kept = " ".join([*pieces, text[at:]]).replace(" ,", ",").strip(" ,;")
    words = kept.split()
    return " ".join(words[:_MOST_WORDS])


def _sentence(text: str) -> str:
    text = text.rstrip(" .,;:")
    return f"{text[0].upper()}{text[1:]}." if text else ""


def _place(draw: str, number: int) -> int:
    return int(digest_text(draw)[:12], 16) % number


class RuleBaseline:
    """The rules as a candidate that can be measured beside models; a `Generator`."""

    def generate(self, examples: Sequence[Example], sampling: Sampling) -> Iterator[Completion]:
        """One answer an example, in their order.

        Args:
            examples: a context of ours stands in the last user turn, before the prompt; where none
                does the rules take none to be given.
            sampling: only its number of tokens is looked at, one a word.

        Yields:
            Answers that end with `stop`, or with `length` where they do not fit.
        """
        for example in examples:
            words = _answer(example.prompt[-1].content).split(" ")
            most = sampling.max_new_tokens
            yield Completion(
                example_id=example.example_id,
                text=" ".join(words[:most]),
                finish="length" if len(words) > most else "stop",
                num_tokens=min(len(words), most),
                sample_index=sampling.sample_index,
            )


def _answer(asked: str) -> str:
    contexts = own_contexts()
    for context in contexts.values():
        before, found, behind = asked.partition(context.text)
        if found:
            return transform(f"{before} {behind}".strip(), context)
    return transform(asked, contexts[OPEN])
