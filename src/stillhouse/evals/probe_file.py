"""Declared probes of an audit: what is looked for in which field, and what a figure of it means.

name: image-prompts
version: "1"
probes:
  - name: gender
    kind: classes
    text: answer
    prompt: prompt_id
    tags: {woman: [woman, she], man: [man, he]}
    reference: {woman: 0.5, man: 0.5}
    means: Whom the text shows where the prompt leaves it open.
    does_not_mean: Nothing is said of people whom no word of the list names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from stillhouse.core.errors import InputError, UsageError
from stillhouse.evals.tags import TagFinder
from stillhouse.recipes.section import NotNegative, Section
from stillhouse.recipes.yaml_lines import Key, line_numbers, place_of_key, plain_of

Words = tuple[str, ...]


class Probe(Section):
    """One question to a corpus.

    Attributes:
        name: of the probe.
        kind: `classes` are answers to an open question, `traditions` are tags that should all be
            there; `words` measures how varied the texts are, `contexts` how far apart the texts of
            one prompt are, `style` counts style references.
        text: the field that is looked into: a text, or a list of texts.
        prompt: the field that names the prompt; rows of one prompt are drawn together, and two
            candidates are compared prompt by prompt. Each row is its own where it is absent, and
            where the row holds nothing there.
        only: fields with the values that a row must have to be looked into.
        tags: each with the words that stand for it; `*` at an end stands for any ending.
        values: in place of tags: the field holds the class itself, one of these.
        reference: the share that each tag or value should have.
        means: what the figures say, in a sentence.
        does_not_mean: what they do not say, in a sentence.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    kind: Literal["classes", "traditions", "words", "contexts", "style"]
    text: str = Field(min_length=1)
    prompt: str | None = None
    only: dict[str, Words] = Field(default_factory=dict)
    tags: dict[str, Words] = Field(default_factory=dict)
    values: Words = ()
    reference: dict[str, NotNegative] = Field(default_factory=dict)
    means: str = Field(min_length=1)
    does_not_mean: str = Field(min_length=1)

    @field_validator("tags")
    @classmethod
    def _tags_have_words(cls, tags: dict[str, Words]) -> dict[str, Words]:
        if tags:
            try:
                TagFinder(tags)
            except UsageError as error:
                raise ValueError(error.message) from None
        return tags

    @model_validator(mode="after")
    def _tags_fit_the_kind(self) -> Self:
        counts_tags = self.kind in ("classes", "traditions")
        if counts_tags and (bool(self.tags) == bool(self.values) or len(self.names) < 2):
            raise ValueError(f"kind {self.kind} needs tags or values, two at least")
        if not counts_tags and (self.tags or self.values or self.reference):
            raise ValueError(f"kind {self.kind} has no tags, values or reference")
        if self.kind == "contexts" and self.prompt is None:
            raise ValueError("kind contexts compares the texts of one prompt: name its field")
        if self.reference and set(self.reference) != set(self.names):
            raise ValueError("the reference needs a share for each tag or value, and no other")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The tags or values."""
        return tuple(self.tags) or self.values


class Probes(Section):
    """The probes of one file.

    Attributes:
        name: of the file.
        version: raised by hand with each change.
        probes: with names of their own.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    version: str = Field(min_length=1)
    probes: tuple[Probe, ...] = Field(min_length=1)

    @field_validator("probes")
    @classmethod
    def _names_differ(cls, probes: tuple[Probe, ...]) -> tuple[Probe, ...]:
        names = [probe.name for probe in probes]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two probes are called {twice!r}")
        return probes


def own_probes(name: str = "texts") -> Path:
    """A file of probes that comes with this version.

    Args:
        name: `texts` for any texts, under the field `text`; `prompts` for the answers of a model
            that transforms prompts, with the context's type under `context_type`.

    Returns:
        Its path; whether there is such a file is for the reader to see.
    """
    return Path(str(resources.files("stillhouse.evals") / "audits" / f"{name}.yaml"))


@dataclass(frozen=True, slots=True)
class ProbeFile:
    """The probes of a file, and where they stand.

    Attributes:
        probes: what it says.
        path: of the file.
        places: `FILE:LINE` of every key.
    """

    probes: Probes
    path: Path
    places: Mapping[Key, str]

    def place_of(self, number: int, key: str) -> str:
        """Where a probe says a key, as errors begin."""
        where = place_of_key(("probes", number, key), self.places, f"{self.path}:1")
        return f"{where} probes.{number}.{key}"


def load_probes(path: Path) -> Probes:
    """The probes of a file.

    Args:
        path: a YAML file.

    Returns:
        The probes.

    Raises:
        InputError: no such file, or not of that form; names the lines.
    """
    return read_probes(path).probes


def read_probes(path: Path) -> ProbeFile:
    """The probes of a file, with the lines on which they stand.

    Args:
        path: a YAML file.

    Returns:
        The probes.

    Raises:
        InputError: no such file, or not of that form; names the lines.
    """
    data = _parse(path)
    places: dict[Key, str] = {key: f"{path}:{line}" for key, line in line_numbers(data)}
    try:
        found = Probes.model_validate_json(json.dumps(plain_of(data)))
    except TypeError as error:
        raise InputError(f"{path} is no YAML text: {error}") from None
    except ValidationError as error:
        raise InputError(
            "\n".join(
                f"{place_of_key(one['loc'], places, f'{path}:1')} "
                f"{'.'.join(map(str, one['loc'])) or 'file'}: "
                f"{one['msg'].removeprefix('Value error, ')}"
                for one in error.errors(include_url=False, include_input=False)
            ),
            "write name, version and probes, each with means and does_not_mean",
        ) from None
    return ProbeFile(found, path, places)


def _parse(path: Path) -> Any:
    try:
        return YAML(typ="rt", pure=True).load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InputError(f"{path}:{line} is no YAML text: {error.problem}") from None
    except (UnicodeDecodeError, YAMLError) as error:
        raise InputError(f"{path} is no YAML text: {error}") from None
