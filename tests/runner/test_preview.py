"""What a look at some of the rows says of all of them."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

from stillhouse.runner import preview as looked
from stillhouse.runner.check import check_recipe
from stillhouse.runner.opening import open_place, open_recipe
from stillhouse.runner.resolve import resolve

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"

SCRATCH = {"scratch": {"model_type": "qwen3", "tokenizer": {"vocab_size": 300}}}
COUNTED = {"labelled": "rest", "validation": 10, "holdout": 20}


@pytest.fixture
def parts_of(tmp_path, monkeypatch):
    """The examples of each part as `check` tells them, by how many of 300 rows are looked at."""
    rows = [{"q": f"what is {i}?", "a": f"it is {i}", "by": ("own", "nobody")[i % 2]}
            for i in range(300)]  # fmt: skip
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def check(looked_at, parts, **collect):
        recipe = {
            "name": "small",
            "teacher": SCRATCH,
            "student": {"scratch": {"model_type": "qwen3"}},
            "collect": {"source": {"file": "rows.jsonl"}} | collect,
            "prepare": {"user": "{q}", "answer": "a", "split": {"parts": parts}},
            "finetune": {"length": {"steps": 1, "batch_size": 4}, "parts": ["labelled"]},
            "label": {"parts": ["labelled"], "completions": "gold", "max_new_tokens": 8},
            "train": {"length": {"steps": 1, "batch_size": 4}, "parts": ["labelled"]},
        }
        (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
        monkeypatch.setattr(looked, "_MOST_ROWS", looked_at)
        loaded, opened = open_recipe(str(tmp_path / "recipe.yaml"))
        place = open_place(opened, str(tmp_path / "runs"), "")
        return check_recipe(loaded, opened, place).parts

    return check


@pytest.mark.parametrize(
    "parts",
    [
        COUNTED,
        {"labelled": "rest", "validation": 0.1, "holdout": 20},
        {"labelled": 250, "validation": 10, "holdout": 20},  # more than are looked at
    ],
)
def test_parts_given_as_counts_are_told_as_the_run_makes_them(parts_of, parts):
    made = parts_of(1000, parts)
    assert parts_of(200, parts) == made == parts_of(60, parts)
    assert made["holdout"] == 20


def test_a_limit_beyond_the_rows_makes_no_more_of_them(parts_of):
    assert sum(parts_of(60, COUNTED, limit=90_000).values()) == 300


def test_rows_that_may_not_be_used_make_the_others_stand_for_no_less(parts_of):
    rights = {"rights": {"licence_field": "by"}}
    made = parts_of(1000, COUNTED, **rights)
    assert sum(made.values()) == 150
    assert parts_of(60, COUNTED, **rights) == made


def test_of_songs_that_stand_in_for_a_collection_a_few_are_looked_at(tmp_path, monkeypatch):
    shutil.copy(HOW_TO / "collect.yaml", tmp_path)
    (tmp_path / "queries.csv").write_text("words,artist,title,genre,label\ngrace,,,,\n")
    (tmp_path / "hymns.jsonl").write_text('{"title": "a", "artist": "b", "lyrics": "la"}\n')
    monkeypatch.setattr(looked, "_MOST_MADE", 25)

    seen = looked.preview(resolve(*open_recipe(str(tmp_path / "collect.yaml"))))

    parts = Counter(one.part for one in seen.examples)
    assert (len(seen.examples), seen.scale) == (25, 4.0)
    assert parts == {"holdout": 5, "labelled": 5, "teacher": 15}
    assert {one.answer for one in seen.examples} == {"christian", "secular"}
