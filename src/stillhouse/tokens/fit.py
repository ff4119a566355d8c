"""A conversation cut to its readers' contexts: on the left of its longest user message."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Message
from stillhouse.tokens.encode import encode_conversation, encode_prompt
from stillhouse.tokens.reader import Reader

TOO_LONG = "longer than the context"
"""Why a row is dropped that does not fit."""

# assumption: a shorter text has at most a few tokens more than one that is a little longer (a
# merge is lost at its new beginning), so the search looks this many characters back.
_LOOK_BACK = 8
_JOINERS = ("\u200d", "\ufe0e", "\ufe0f")


@dataclass(frozen=True, slots=True)
class Fitted:
    """A conversation that fits.

    Attributes:
        messages: the turns, one user message perhaps shortened.
        num_cut_chars: characters cut from its beginning; 0 when all fits.
        num_tokens: of the conversation as it is now, for the first reader, as all that follows.
        num_left_out: answers in it that are not learned.
        has_empty_thought: the template puts one before the last answer that its prompt lacks.
        cut_for: names of the readers whom the whole conversation does not fit.
    """

    messages: tuple[Message, ...]
    num_cut_chars: int
    num_tokens: int
    num_left_out: int = 0
    has_empty_thought: bool = False
    cut_for: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Misfit:
    """A conversation that does not fit, even with that message empty.

    Attributes:
        reader: the first whom it does not fit.
    """

    reader: Reader


def fit_to_context(
    messages: Sequence[Message],
    readers: Sequence[Reader],
    *,
    room_for_answer: int = 0,
    cuttable: tuple[int, int] | None = None,
) -> Fitted | Misfit:
    """The conversation with as much of its longest user message as fits every reader.

    Args:
        messages: a whole conversation (ends with the assistant) or a prompt.
        readers: at least one; the same messages must fit each.
        room_for_answer: tokens kept free behind the prompt for an answer that a model will
            write, also where the conversation has one already; 0 when none is asked.
        cuttable: from where to where in the last user message text may go, from its end; without
            it the longest user message loses its beginning.

    Returns:
        What fits; a misfit when it does not even with that message empty.

    Raises:
        InputError: a template refuses the conversation.
    """
    whole = tuple(messages)
    rulers = [_Ruler(reader, room_for_answer) for reader in readers]
    found = _fit_all(whole, rulers)
    if isinstance(found, Fitted):
        return found
    users = [number for number, message in enumerate(whole) if message.role == "user"]
    if not users:
        return found
    chosen = users[-1] if cuttable else max(users, key=lambda at: len(whole[at].content))
    content = whole[chosen].content
    cuts = _cuts(content, cuttable)

    def shortened(start: int, end: int) -> tuple[Message, ...]:
        kept = replace(whole[chosen], content=content[:start] + content[end:])
        return (*whole[:chosen], kept, *whole[chosen + 1 :])

    def fits(number: int) -> bool:
        return isinstance(_fit_all(shortened(*cuts[number]), rulers), Fitted)

    shortest = _fit_all(shortened(*cuts[-1]), rulers)
    if isinstance(shortest, Misfit):
        return shortest
    low, high = 0, len(cuts) - 1  # cuts[high] fits; what is below low does not
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle + 1, high)
    best = next((at for at in range(max(0, high - _LOOK_BACK), high) if fits(at)), high)
    start, end = cuts[best]
    fitted = _fit_all(shortened(start, end), rulers)
    assert isinstance(fitted, Fitted)
    cut_for = tuple(ruler.reader.name for ruler in rulers if ruler.fit(whole) is None)
    return replace(fitted, num_cut_chars=end - start, cut_for=cut_for)


def _cuts(content: str, cuttable: tuple[int, int] | None) -> list[tuple[int, int]]:
    """What may be taken out of a text, from nothing to as much as may go."""
    if cuttable is None:
        starts = [at for at in range(len(content)) if _may_start(content, at)]
        return [(0, at) for at in (*starts, len(content))]
    start, end = cuttable
    ends = [at for at in range(end - 1, start, -1) if _may_start(content, at)]
    return [(end, end), *((at, end) for at in ends), (start, end)]


@dataclass(frozen=True, slots=True)
class _Ruler:
    """Says whether a conversation or a prompt fits a reader."""

    reader: Reader
    room_for_answer: int

    def fit(self, turns: tuple[Message, ...]) -> Fitted | None:
        """The turns; None when they are too many tokens or leave too little room for an answer."""
        is_answered = bool(turns) and turns[-1].role == "assistant"
        prompt, room = turns[:-1] if is_answered else turns, self.room_for_answer
        reader, num_prompt = self.reader, 0
        if room or not is_answered:
            num_prompt = len(encode_prompt(prompt, reader.template, reader.tokenizer))
            if num_prompt + room > reader.max_tokens:
                return None
        if not is_answered:
            return Fitted(turns, 0, num_prompt)
        encoded = encode_conversation(turns, reader.template, reader.tokenizer)
        if len(encoded.ids) > reader.max_tokens:
            return None
        return Fitted(turns, 0, len(encoded.ids), len(encoded.left_out), encoded.inserted > 0)


def _fit_all(turns: tuple[Message, ...], rulers: Sequence[_Ruler]) -> Fitted | Misfit:
    """As the first reader has it; or whom it does not fit."""
    found: list[Fitted] = []
    for ruler in rulers:
        try:
            fitted = ruler.fit(turns)
        except InputError as error:
            if len(rulers) == 1:
                raise
            told = f"as the {ruler.reader.name} reads: {error.message}"
            raise InputError(told, error.hint) from error
        if fitted is None:
            return Misfit(ruler.reader)
        found.append(fitted)
    return found[0]


def _may_start(text: str, at: int) -> bool:
    """True when a text may begin here: not inside a letter with its accents, nor an emoji."""
    if at == 0:
        return True
    char = text[at]
    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Mc", "Me"):
        return False
    is_skin_tone = "\U0001f3fb" <= char <= "\U0001f3ff"
    return not (char in _JOINERS or is_skin_tone or text[at - 1] == "\u200d")
