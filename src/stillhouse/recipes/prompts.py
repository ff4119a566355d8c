"""A prompt of the teacher's own: a versioned file, whose version and digest stand in every record.

name: diversity-aware
version: "3"
system: You rewrite prompts ...
user: "{prompt}"
"""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import Field, ValidationError, field_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from stillhouse.core.errors import RecipeError
from stillhouse.core.hashing import digest_value
from stillhouse.core.rows import Message
from stillhouse.recipes.section import Section

_PLACE = "{prompt}"
_DIGITS = 12


class PromptTemplate(Section):
    """How the teacher is asked what the student will be asked in fewer words, or in others.

    Attributes:
        name: of the prompt.
        version: raised by hand with each change; the digest notices if it was forgotten.
        system: takes the place of the example's system messages; these stay where it is absent.
        user: around the last user message, which stands at `{prompt}`.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    version: str = Field(min_length=1)
    system: str | None = None
    user: str = _PLACE

    @field_validator("user")
    @classmethod
    def _prompt_stands_once(cls, text: str) -> str:
        if text.count(_PLACE) != 1:
            raise ValueError(f"must hold {_PLACE} exactly once, where the user's message goes")
        return text

    @property
    def label(self) -> str:
        """Name, version and digest of the texts, such as `judge@2#0f3a...`."""
        digest = digest_value(self.model_dump(mode="json"))[:_DIGITS]
        return f"{self.name}@{self.version}#{digest}"

    def apply(self, messages: tuple[Message, ...]) -> tuple[Message, ...]:
        """The conversation as the teacher sees it.

        Args:
            messages: of an example, its last user message among them.

        Returns:
            The same turns, with this system message and the last user message set into `user`.
        """
        turns = list(messages)
        if self.system is not None:
            turns = [turn for turn in turns if turn.role != "system"]
        last = max((at for at, turn in enumerate(turns) if turn.role == "user"), default=None)
        if last is not None:
            turns[last] = Message("user", self.user.replace(_PLACE, turns[last].content))
        opening = [] if self.system is None else [Message("system", self.system)]
        return (*opening, *turns)


def load_prompt(path: Path, key: str) -> PromptTemplate:
    """The prompt template of a file.

    Args:
        path: a YAML file.
        key: where the recipe names it, for errors.

    Returns:
        The template.

    Raises:
        RecipeError: no such file, or not of that form.
    """
    try:
        plain = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
        return PromptTemplate.model_validate_json(json.dumps(plain))
    except OSError as error:
        raise RecipeError(f"{key}: {path} cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, YAMLError, TypeError) as error:
        raise RecipeError(f"{key}: {path} is no YAML text: {error}") from None
    except ValidationError as error:
        lines = [
            f"{path} {'.'.join(map(str, one['loc'])) or 'file'}: {one['msg']}"
            for one in error.errors(include_url=False, include_input=False)
        ]
        raise RecipeError("\n".join(lines), 'write name, version: "1", system and user') from None
