"""What a cache costs in time: reading it in a training step, and building it.

The limit of reading is 0: it is copying. The limit of building is 1: the teacher's bare forward
pass, whose head meets only the positions that predict an answer, on both sides.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measure import Child, Goal, Turns, add_lesson, child_spec, parser, print_line, ratio, spread

SIDE_BY_SIDE = 8


def main() -> None:
    """Teach, then let the four measured things take turns."""
    options = parser(__doc__, repeats=5)
    add_lesson(options)
    options.add_argument("--tokens", type=int, default=16_000, help="of scored text")
    options.add_argument("--batch", type=int, default=4)
    told = options.parse_args()
    from taught import Lesson

    sizes = {"vocab": 8192, "layers": 8, "hidden": 512, "seconds": 120}
    tokens, repeats = told.tokens, told.repeats
    if told.quick:
        sizes, tokens = {**sizes, "seconds": 8}, 3000
        repeats = 2
    spec = {**Lesson.of(told, **sizes), "tokens": tokens, "batch": told.batch}
    seconds: dict[str, list[float]] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        Child({**spec, "store": folder}, told.threads) as child,
    ):
        for _ in range(repeats):
            for what in child.ready["things"]:
                seconds.setdefault(what, []).append(child.turn(what=what)[told.clock])
    share = ratio(seconds["read and collate"], seconds["train"])
    capture = ratio(seconds["capture"], seconds["bare forward"])
    figures = {
        **{name: value for name, value in child.ready.items() if name not in ("wall", "cpu")},
        "threads": told.threads,
        "seconds": {name: spread(values) for name, values in seconds.items()},
        "read_and_collate_over_training": share,
        "capture_over_bare_forward": capture,
        "tokens_per_s_read": child.ready["trained_tokens"]
        / spread(seconds["read and collate"])["median"],
    }
    goals = {
        "reading and collating, share of a step": Goal(share["median"], at_most=0.02),
        "capture over a bare forward": Goal(capture["median"], at_most=1.25),
    }
    print_line("store_speed", figures, goals, told.quick)


def child(spec: dict[str, Any]) -> None:
    """A turn does one thing over all rows: the one that it is told."""
    turns = Turns()
    import torch

    from taught import Lesson

    torch.set_num_threads(spec["threads"])
    lesson = Lesson.read(spec)
    rows = lesson.rows("holdout", spec["tokens"])
    vocab = lesson.load_tokenizer().vocab_size
    cache = _Cache(lesson.teacher(), rows, vocab, spec)
    things: dict[str, Callable[[], dict[str, float]]] = {
        "capture": cache.capture,
        "bare forward": cache.bare_forward,
        "read and collate": cache.read_and_collate,
        "train": cache.train,
    }
    for thing in things.values():  # the first of each warms it up; reading needs a store
        thing()
    turns.report(
        things=list(things),
        vocab=vocab,
        rows=len(rows),
        trained_tokens=sum(row.num_trained for row in rows),
    )
    while turns.wait():
        turns.report(**things[turns.told["what"]]())


class _Cache:
    """What is measured, all on the same rows.

    Args:
        teacher: scores.
        rows: are scored and learned.
        vocab: of both models.
        spec: what the child was told.
    """

    def __init__(self, teacher: Any, rows: list[Any], vocab: int, spec: dict[str, Any]) -> None:
        from workload import qwen3

        self._teacher, self._rows, self._vocab = teacher, rows, vocab
        self._student = qwen3(vocab, 4, 256)
        self._store, self._batch = Path(spec["store"]) / "store", spec["batch"]
        self._threads = spec["threads"]
        self._texts = [(str(number), row) for number, row in enumerate(rows)]

    def bare_forward(self) -> dict[str, float]:
        """The teacher's logits at every trained token, and nothing done with them."""
        from stillhouse.models.inference import evaluating
        from stillhouse.models.states import answer_states

        sizes = {"vocab_size": self._vocab, "batch_size": SIDE_BY_SIDE}
        with evaluating(self._teacher):
            for states in answer_states(self._teacher, self._rows, **sizes):
                for _rows, _logits in states.chunks():
                    pass
        return {}

    def capture(self) -> dict[str, float]:
        """Score everything and write the store."""
        from stillhouse.models.score import score_batch
        from stillhouse.models.scoring import Scoring
        from stillhouse.targets.header import TargetHeader
        from stillhouse.targets.write import TargetWriter

        shutil.rmtree(self._store, ignore_errors=True)
        header = TargetHeader(
            engine="benchmark",
            weights_digest="taught",
            tokenizer_digest="given",
            template_digest="none",
            vocab_size=self._vocab,
            top_k=64,
        )
        scoring = Scoring(self._vocab, batch_size=SIDE_BY_SIDE)
        with TargetWriter(self._store, header, len(self._rows)) as writer:
            for targets in score_batch(self._teacher, self._texts, scoring):
                writer.append(targets)
        return {}

    def _examples(self) -> list[Any]:
        from stillhouse.students.examples import EncodedExample
        from stillhouse.targets.read import TargetReader

        reader = TargetReader(self._store)
        return [
            EncodedExample(row.ids, row.is_trained, reader.get(name)) for name, row in self._texts
        ]

    def read_and_collate(self) -> dict[str, float]:
        """Decode every row and lay the batches out."""
        from stillhouse.students.batches import Collator

        collator, read = Collator(0), self._examples()
        for start in range(0, len(read), self._batch):
            collator(read[start : start + self._batch])
        return {}

    def train(self) -> dict[str, float]:
        """One pass; the time of its steps, without opening and saving."""
        from stillhouse.losses.terms import Objective
        from stillhouse.recipes.compute import ResolvedCompute
        from stillhouse.recipes.training import Length, Training
        from stillhouse.students.assignment import TrainingData
        from stillhouse.students.train import Setting, train_model

        times: list[tuple[float, float]] = []

        def progress(*_args: Any, **_shown: Any) -> None:
            times.append((time.perf_counter(), time.process_time()))

        # The first step is not counted: it warms up.
        steps = 1 + -(-len(self._rows) // self._batch)
        training = Training(
            length=Length(steps=steps, batch_size=self._batch, checkpoint_every=steps)
        )
        data = TrainingData(self._examples(), vocab_size=self._vocab)
        compute = ResolvedCompute("cpu", "float32", self._threads)
        with tempfile.TemporaryDirectory() as folder:
            setting = Setting(compute, Path(folder), "benchmark", progress)
            train_model(self._student, data, Objective(), training, setting)
        (wall, cpu), (last_wall, last_cpu) = times[0], times[-1]
        return {"wall": last_wall - wall, "cpu": last_cpu - cpu}


if __name__ == "__main__":
    if (spec := child_spec()) is not None:
        child(spec)
    else:
        main()
