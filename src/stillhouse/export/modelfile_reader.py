"""A Modelfile of a bundle read back, because Ollama's API takes its parts and not its text.

Only what `modelfile.py` writes is read: a line that says anything else is an error, so that nothing
can be told to a server that the file does not plainly say.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from stillhouse.core.errors import ArtifactError

Value = float | int | list[str]

_LINE = re.compile(
    r"(?:PARAMETER (?P<name>[a-z_]+)|(?P<word>[A-Z]+)) "
    r'(?:"""(?P<quoted>.*?)"""|(?P<plain>[^\n"]+))(?:\n|\Z)',
    re.S,
)
_NUMBERS = {
    "num_ctx": int, "top_k": int, "num_predict": int, "seed": int, "temperature": float,
    "top_p": float, "repeat_penalty": float,
}  # fmt: skip
_TEXTS = ("TEMPLATE", "SYSTEM", "LICENSE")


@dataclass(slots=True)
class ModelfileParts:
    """What a Modelfile says.

    Attributes:
        source: after FROM: `./` and a file beside it, or the name of a model in Ollama.
        adapter: the file beside it that is laid over `source`; empty for none.
        texts: TEMPLATE, SYSTEM and LICENSE, those that are there.
        parameters: name -> number; `stop` -> texts.
    """

    source: str = ""
    adapter: str = ""
    texts: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, Value] = field(default_factory=dict)

    @property
    def own_file(self) -> str:
        """The name of the student's file beside the Modelfile."""
        return (self.adapter or self.source).removeprefix("./")


def read_modelfile(text: str) -> ModelfileParts:
    """The parts of a Modelfile.

    Args:
        text: as `modelfile_text` wrote it.

    Returns:
        What it says.

    Raises:
        ArtifactError: names the line that says something else.
    """
    found, place = ModelfileParts(), 0
    while place < len(text):
        if text.startswith(("#", "\n"), place):
            place = text.find("\n", place) + 1 or len(text)
            continue
        match = _LINE.match(text, place)
        if match is None or not _take(found, match):
            line = text[place:].partition("\n")[0]
            raise ArtifactError(
                f"the Modelfile says {line[:60]!r}, which Stillhouse does not write",
                "run the recipe again; a Modelfile of your own goes to `ollama create`",
            )
        place = match.end()
    if not found.source:
        raise ArtifactError("the Modelfile has no FROM", "run the recipe again")
    return found


def _take(found: ModelfileParts, match: re.Match[str]) -> bool:
    """Whether a line is one of ours, and said for the first time."""
    name, word, quoted, plain = match.group("name", "word", "quoted", "plain")
    if name:
        return _take_parameter(found, name, quoted, plain)
    if word in _TEXTS and quoted is not None and word not in found.texts:
        found.texts[word] = quoted
    elif word == "FROM" and plain and not found.source:
        found.source = plain
    elif word == "ADAPTER" and plain and not found.adapter:
        found.adapter = plain
    else:
        return False
    return True


def _take_parameter(
    found: ModelfileParts, name: str, quoted: str | None, plain: str | None
) -> bool:
    if name == "stop" and quoted is not None:
        stops = found.parameters.setdefault(name, [])
        assert isinstance(stops, list)
        stops.append(quoted)
        return True
    if name not in _NUMBERS or name in found.parameters or plain is None:
        return False
    try:
        found.parameters[name] = _NUMBERS[name](plain)
    except ValueError:
        return False
    return True
