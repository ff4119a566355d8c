"""What licences and providers' terms say of training on rows, and of handing them on."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from typing import Literal

from ruamel.yaml import YAML

from stillhouse.recipes.section import Section

Answer = Literal["yes", "no", "ask"]

_SEPARATORS = re.compile(r"[\s_\-,]+")


class Licence(Section):
    """A summary of a licence, to find its text by; not advice.

    Attributes:
        names: other ways to write it.
        training: may a model learn from such rows? `ask`: somebody has to read it and decide.
        redistribution: may the rows be handed on?
        sentence: what it asks.
        url: its text.
    """

    names: tuple[str, ...] = ()
    training: Answer
    redistribution: Answer
    sentence: str
    url: str


class _Table(Section):
    licences: dict[str, Licence]


@cache
def licences() -> dict[str, Licence]:
    """Every known licence by its id: SPDX's where there is one."""
    text = resources.files("stillhouse.recipes").joinpath("licences.yaml").read_text("utf-8")
    return _Table.model_validate(YAML(typ="safe").load(text), strict=False).licences


@cache
def _ids_by_name() -> dict[str, str]:
    return {
        _plain(name): licence_id
        for licence_id, licence in licences().items()
        for name in (licence_id, *licence.names)
    }


def licence_id(text: str) -> str:
    """The id of a licence, however it is written.

    Args:
        text: such as `CC BY 4.0` or `cc-by-4.0`.

    Returns:
        Empty for one that is not known.
    """
    return _ids_by_name().get(_plain(text), "")


def _plain(text: str) -> str:
    return _SEPARATORS.sub(" ", text.strip().casefold())
