"""Damage to a sound reply, chosen by whoever draws: hypothesis, or atheris from its bytes."""

import copy
import json

from tests.fuzz.samples import as_bytes

HARD = (
    *(None, True, False, 0, -1, -5.5, 2**63, -(2**70), 10**400, 1e308, "", " ", "\x00", "\ud800"),
    *("x" * 5000, "-inf", "nan", "1e999", "\u202e\u0301" * 50, "<html>", "a" * 60, [], {}, [[]]),
    *([None], {"": None}, [{}] * 3, {"text": 5}, {"content": [1]}, [1, "a", None]),
)
TEXTS = (
    *(b"", b" ", b"null", b"[]", b"{}", b"\xff\xfe", b"<html>blocked</html>", b"[" * 100_000),
    *(b'{"a":' * 50_000, b"NaN", b"1" * 6000, b'"\\ud800"', b"\xef\xbb\xbf[]", b"{}{}"),
)


def places_of(value, path=()):
    """Every place in a JSON value."""
    yield path
    if isinstance(value, dict | list):
        children = value.items() if isinstance(value, dict) else enumerate(value)
        for key, child in children:
            yield from places_of(child, (*path, key))


def damaged(start, draw):
    """The bytes of a reply with one to four places changed.

    Args:
        start: a sound reply.
        draw: gives a number below its argument.

    Returns:
        JSON, most often; sometimes cut, or no JSON at all.
    """
    if draw(16) == 0:
        return TEXTS[draw(len(TEXTS))]
    if isinstance(start, bytes):
        return _scrambled(start, draw)
    value = copy.deepcopy(start)
    for _ in range(1 + draw(4)):
        value = _changed(value, draw)
    content = json.dumps(value).encode()
    return content[: draw(len(content) + 1)] if draw(8) == 0 else content


def _changed(value, draw):
    places = list(places_of(value))
    path = places[draw(len(places))]
    wanted = copy.deepcopy(HARD[draw(len(HARD))])
    if not path:
        return wanted if draw(4) == 0 else value
    parent = value
    for key in path[:-1]:
        parent = parent[key]
    what = draw(4)
    if what == 0:
        del parent[path[-1]]
    elif what == 1 and isinstance(parent, list):
        parent.extend(copy.deepcopy(parent[:20]))
    else:
        parent[path[-1]] = wanted
    return value


def _scrambled(start, draw):
    content = bytearray(as_bytes(start))
    for _ in range(1 + draw(6)):
        place = draw(len(content) + 1)
        piece = bytes(draw(256) for _ in range(draw(4)))
        content[place : place + draw(3)] = piece
    return bytes(content)
