"""A schema with every kind of bound that a labelling asks for, and whether a text fits it."""

import json
import re

from jsonschema.validators import Draft202012Validator

SCHEMA = {
    "type": "object",
    "properties": {
        "mood": {"enum": ["angry", "calm", 'calm and "happy"']},
        "score": {"type": "integer", "minimum": -7, "maximum": 100},
        "note": {"type": "string", "minLength": 2, "maxLength": 12},
        "tags": {
            "type": "array",
            "items": {"type": "string", "maxLength": 4},
            "minItems": 1,
            "maxItems": 3,
        },
        "safety": {
            "type": "object",
            "properties": {"is_safe": {"type": "boolean"}, "level": {"enum": [0, 1, 2]}},
            "required": ["is_safe", "level"],
            "additionalProperties": False,
        },
    },
    "required": ["mood", "score", "note", "tags", "safety"],
    "additionalProperties": False,
}
LONGEST = 300
"""Tokens that are enough for every answer: with a token a byte, and each character of a string
written as an escape or as four bytes."""

_VALIDATOR = Draft202012Validator(SCHEMA)
_STRING = re.compile(r'"(\\.|[^"\\])*"')


def problems(text):
    return [error.message for error in _VALIDATOR.iter_errors(json.loads(text))]


def outside_of_strings(text):
    return _STRING.sub("", text)
