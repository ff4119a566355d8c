"""A child that builds a cache of the teacher's targets for a piece of work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from measure import Child, Turns, resident_bytes

TOP_K = 64


def build_store(spec: dict[str, Any], folder: Path, threads: int) -> dict[str, Any]:
    """Build a store in a process of its own.

    Args:
        spec: of the work, and `dtype`.
        folder: of the store.
        threads: of the process.

    Returns:
        `wall` and `cpu` seconds, models and imports left out; `extra_bytes` above imports;
        `bytes_per_token` of the files; `measured`, what the measured steps hold.
    """
    told = {**spec, "capture": str(folder), "threads": threads}
    with Child(told, threads) as child:
        return child.turn()


def capture(spec: dict[str, Any]) -> None:
    """One turn: score every row and write the store."""
    turns = Turns()
    import torch

    from stillhouse.models.score import score_batch
    from stillhouse.models.scoring import Scoring
    from stillhouse.targets.header import TargetHeader
    from stillhouse.targets.write import TargetWriter
    from workload import Work

    torch.set_num_threads(spec["threads"])
    imported, folder = resident_bytes(), Path(spec["capture"])
    work = Work.of(spec)
    teacher, rows = work.teacher(), work.rows()
    header = TargetHeader(
        engine="benchmark",
        weights_digest="random",
        tokenizer_digest="random",
        template_digest="random",
        vocab_size=work.vocab,
        top_k=TOP_K,
    )
    texts = [(str(number), row) for number, row in enumerate(rows)]
    turns.report()
    turns.wait()
    with TargetWriter(folder, header, len(rows)) as writer:
        for targets in score_batch(teacher, texts, Scoring(work.vocab, TOP_K)):
            writer.append(targets)
    stored = sum(path.stat().st_size for path in folder.iterdir())
    tokens = sum(row.num_trained for row in rows)
    turns.report(
        extra_bytes=resident_bytes(peak=True) - imported,
        bytes_per_token=stored / tokens,
        measured=work.measured_tokens(),
    )
