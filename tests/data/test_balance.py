"""Every chain of steps accounts for every row, and no step that cheats gets by."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass, replace
from itertools import chain, pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stillhouse.core.errors import AccountingError
from stillhouse.core.hashing import digest_text
from stillhouse.core.rows import Defer, Drop, Emit, Keep, Merge
from stillhouse.data import shards
from stillhouse.data.account import check_balance
from stillhouse.data.execution import ENDED, Inline, run_sharded
from stillhouse.data.pairing import PairStep, Setting
from stillhouse.data.readers import build_rows
from stillhouse.data.row_steps import build_row_step
from stillhouse.data.shards import read_shards, shard_paths, write_shards
from stillhouse.data.steps import CleanStep
from stillhouse.data.storage import read_ended, write_rows
from stillhouse.recipes.data_steps import (
    ConvertBlanks,
    ConvertChoices,
    DropWhere,
    MergeNearDuplicates,
    PairWith,
)
from stillhouse.recipes.field_steps import Rescale
from stillhouse.recipes.meaning_steps import DropOutliers, MergeSemanticDuplicates
from stillhouse.recipes.row_checks import ReportDuplicates, Require
from stillhouse.recipes.rows import Clean
from stillhouse.recipes.text_steps import DropStyleReferences, FindInstructions, ScrubPersonal

NUM_ROWS = 24


@dataclass(frozen=True)
class Toy:
    """Keeps, drops, emits, merges and defers by what a row's name and a salt say."""

    salt: int
    name: str = "toy"
    version: int = 1
    kind: str = "map"

    def process(self, batch):
        kept = next((row for row in batch if self.draw(row) < 8), None)
        return [self.judge(row, kept) for row in batch]

    def draw(self, row):
        return int(digest_text(f"{self.salt}{row.row_id}")[0], 16)

    def judge(self, row, kept):
        draw = self.draw(row)
        if draw < 8:
            return Keep(replace(row, fields=row.fields | {"seen": self.salt}), ("seen",))
        if draw < 11:
            return Emit(row, tuple(made_of(row, draw - 7)))
        if draw < 13:
            return Drop(row, f"reason {draw}")
        if draw < 15 and kept:
            return Merge(row, kept.row_id)
        return Defer(row, "nobody answered")


def made_of(row, number):
    """The row itself and children, whose names no later step of this kind gives again."""
    row = replace(row, fields=row.fields | {"times": row.fields.get("times", 0) + 1})
    yield row
    yield from (child_of(row, f"{row.fields['times']}.{place}") for place in range(number))


def child_of(row, place):
    name = digest_text(f"{row.row_id}\n{place}")[:20]
    root = row.root_id or row.row_id
    return replace(row, row_id=name, root_id=root, parent_ids=(row.row_id,))


def first_emits(rows, outcomes, *made):
    return [Emit(rows[0], made), *outcomes[1:]]


CHEATS = {
    "loses a row": lambda rows, all_: all_[1:],
    "loses the last row": lambda rows, all_: all_[:-1],
    "has no outcome": lambda rows, all_: [None, *all_[1:]],
    "doubles an outcome": lambda rows, all_: [*all_, all_[-1]],
    "doubles a row": lambda rows, all_: first_emits(rows, all_, rows[0], rows[0]),
    "takes a name that is taken": lambda rows, all_: first_emits(
        rows, all_, replace(child_of(rows[0], 0), row_id=rows[-1].row_id)
    ),
    "renames a row": lambda rows, all_: [Keep(replace(rows[0], row_id="f" * 20)), *all_[1:]],
    "judges another row": lambda rows, all_: [Drop(rows[-1], "odd"), *all_[1:]],
    "emits nothing": lambda rows, all_: first_emits(rows, all_),
    "emits an orphan": lambda rows, all_: first_emits(
        rows, all_, replace(child_of(rows[0], 0), parent_ids=())
    ),
    "emits a child of another root": lambda rows, all_: first_emits(
        rows, all_, replace(child_of(rows[0], 0), root_id="e" * 20)
    ),
    "forgets where a row is from": lambda rows, all_: [
        Keep(replace(rows[0], root_id="e" * 20)), *all_[1:]
    ],
    "merges into nothing": lambda rows, all_: [Merge(rows[0], "d" * 20), *all_[1:]],
    "merges into itself": lambda rows, all_: [Merge(rows[0], rows[0].row_id), *all_[1:]],
}  # fmt: skip


@dataclass(frozen=True)
class Cheat:
    """Keeps every row but does one thing wrong in the shard of one row."""

    how: str
    row_id: str
    name: str = "cheat"
    version: int = 1
    kind: str = "map"

    def process(self, batch):
        outcomes = [Keep(row) for row in batch]
        if all(row.row_id != self.row_id for row in batch):
            return outcomes
        rows = sorted(batch, key=lambda row: row.row_id != self.row_id)
        if len(rows) == 1 and self.how in ("takes a name that is taken", "judges another row"):
            return []
        order = [batch.index(row) for row in rows]
        wrong = CHEATS[self.how](rows, outcomes)
        if len(wrong) != len(rows):
            return wrong
        return [wrong[order.index(place)] for place in range(len(rows))]


@dataclass(frozen=True)
class SameChild:
    """Makes one more row of each of two rows, both of one name, whatever shards they lie in."""

    parents: tuple[str, str]
    name: str = "same_child"
    version: int = 1
    kind: str = "map"

    def process(self, batch):
        return [self.judge(row) for row in batch]

    def judge(self, row):
        if row.row_id not in self.parents:
            return Keep(row)
        return Emit(row, (row, replace(child_of(row, 0), row_id="a" * 20)))


SETTINGS = (
    DropWhere(field="verdict", equals=("no", 3)),
    ConvertBlanks(),
    ConvertChoices(),
    ConvertChoices(unmatched="keep", of_the_following="drop"),
    MergeNearDuplicates(),
    MergeNearDuplicates(on="answer", threshold=0.4),
    MergeSemanticDuplicates(by="tfidf", threshold=0.6),
    DropOutliers(keywords=("cat",), at_most=2, suspects="drop"),
    Require(fields={"question": "text", "answer": "text"}),
    ReportDuplicates(),
    ScrubPersonal(),
    DropStyleReferences(),
    FindInstructions(drop=True),
    # Wide, so that a chain may have it twice.
    Rescale(field="answer", scale=(-1e300, 1e300), to=(-1e299, 1e299)),
)
REAL = (
    CleanStep(Clean()),
    CleanStep(Clean(normalize="ascii")),
    *map(build_row_step, SETTINGS),
)
PAIR = PairStep(
    PairWith(file="x", at_least=1, at_most=2, **{"as": "tone"}),
    [Setting("a", "kind"), Setting("b", "stern")],
)

texts = st.one_of(
    st.sampled_from(
        [
            "A debt is ____.",
            "What is 2?\n(a) odd\n(b) even",
            "Which of the following is red? A. sky B. blood",
            "The cat sat on the mat by the door",
            "the cat sat on the mat by the door!",
            "",
            "Ünïcode\u200b \u732b $5 50%",
        ]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
)
fields = st.fixed_dictionaries(
    {"question": texts},
    optional={
        "answer": st.one_of(texts, st.sampled_from("ab"), st.none(), st.integers(0, 9)),
        "verdict": st.sampled_from(["yes", "No", 3, None]),
    },
)
tables = st.lists(fields, min_size=1, max_size=NUM_ROWS)
steps = st.one_of(st.sampled_from(REAL), st.builds(Toy, st.integers(0, 9)))
chains = st.tuples(st.lists(steps, min_size=1, max_size=4), st.booleans(), st.integers(0, 4)).map(
    lambda drawn: [*drawn[0][: drawn[2]], *([PAIR] if drawn[1] else []), *drawn[0][drawn[2] :]]
)
shard_sizes = st.sampled_from([2, 5, 100])


def follow(table, pipeline, shard_rows):
    """Counts, with the rows before the first step and after each."""
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "SHARD_ROWS", shard_rows)
        folder = Path(name)
        rows = list(build_rows((f"t:{place}", one) for place, one in enumerate(table)))
        write_shards(folder / "0", rows, len(rows))
        counts, flow, ended = [], [rows], []
        for place, step in enumerate(pipeline):
            out = folder / str(place + 1)
            counts.append(run_sharded(step, folder / str(place), out, Inline()))
            flow.append(list(read_shards(out)))
            gone = map(read_ended, shard_paths(out / ENDED))
            ended.append(list(chain.from_iterable(gone)))
        return counts, flow, ended


def check_pipeline(table, pipeline, shard_rows):
    counts, flow, ended = follow(table, pipeline, shard_rows)

    check_balance(counts, len(table), len(flow[-1]))
    roots = {row.row_id for row in flow[0]}
    for (before, after), gone, count in zip(pairwise(flow), ended, counts, strict=True):
        names = [row.row_id for row in before]
        alive = Counter(row.row_id for row in after)
        new = [row for row in after if row.row_id not in names]
        parents = {name for row in new for name in row.parent_ids}
        over = Counter(one.row.row_id for one in gone)
        assert max([*alive.values(), *over.values()], default=1) == 1
        for name in names:
            assert (name in over) != (name in alive or name in parents)
        assert {row.root_id or row.row_id for row in after} <= roots
        assert len(gone) == count.rows_in + count.emitted - count.rows_out


def check_cheat(table, pipeline, shard_rows, how, choice):
    _, flow, _ = follow(table, pipeline, shard_rows)
    if flow[-1]:
        chosen = flow[-1][choice % len(flow[-1])].row_id
        with pytest.raises(AccountingError, match="step cheat"):
            follow(table, [*pipeline, Cheat(how, chosen)], shard_rows)


random_pipelines = given(tables, chains, shard_sizes)
random_cheats = given(tables, chains, shard_sizes, st.sampled_from(sorted(CHEATS)), st.integers(0))
few = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
many = settings(few, max_examples=1000)

test_random_pipelines_balance = few(random_pipelines(check_pipeline))
test_a_planted_cheat_is_caught = few(random_cheats(check_cheat))
test_a_thousand_random_pipelines_balance = pytest.mark.long(many(random_pipelines(check_pipeline)))
test_a_thousand_planted_cheats_are_caught = pytest.mark.long(many(random_cheats(check_cheat)))


@pytest.mark.parametrize("how", sorted(CHEATS))
def test_each_cheat_is_caught(how):
    table = [{"question": str(place)} for place in range(9)]
    check_cheat(table, [], 3, how, 0)


@pytest.mark.parametrize("shard_rows", [1, 100])
def test_two_rows_of_one_name_are_caught_across_shards(shard_rows):
    table = [{"question": str(place)} for place in range(9)]
    _, flow, _ = follow(table, [], shard_rows)
    parents = flow[0][0].row_id, flow[0][-1].row_id

    with pytest.raises(AccountingError, match=f"the row {'a' * 20} goes on 2 times"):
        follow(table, [SameChild(parents)], shard_rows)


def test_a_shard_that_lost_a_row_since_it_was_counted_is_caught(tmp_path):
    rows = list(build_rows((f"t:{place}", {"n": place}) for place in range(9)))
    write_shards(tmp_path / "in", rows, len(rows))
    run_sharded(Toy(1), tmp_path / "in", tmp_path / "out", Inline())
    (shard,) = shard_paths(tmp_path / "out")
    write_rows(shard, list(read_shards(tmp_path / "out"))[1:])

    with pytest.raises(AccountingError, match="rows left the last step"):
        run_sharded(Toy(1), tmp_path / "in", tmp_path / "out", Inline())


def test_a_step_that_needs_all_rows_is_not_given_some(tmp_path):
    with pytest.raises(AccountingError, match="step toy needs all rows at once"):
        run_sharded(Toy(1, kind="whole"), tmp_path, tmp_path / "out", Inline())
