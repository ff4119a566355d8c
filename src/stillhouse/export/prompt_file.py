"""How a student is asked, beside its weights: `prompt.json` of a bundle."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stillhouse.core.errors import ArtifactError
from stillhouse.core.files import write_json

PROMPT_FILE = "prompt.json"


@dataclass(frozen=True, slots=True)
class PromptFile:
    """How a student was asked when it was trained and measured.

    Attributes:
        system: text of a system message, with `{field}` places; empty for none.
        user: text of the question, with `{field}` places.
        cut_field: the field of `user` that loses its end where a prompt is too long; empty for the
            beginning of the question.
        max_tokens: the longest conversation.
        room_for_answer: tokens of them that are kept for the answer.
        template: `chat`, the tokenizer's own, or the texts around each role's content.
        answer_fields: the fields of its JSON answers in the order in which it learned them; empty
            where answers are no objects.
    """

    system: str
    user: str
    cut_field: str
    max_tokens: int
    room_for_answer: int
    template: str | dict[str, Any]
    answer_fields: tuple[str, ...]


def write_prompt_file(prompt: PromptFile, bundle: Path) -> None:
    """Write the file into a bundle."""
    write_json(bundle / PROMPT_FILE, asdict(prompt))


def read_prompt_file(bundle: Path) -> PromptFile:
    """What a bundle says.

    Args:
        bundle: its folder.

    Returns:
        How its student is asked.

    Raises:
        ArtifactError: there is no such file, or it says something else.
    """
    path = bundle / PROMPT_FILE
    try:
        told = json.loads(path.read_bytes())
        return PromptFile(**told | {"answer_fields": tuple(told["answer_fields"])})
    except FileNotFoundError:
        raise ArtifactError(
            f"{bundle} has no {PROMPT_FILE}, so nobody knows how its student is asked",
            "name the folder `bundle` of an export, or a registered version; an older one is made "
            "anew with --from export",
        ) from None
    except (ValueError, TypeError, KeyError) as error:
        raise ArtifactError(f"{path} is torn: {error}", "export the student again") from None
