"""Who works on the shards of a step: this process, several, or a Ray cluster; same bytes from each.

A shard is done when its count stands beside it, written last. A second run goes on with those that
have none.
"""

from __future__ import annotations

import json
import multiprocessing
import multiprocessing.connection
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from stillhouse.core.errors import AccountingError, StillhouseError
from stillhouse.core.files import write_json
from stillhouse.core.protocols import Progress, no_progress
from stillhouse.core.rows import Outcome, Row, StepCount
from stillhouse.data.account import (
    GlobalStep,
    Step,
    account_for,
    add_counts,
    check_balance,
    check_names,
)
from stillhouse.data.row_columns import count_rows, iterate_column
from stillhouse.data.shards import shard_paths
from stillhouse.data.storage import read_rows_file, write_ended, write_rows

T = TypeVar("T")
R = TypeVar("R")

ENDED = "ended"
COUNTS = "counts"


class Executor(Protocol):
    """Whoever calls a function for each of several arguments, in any order."""

    def run(self, function: Callable[[T], R], arguments: Sequence[T]) -> Iterator[tuple[int, R]]:
        """The place of an argument with its result, as they are done."""


class Inline:
    """This process, one after the other."""

    def run(self, function: Callable[[T], R], arguments: Sequence[T]) -> Iterator[tuple[int, R]]:
        """The place of an argument with its result, as they are done."""
        for place, argument in enumerate(arguments):
            yield place, function(argument)


@dataclass(frozen=True, slots=True)
class Processes:
    """Several processes of this machine, started afresh so that they share nothing with this one.

    Attributes:
        workers: how many.
    """

    workers: int

    def run(self, function: Callable[[T], R], arguments: Sequence[T]) -> Iterator[tuple[int, R]]:
        """The place of an argument with its result, as they are done.

        Args:
            function: picklable; sent once to each process.
            arguments: picklable.

        Yields:
            (place, result).

        Raises:
            StillhouseError: a process was ended from outside, most often for its memory.
        """
        context = multiprocessing.get_context("spawn")
        workers = max(1, min(self.workers, len(arguments)))
        with ProcessPoolExecutor(workers, context, _start_worker, (function,)) as pool:
            waiting = {pool.submit(_call, one): place for place, one in enumerate(arguments)}
            try:
                for done in as_completed(waiting):
                    yield waiting[done], done.result()
            except BrokenProcessPool as error:
                raise StillhouseError(
                    "a process that works on rows was ended from outside, most often because the "
                    "memory of the machine was used up",
                    f"run again, which goes on where this ended; set compute.threads below "
                    f"{workers} for less memory at once",
                ) from error
            finally:
                pool.shutdown(wait=True, cancel_futures=True)


_work: list[Callable[[Any], Any]] = []
"""What a worker does; sent once to each, for it may hold a decision about millions of rows."""


def _start_worker(function: Callable[[Any], Any]) -> None:
    _end_with_parent()
    _work.append(function)


def _call(argument: Any) -> Any:
    return _work[0](argument)


def _end_with_parent() -> None:
    """End this process when the one that started it is gone, however it went."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def run_sharded(
    step: Step, source: Path, out: Path, executor: Executor, progress: Progress = no_progress
) -> StepCount:
    """Do a step to every shard of a folder.

    Args:
        step: picklable.
        source: a folder of shards.
        out: gets the same shards with the rows that go on, beside them `ended/` with those that
            do not, and `counts/`; shards that are there already are not made again.
        executor: who does it.
        progress: hears of every shard.

    Returns:
        The count of the whole step.

    Raises:
        AccountingError: a row has no outcome, or no name or origin of its own; or the step needs
            all rows at once.
    """
    if step.kind == "whole":
        raise AccountingError(f"step {step.name} needs all rows at once, a shard is only some")
    if step.kind == "remote":
        executor = Inline()
    shards = shard_paths(source)
    (out / COUNTS).mkdir(parents=True, exist_ok=True)
    decision = None
    missing = [shard for shard in shards if not _count_path(out, shard).is_file()]
    if step.kind == "global" and missing:
        looks = executor.run(partial(_look, step), shards)
        decision = cast(GlobalStep, step).decide([look for _, look in sorted_by_place(looks)])
    done = len(shards) - len(missing)
    progress(done, len(shards), "shards")
    for _ in executor.run(partial(_do, step, decision, out), missing):
        done += 1
        progress(done, len(shards), "shards")
    count = add_counts([_read_count(_count_path(out, shard)) for shard in shards])
    check_balance([count], count_rows(source), count_rows(out))
    into = {*iterate_column(out / ENDED, "into")} - {""}
    check_names(step.name, [*iterate_column(out, "row_id")], into)
    return count


def forget_waiting(out: Path) -> None:
    """Let the next run do those shards again in which rows wait for an answer.

    Args:
        out: what `run_sharded` wrote.
    """
    for path in (out / COUNTS).iterdir():
        if _read_count(path).deferred:
            path.unlink()


def sorted_by_place(results: Iterator[tuple[int, R]]) -> list[tuple[int, R]]:
    """Results in the order of their arguments."""
    return sorted(results, key=lambda result: result[0])


def _look(step: Step, shard: Path) -> Any:
    return cast(GlobalStep, step).look(read_rows_file(shard))


def _do(step: Step, decision: Any, out: Path, shard: Path) -> None:
    rows = read_rows_file(shard)
    kept, ended, count = account_for(step.name, rows, _outcomes(step, rows, decision))
    write_rows(out / shard.name, kept)
    write_ended(out / ENDED / shard.name, ended)
    write_json(_count_path(out, shard), asdict(count))


def _outcomes(step: Step, rows: Sequence[Row], decision: Any) -> list[Outcome]:
    if step.kind == "global":
        return cast(GlobalStep, step).settle(rows, decision)
    return step.process(rows)


def _count_path(out: Path, shard: Path) -> Path:
    return out / COUNTS / f"{shard.stem}.json"


def _read_count(path: Path) -> StepCount:
    return StepCount(**json.loads(path.read_text(encoding="utf-8")))
