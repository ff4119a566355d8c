"""What stands in for the language models of a chain of steps: rules that reword, and err at times.

Each answer follows from the question alone. One in eight is of no use, in one of the ways in which
models fail.
"""

from __future__ import annotations

import json
from hashlib import sha256

from stillhouse.data.blanks import ask_for_blanks

_FAILS = ("I'm sorry, but I can't help with that.", "", "Was ist damit gemeint?", "word " * 900)
_LEAD = {
    "formal": "Kindly state the following:",
    "casual": "Hey, quick one:",
    "plainly": "Put in other words,",
    "several": "As regards this row,",
}


def say(body, number):
    """The answer to a step's question."""
    system, told = body["messages"][0]["content"], body["messages"][-1]["content"]
    parts = json.loads(told)
    if "belongs into a collection" in system:
        return _belongs(parts)
    draw = int(sha256((system + told + body["model"]).encode()).hexdigest()[:8], 16)
    if draw % 8 == 0:
        return (*_FAILS, f"It is {parts.get('answer', '')}, isn't it?")[draw // 8 % 5]
    text = parts["text"]
    if "fill-in-the-blank" in system:
        return f"Question: {ask_for_blanks(text, parts['answer'])}"
    if "multiple choice" in system:
        return text if text.endswith("?") else f"{text.rstrip('.:')}, which one is it?"
    tone = next(tone for tone in _LEAD if tone in system.casefold())
    return f"{_LEAD[tone]} {text}"


def _belongs(parts):
    is_other = any("chapter" in text for text in parts["row"])
    return json.dumps(
        {"reason": "it refers to a book" if is_other else "", "belongs": not is_other}
    )
