"""A row on its way to an example: what it came from, and what was made of it so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from stillhouse.core.errors import AccountingError
from stillhouse.core.rows import Message, Row


@dataclass(frozen=True, slots=True)
class Draft(Row):
    """A row with its prompt, answer and reference, and later its part.

    Attributes:
        prompt: the messages before the last answer.
        answer: the text to be learned, None where the row has none.
        reference: the text that accuracy is measured against.
        own_text: what the row itself says in the prompt, without the template's words.
        cuttable: from where to where in the last turn a field stands that may be cut.
        has_content: the row put some text into the prompt, not only the template.
        part: one of `PARTS` once the split has dealt it out.
        group: the name of the rows that must stay in one part with it, see groups.py.
        domain: of the recipe's domains; empty where it has none.
    """

    prompt: tuple[Message, ...] = ()
    answer: str | None = None
    reference: str | None = None
    own_text: str = ""
    cuttable: tuple[int, int] | None = None
    has_content: bool = True
    part: str = ""
    group: str = ""
    domain: str = ""

    @property
    def prompt_text(self) -> str:
        """What the row asks, without the system message that all rows may share."""
        return "\n".join(turn.content for turn in self.prompt if turn.role != "system")

    @property
    def prompt_key(self) -> tuple[Message, ...]:
        """Equal for rows that ask the same, whatever their system message."""
        return without_system(self.prompt)


def without_system(prompt: Sequence[Message]) -> tuple[Message, ...]:
    """The turns that ask something; the system message may be the same for all rows."""
    return tuple(turn for turn in prompt if turn.role != "system")


def draft_of(
    row: Row, prompt: tuple[Message, ...], answer: str | None, reference: str | None
) -> Draft:
    """A draft with everything the row holds."""
    held = {item.name: getattr(row, item.name) for item in fields(Row)}
    return Draft(**held, prompt=prompt, answer=answer, reference=reference)


def drafts_of(rows: Sequence[Row]) -> list[Draft]:
    """The same rows, known to be drafts.

    Args:
        rows: what the `shape` step kept.

    Returns:
        Drafts in their order.

    Raises:
        AccountingError: a step that needs prompts was put before `shape`.
    """
    drafts = [row for row in rows if isinstance(row, Draft)]
    if len(drafts) != len(rows):
        raise AccountingError("a step that needs prompts ran before the step shape")
    return drafts
