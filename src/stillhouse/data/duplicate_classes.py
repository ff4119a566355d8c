"""Which rows repeat others: the same question and answer, or one of the two with another.

    exact_duplicates   the same question with the same answer
    same_question      the same question with different answers
    same_answer        the same answer to different questions

A row may be of several kinds. A group is named by the smallest id of its rows.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from stillhouse.core.hashing import digest_text
from stillhouse.core.rows import Keep, Outcome, Row
from stillhouse.data.shards import shard_paths
from stillhouse.data.storage import read_rows_file, row_of
from stillhouse.recipes.row_checks import ReportDuplicates

_LOOK = pa.schema({name: pa.string() for name in ("row_id", "question", "answer")})
_AT_THE_END = re.compile(r"[\s.,;:!?。？！؟]+$")
_DIGITS = 32
_FETCHED = 1000

_GROUPS = {
    "exact_duplicates": """
        SELECT row_id, min(row_id) OVER pair AS first FROM looks WHERE answer IS NOT NULL
        WINDOW pair AS (PARTITION BY question, answer) QUALIFY count(*) OVER pair > 1""",
    "same_question": """
        SELECT row_id, min(row_id) OVER same AS first FROM looks WHERE answer IS NOT NULL
        WINDOW same AS (PARTITION BY question) QUALIFY count(DISTINCT answer) OVER same > 1""",
    "same_answer": """
        SELECT row_id, min(row_id) OVER same AS first FROM looks WHERE answer IS NOT NULL
        WINDOW same AS (PARTITION BY answer) QUALIFY count(DISTINCT question) OVER same > 1""",
}


def normalised(text: str) -> str:
    """What two texts have in common that count as the same.

    Args:
        text: any.

    Returns:
        In its compatibility form and one case, blanks made one, none and no punctuation at the end.
        Signs inside stay: `5 - 3` is not `5 + 3`.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return _AT_THE_END.sub("", " ".join(folded.split()))


def look_at(rows: Sequence[Row], wanted: ReportDuplicates) -> pa.Table:
    """A digest of question and answer of each row that has a question.

    Args:
        rows: any.
        wanted: which fields.

    Returns:
        Small beside the rows; the answer is null where a row has none.
    """
    found = [
        (
            row.row_id,
            _digest(row.fields.get(wanted.question)),
            _digest(row.fields.get(wanted.answer)),
        )
        for row in rows
    ]
    asked = [one for one in found if one[1] is not None]
    columns = zip(*asked, strict=True) if asked else ((), (), ())
    return pa.table([pa.array(list(one), pa.string()) for one in columns], schema=_LOOK)


def _digest(value: object) -> str | None:
    text = normalised(value) if isinstance(value, str) else ""
    return digest_text(text)[:_DIGITS] if text else None


def classes_of(looks: Sequence[pa.Table]) -> dict[str, list[tuple[str, str]]]:
    """The rows of each kind.

    Args:
        looks: of all rows, in any order.

    Returns:
        Kind to (row id, group), group by group.
    """
    import duckdb

    with duckdb.connect() as database:
        database.register("looks", pa.concat_tables([*looks, _LOOK.empty_table()]))
        return {
            kind: database.sql(f"SELECT * FROM ({query}) ORDER BY first, row_id").fetchall()
            for kind, query in _GROUPS.items()
        }


@dataclass(frozen=True, slots=True)
class ReportDuplicatesStep:
    """Notes of each row which kinds of repetition it is part of."""

    wanted: ReportDuplicates
    name: str = "report_duplicates"
    version: int = 1
    kind: str = "global"

    def process(self, batch: Sequence[Row]) -> list[Outcome]:
        """Keep every row."""
        return self.settle(batch, self.decide([self.look(batch)]))

    def look(self, batch: Sequence[Row]) -> pa.Table:
        """Digests of what each row asks and answers."""
        return look_at(batch, self.wanted)

    def decide(self, looks: Sequence[pa.Table]) -> dict[str, tuple[str, ...]]:
        """The kinds of each row that repeats another."""
        found: dict[str, tuple[str, ...]] = {}
        for kind, rows in classes_of(looks).items():
            for row_id, _ in rows:
                found[row_id] = (*found.get(row_id, ()), kind.replace("_", " "))
        return found

    def settle(
        self, batch: Sequence[Row], decision: Mapping[str, tuple[str, ...]]
    ) -> list[Outcome]:
        """Keep every row."""
        return [Keep(row, decision.get(row.row_id, ())) for row in batch]


def iterate_duplicates(
    folder: Path, wanted: ReportDuplicates, kind: str
) -> Iterator[tuple[str, Row]]:
    """The rows of one kind, group by group.

    Args:
        folder: of shards.
        wanted: which fields.
        kind: one of `row_checks.DUPLICATES`.

    Yields:
        (group, row); sorted outside memory where they are many.
    """
    import duckdb

    shards = shard_paths(folder)
    found = classes_of([look_at(read_rows_file(path), wanted) for path in shards])[kind]
    groups = pa.table(
        [pa.array([one[place] for one in found], pa.string()) for place in (0, 1)],
        names=["row_id", "first"],
    )
    with duckdb.connect() as database:
        database.register("groups", groups)
        rows = database.execute(
            "SELECT first, shards.* FROM read_parquet($1) AS shards JOIN groups USING (row_id) "
            "ORDER BY first, row_id",
            [[str(path) for path in shards]],
        )
        names = [column[0] for column in rows.description or ()]
        while some := rows.fetchmany(_FETCHED):
            for one in some:
                record = dict(zip(names, one, strict=True))
                yield record["first"], row_of(record)
