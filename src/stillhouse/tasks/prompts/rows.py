"""Sample rows of prompts: beginnings that an engine makes prompts of, and plain prompts."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib import resources
from itertools import count
from random import Random

from ruamel.yaml import YAML

from stillhouse.core.rows import Row
from stillhouse.data.readers import build_rows
from stillhouse.data.tables import Record

PRESETS = ("clean_image", "photo", "artform")
_LISTS = {
    "clean_image": ("subjects", "places", "lights", "details"),
    "photo": ("subjects", "places", "lights", "films"),
    "artform": ("traditions", "subjects", "details"),
}
_NAMES = {"subjects": "subject", "places": "place", "lights": "light", "details": "detail",
          "films": "film", "traditions": "tradition"}  # fmt: skip


@cache
def sparks() -> dict[str, list[str]]:
    """What can be drawn, by list."""
    text = (resources.files("stillhouse.tasks.prompts") / "sparks.yaml").read_text("utf-8")
    told: dict[str, list[str]] = YAML(typ="safe", pure=True).load(text)
    return told


def generate_rows(rows: int, seed: int, noise: float) -> Iterator[Row]:
    """Rows with the field `preset` and what a prompt of it is to be about, no two alike.

    The presets take turns. The traditions of `artform` take turns too, so that each has an equal
    share. The first rows of a longer list are the shorter list.

    Args:
        rows: how many.
        seed: another seed draws otherwise.
        noise: not used: there is no answer that could be wrong.

    Returns:
        An iterator of rows.
    """
    del noise
    return build_rows(_records(rows, seed))


def _records(rows: int, seed: int) -> Iterator[Record]:
    draw, drawn = Random(f"prompt seeds {seed}"), set[tuple[str, ...]]()
    for index in range(rows):
        preset = PRESETS[index % len(PRESETS)]
        turn = index // len(PRESETS)
        for attempt in count():
            fields = {_NAMES[name]: draw.choice(sparks()[name]) for name in _LISTS[preset]}
            if "tradition" in fields:
                fields["tradition"] = sparks()["traditions"][turn % len(sparks()["traditions"])]
            if attempt > _MOST_DRAWS:
                # The lists are used up: a number makes another beginning of the same words.
                fields["variant"] = str(turn)
            if (key := (preset, *fields.values())) not in drawn:
                break
        drawn.add(key)
        yield f"prompt_seeds@seed{seed}:{index}", {"preset": preset, **fields}


_MOST_DRAWS = 50


OPEN = "open"


def generate_prompts(rows: int, seed: int, noise: float) -> Iterator[Row]:
    """Rows with the fields `preset` and `prompt`: scenes, photographs and open prompts, in turn.

    The first rows of a longer list are the shorter list.

    Args:
        rows: how many.
        seed: another seed draws otherwise.
        noise: probability that a prompt asks for a style behind its own words.

    Returns:
        An iterator of rows, few of which are alike.
    """
    return build_rows(_prompts(rows, seed, noise))


def _prompts(rows: int, seed: int, noise: float) -> Iterator[Record]:
    draw, stylist = Random(f"prompts {seed}"), Random(f"prompts style {seed}")
    presets = ("clean_image", "photo", OPEN)
    for index in range(rows):
        preset = presets[index % len(presets)]
        # Light belongs to nobody, so that it leaves a prompt as open as it is.
        lists = _LISTS.get(preset, (OPEN, "lights"))
        prompt = ", ".join(draw.choice(sparks()[name]) for name in lists)
        style = stylist.choice(sparks()["styles"])
        if stylist.random() < noise:
            prompt = f"{prompt}, {style}"
        yield f"prompts@seed{seed}:{index}", {"preset": preset, "prompt": prompt}
