"""What Ollama is told about a student, in a file that says no more than was meant.

A Modelfile has no escapes: a text in it ends where a line ends in three quotes, and characters that
cannot be printed are dropped. What cannot be said in it is refused.

Source: `ParseFile` of Ollama's parser.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from stillhouse.core.errors import ModelError
from stillhouse.core.rows import Message
from stillhouse.export.turn_texts import turn_texts
from stillhouse.models.source import context_tokens
from stillhouse.recipes.measuring import Modelfile
from stillhouse.tokens.ends import end_ids
from stillhouse.tokens.template import Template
from stillhouse.tokens.tokenizer import TextTokenizer

MODELFILE = "Modelfile"

_QUOTES = '"""'
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]*")
_KEPT = "\n\r\t"

_SAMPLING = {"repeat_penalty": 1, "top_k": 0}
"""Ollama's own 1.1 and 40 would change also what is drawn from a student that was measured."""


def modelfile_text(
    asked: Modelfile,
    own: str,
    template: Template,
    tokenizer: TextTokenizer,
    config: Mapping[str, Any],
    prompts: Sequence[Sequence[Message]] = (),
) -> str:
    """A Modelfile.

    Args:
        asked: what the recipe says.
        own: name of the student's file beside it: an adapter's where `asked.base` is set.
        template: how its conversations are written.
        tokenizer: its own.
        config: of the model, for its context.
        prompts: of the recipe, which Ollama must write as the template does.

    Returns:
        The text.

    Raises:
        ModelError: something cannot be said in such a file.
    """
    opens = bool(tokenizer.added_bos) and template.prompt_text([Message("user", "a")]).startswith(
        tokenizer.added_bos
    )
    texts = turn_texts(template, prompts, tokenizer.added_bos if opens else "")
    lines = [f"# ollama create {asked.name} -f {MODELFILE}", *_sources(asked, own)]
    lines.append(f"TEMPLATE {quoted(texts.go_template())}")
    if asked.system is not None:
        lines.append(f"SYSTEM {quoted(asked.system)}")
    context = asked.num_ctx or context_tokens(dict(config))
    numbers = {"temperature": asked.temperature, "top_p": asked.top_p, **_SAMPLING}
    if context:
        numbers = {"num_ctx": context, **numbers}
    lines += [f"PARAMETER {name} {value:g}" if isinstance(value, float)
              else f"PARAMETER {name} {value}" for name, value in numbers.items()]  # fmt: skip
    ends = sorted(end_ids(tokenizer, template))
    lines += [f"PARAMETER stop {quoted(tokenizer.token_of(one))}" for one in ends]
    return "\n".join(lines) + "\n"


def licence_lines(text: str) -> str:
    """The command that tells of licences; nothing where none is known.

    Args:
        text: what they are, in words.

    Returns:
        A line or several, with their end.

    Raises:
        ModelError: the text cannot be said in such a file.
    """
    return f"LICENSE {quoted(text)}\n" if text else ""


def quoted(text: str) -> str:
    """A text that Ollama's parser reads back as it is.

    Args:
        text: of any number of lines.

    Returns:
        It, in three quotes on each side.

    Raises:
        ModelError: no quoting keeps it whole.
    """
    lost = sorted({one for one in text if not one.isprintable() and one not in _KEPT})
    if lost:
        names = ", ".join(f"U+{ord(one):04X}" for one in lost[:5])
        raise ModelError(
            f"Ollama drops {names} from a Modelfile, so this text would be another: {text[:40]!r}",
            "write it without these characters",
        )
    lines = re.split(r"[\n\r]", text)
    if any(line.rstrip().endswith(_QUOTES) for line in lines[:-1]):
        raise ModelError(
            f"a line ends in {_QUOTES}, where a text of a Modelfile ends: {text[:40]!r}",
            "write it with other quotes",
        )
    return f"{_QUOTES}{text}{_QUOTES}"


def _sources(asked: Modelfile, own: str) -> list[str]:
    for name in (own, asked.base):
        if name is not None and not (_PLAIN.fullmatch(name) and ".." not in name.split("/")):
            raise ModelError(
                f"{name!r} is no name of a model and no path below the Modelfile",
                "take letters, digits and . _ : / -",
            )
    if asked.base is None:
        return [f"FROM ./{own}"]
    pinned = [f"# {asked.base} was {asked.base_digest}"] if asked.base_digest else []
    return [*pinned, f"FROM {asked.base}", f"ADAPTER ./{own}"]
