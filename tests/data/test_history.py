"""A row is followed through steps that keep, change, multiply and drop it."""

from __future__ import annotations

from dataclasses import replace

from stillhouse.core.rows import Drop, Emit, Keep, Row
from stillhouse.data.history import trace_row
from stillhouse.data.prepare import build_steps, prepare_rows
from stillhouse.recipes.rows import Prepare


class _Doubling:
    name, version, kind = "doubling", 1, "expand"

    def process(self, batch):
        def twins(row):
            names = (row.row_id + "-a", row.row_id + "-b")
            return tuple(replace(row, row_id=name, parent_ids=(row.row_id,)) for name in names)

        return [Emit(row, twins(row)) for row in batch]


class _NoTwins:
    name, version, kind = "no twins", 1, "map"

    def process(self, batch):
        return [
            Drop(row, "a twin", "its name ends in b") if row.row_id.endswith("b") else Keep(row)
            for row in batch
        ]


def named(*steps):
    return [(step.name, step.process) for step in steps]


def _row(name, **fields):
    return Row(name, {"text": f"question {name}", "answer": "yes"} | fields, f"rows.csv:{name}")


def test_what_is_made_of_a_row_is_followed_to_its_end():
    rows = [_row("r1"), _row("r2")]

    for name in ("r1", "r1-a", "r1-b"):
        history = trace_row(rows, named(_Doubling(), _NoTwins()), name)

        told = [(one.step, one.row_id, one.outcome) for one in history.accounts]
        assert told == [
            ("doubling", "r1", "made"),
            ("no twins", "r1-a", "kept"),
            ("no twins", "r1-b", "dropped"),
        ]
        assert history.accounts[2].detail == "a twin (its name ends in b)"
        assert history.row is rows[0]
        assert history.descendants == ("r1-a",)


def test_a_row_that_is_not_there_has_no_history():
    assert trace_row([_row("r1")], named(_Doubling()), "r3") is None
    assert trace_row([], named(_Doubling()), "r3") is None


def test_the_steps_of_a_recipe_tell_of_every_row_what_prepare_did():
    prepare = Prepare.model_validate(
        {
            "user": "{text}",
            "answer": "answer",
            "split": {"parts": {"holdout": 2, "labelled": "rest"}},
        }
    )
    rows = [_row(f"r{i}") for i in range(8)]
    rows += [_row("copy", text="question r3"), _row("empty", text="  ")]
    prepared = prepare_rows(rows, prepare)
    dropped = {drop.row.row_id: drop.reason for drop in prepared.dropped}
    parts = {one.example_id: one.part for one in prepared.examples}

    for row in rows:
        last = trace_row(rows, named(*build_steps(prepare)), row.row_id).accounts[-1]

        if row.row_id in dropped:
            assert last.outcome == "dropped"
            assert last.detail.startswith(dropped[row.row_id])
        else:
            assert last.detail == f"dealt to the part {parts[row.row_id]}"
    assert set(dropped.values()) == {"empty prompt", "duplicate"}
