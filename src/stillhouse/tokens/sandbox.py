"""The Jinja sandbox that a chat template runs in; what it offers equals transformers'."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import jinja2
from jinja2 import meta, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

# assumption: real templates step through ranges of a handful and write a few times what the
# messages hold; these stop only what would run or grow for ever.
_MOST_STEPS = 100_000
_MOST_CHARS = 50_000_000


def compile_template(source: str, now: datetime) -> jinja2.Template:
    """A chat template, ready to render.

    Args:
        source: Jinja text, not trusted.
        now: what `strftime_now` tells.

    Returns:
        The compiled template.

    Raises:
        jinja2.TemplateError: the text is not valid Jinja.
    """
    environment = _environment()
    environment.globals["strftime_now"] = now.strftime
    return environment.from_string(source)


def find_variables(source: str) -> frozenset[str]:
    """What a template reads beside what it sets itself and what the sandbox offers.

    Args:
        source: Jinja text.

    Returns:
        Names, such as `messages` and `enable_thinking`.

    Raises:
        jinja2.TemplateError: the text is not valid Jinja.
    """
    return frozenset(meta.find_undeclared_variables(_environment().parse(source)))


def _environment() -> jinja2.Environment:
    environment = _Bounded(
        trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationTag, loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["namespace"] = _GuardedNamespace
    return environment


def render_template(template: jinja2.Template, values: Mapping[str, Any]) -> str:
    """What a template writes.

    Args:
        template: as `compile_template` gives it.
        values: its variables.

    Returns:
        The text.

    Raises:
        SecurityError: it would write or step for ever.
    """
    parts, num_chars = [], 0
    # A fresh count a rendering, so that one conversation cannot use up another's.
    for part in template.generate({**values, "range": _counted_range()}):
        num_chars += len(part)
        if num_chars > _MOST_CHARS:
            raise SecurityError(f"a chat template wrote more than {_MOST_CHARS:,} characters")
        parts.append(part)
    return "".join(parts)


class _Bounded(ImmutableSandboxedEnvironment):
    """The sandbox, in which no number or text is multiplied beyond all sense."""

    intercepted_binops = frozenset(("*", "**"))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" or (operator == "*" and _grows(left, right)):
            raise SecurityError(f"a chat template may not compute {operator!r} of such values")
        return super().call_binop(context, operator, left, right)


def _grows(left: Any, right: Any) -> bool:
    sizes = [side if isinstance(side, (int, float)) else len(side) for side in (left, right)]
    return abs(sizes[0] * sizes[1]) > _MOST_CHARS


def _counted_range() -> Callable[..., range]:
    """`range` of which all together have a limit, so that nested loops have one too."""
    left = _MOST_STEPS

    def counted(*bounds: int) -> range:
        nonlocal left
        steps = range(*bounds)
        left -= len(steps)
        if left < 0:
            raise SecurityError(f"a chat template stepped through ranges of over {_MOST_STEPS:,}")
        return steps

    return counted


class _GenerationTag(Extension):
    """`{% generation %}` marks an answer for other tools; here it only passes its body on."""

    tags = {"generation"}  # noqa: RUF012 jinja's own form

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_pass_on"), [], [], body).set_lineno(line)

    def _pass_on(self, caller: Callable[[], str]) -> str:
        return caller()


class _GuardedNamespace(Namespace):
    """A namespace that stores no name with a leading underscore: the sandbox's way out."""

    def __init__(*args: Any, **kwargs: Any) -> None:  # so that `namespace(self=...)` works
        values = dict(*args[1:], **kwargs)
        for name in values:
            _refuse_private(name)
        Namespace.__init__(args[0], values)

    def __setitem__(self, name: str, value: Any) -> None:
        _refuse_private(name)
        super().__setitem__(name, value)


def _refuse_private(name: str) -> None:
    if name.startswith("_"):
        raise SecurityError(f"a chat template may not store the name {name!r} on a namespace")


def _raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )
