"""A row is followed through steps that keep, change, multiply and drop it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from tests.data.test_balance import Toy

from stillhouse.core.rows import Drop, Emit, Keep, Merge, Row
from stillhouse.data import shards
from stillhouse.data.execution import Inline, run_sharded
from stillhouse.data.history import stored_outcomes, trace_row
from stillhouse.data.prepare import build_steps, prepare_rows
from stillhouse.data.readers import build_rows
from stillhouse.data.shards import read_shards, write_shards
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


def test_what_steps_wrote_down_tells_of_every_row_what_they_did(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "SHARD_ROWS", 100)
    rows = list(build_rows((f"t:{place}", {"n": place}) for place in range(60)))
    write_shards(tmp_path / "0", rows, len(rows))
    steps = [Toy(1), Toy(2), Toy(3)]
    known = {row.row_id for row in rows}
    for place, step in enumerate(steps):
        out = tmp_path / str(place + 1)
        run_sharded(step, tmp_path / str(place), out, Inline())
        known |= {row.row_id for row in read_shards(out)}
    stored = [
        (step.name, partial(stored_outcomes, tmp_path / str(place + 1)))
        for place, step in enumerate(steps)
    ]
    rows = list(read_shards(tmp_path / "0"))

    outcomes = set()
    for row_id in known:
        told, again = (trace_row(rows, way, row_id) for way in (stored, named(*steps)))
        assert told.row == again.row
        assert row_id in {told.row.row_id, *told.descendants} | {
            one.row_id for one in told.accounts
        }
        assert sorted(told.descendants) == sorted(again.descendants)
        assert sorted(map(repr, told.accounts)) == sorted(map(repr, again.accounts))
        outcomes |= {one.outcome for one in told.accounts}
    assert outcomes == {"changed", "made", "dropped", "merged", "deferred"}


def test_a_row_tells_who_was_merged_into_it():
    class Merging:
        name, version, kind = "merging", 1, "map"

        def process(self, batch):
            return [Keep(batch[0]), *(Merge(row, batch[0].row_id) for row in batch[1:])]

    rows = [_row(name) for name in "abc"]

    told = trace_row(rows, named(Merging()), "a")

    assert [(one.row_id, one.outcome, one.detail) for one in told.accounts] == [
        ("a", "kept", ""), ("b", "merged", "into a"), ("c", "merged", "into a"),
    ]  # fmt: skip
    assert [one.row_id for one in trace_row(rows, named(Merging()), "b").accounts] == ["b"]
