"""Recipe sections as they come back out of an instance's configuration."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from stillhouse.recipes.section import Section

S = TypeVar("S", bound=Section)


def section_of(kind: type[S], plain: dict[str, Any]) -> S:
    """The typed section that a plan wrote down as plain JSON values."""
    return kind.model_validate_json(json.dumps(plain))
