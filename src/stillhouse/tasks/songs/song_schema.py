"""The one schema of an analysis of a song: what each field may hold, and its JSON Schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stillhouse.tasks.songs.criteria import CONCERN_LEVELS, VERDICTS

OTHER = "other"
SENTIMENTS = ("positive", "negative", "mixed", "neutral", OTHER)
SAFETIES = ("safe", "caution", "unsafe", OTHER)
EMOTIONS = ("joy", "hope", "love", "peace", "sadness", "anger", "fear", "neutral", OTHER)

_MOST_THEMES, _MOST_REFERENCES = 12, 12
_LONG_NAME, _LONG_TEXT = 60, 600
"""Characters; assumption: none of ours is longer, and a model must not write for ever."""


def _names(most: int) -> dict[str, Any]:
    return {
        "type": "array",
        "items": {"type": "string", "minLength": 1, "maxLength": _LONG_NAME},
        "maxItems": most,
    }


_TEXT = {"type": "string", "maxLength": _LONG_TEXT}
_PROPERTIES: Mapping[str, dict[str, Any]] = {
    "verdict": {"enum": list(VERDICTS)},
    "concern_level": {"enum": list(CONCERN_LEVELS)},
    "score": {"type": "number", "minimum": 0, "maximum": 100},
    "themes": _names(_MOST_THEMES),
    "biblical_themes": _names(_MOST_THEMES),
    "sentiment": {"enum": list(SENTIMENTS)},
    "safety": {"enum": list(SAFETIES)},
    "emotion": {"enum": list(EMOTIONS)},
    "scripture_references": _names(_MOST_REFERENCES),
    "supporting_scripture": _names(_MOST_REFERENCES),
    "rationale": _TEXT,
    "explanation": _TEXT,
    "confidence": {"type": "number", "minimum": 0, "maximum": 1},
    "needs_review": {"type": "boolean"},
}

FIELDS = ("verdict", "score", "themes", "sentiment", "safety", "emotion", "scripture_references",
          "rationale")  # fmt: skip
"""Of an answer, where nothing else was learned."""


def answer_schema(fields: Sequence[str] = FIELDS) -> dict[str, Any]:
    """The JSON Schema that an answer with these fields fits.

    Args:
        fields: in the order in which a model learned them, which is that of a constrained answer.

    Returns:
        Every field is required; one that is none of ours may hold any text.
    """
    return {
        "type": "object",
        "properties": {name: _PROPERTIES.get(name, _TEXT) for name in fields},
        "required": list(fields),
        "additionalProperties": False,
    }


def known_word(value: str, words: Sequence[str]) -> str:
    """A word of a closed set, `other` for one that is not in it.

    Args:
        value: as an answer wrote it.
        words: of the set.

    Returns:
        One of the words, in small letters.
    """
    said = value.strip().casefold()
    return said if said in words else OTHER
