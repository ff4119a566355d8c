"""What stored targets weigh, by codec and part, and what quantising does to the gradient.

The teacher is taught on the spot, on the text of `--corpus` with the tokenizer of `--tokenizer`.
A part's size is what the packed rows lose without it; the rest of the whole are names, digests,
checksums and the models that each shard carries.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from measure import Child, Goal, Turns, add_lesson, child_spec, parser, print_line

CODECS = {
    "top_k 64": {"codec": "top_k", "top_k": 64},
    "top_k 12": {"codec": "top_k", "top_k": 12},
    "sampled 50": {"codec": "sampled", "top_k": 0, "num_draws": 50},
    "top_k 12 and sampled 50": {"codec": "top_k_sampled", "top_k": 12, "num_draws": 50},
}
DISTANCES = (0.1, 1.0)
"""Of a student that is nearly done and of one that has much to learn, nats of forward KL."""
MOST_NOISE = 50.0
_IDS_AND_COUNTS = ("ids", "kind", "draws", "count")


def main() -> None:
    """Teach, score, store in each codec, read back."""
    options = parser(__doc__, repeats=1)
    add_lesson(options)
    options.add_argument("--tokens", type=int, default=60_000, help="of scored text")
    options.add_argument(
        "--entropy",
        type=float,
        default=3.0,
        help="nats a token to which a teacher that is less sure is sharpened: minutes of teaching "
        "leave it far less sure than a real one, and what is stored depends on that; 0 leaves it",
    )
    told = options.parse_args()
    from taught import Lesson

    sizes = {"vocab": 8192, "layers": 8, "hidden": 512, "seconds": 120}
    if told.quick:
        sizes = {"vocab": 2048, "layers": 2, "hidden": 128, "seconds": 10}
    spec = {
        **Lesson.of(told, **sizes),
        "tokens": 4000 if told.quick else told.tokens,
        "entropy": told.entropy,
    }
    with Child(spec, told.threads) as child:
        found = child.turn()
    by_codec = found["codecs"]
    sampled = by_codec["sampled 50"]
    goals = {
        "top-64, bytes a token": Goal(
            by_codec["top_k 64"]["bytes_per_token"], at_most=150, stretch=120
        ),
        "top-64, error of the gradient": Goal(max(found["gradient_error"].values()), at_most=0.01),
        "sampled 50, ids and counts": Goal(
            sampled["ids_and_counts_bytes_per_token"], at_most=20, stretch=16
        ),
        "sampled 50, whole": Goal(sampled["bytes_per_token"], at_most=26),
    }
    print_line("store_size", found, goals, told.quick)


def child(spec: dict[str, Any]) -> None:
    """One turn: everything."""
    turns = Turns()
    import torch

    from taught import Lesson

    torch.set_num_threads(spec["threads"])
    lesson = Lesson.read(spec)
    teacher = lesson.teacher()
    rows = lesson.rows("holdout", spec["tokens"])
    sharpened = _sharpen(teacher, rows[:24], spec["entropy"])
    turns.report()
    turns.wait()
    tokens = sum(row.num_trained for row in rows)
    vocab = lesson.load_tokenizer().vocab_size
    found = {name: _store(teacher, rows, vocab, codec) for name, codec in CODECS.items()}
    turns.report(
        vocab=vocab,
        scored_tokens=tokens,
        examples=len(rows),
        teacher_loss=_loss(found["top_k 64"]["kept"]),
        **sharpened,
        codecs={
            name: {key: value for key, value in one.items() if key not in ("kept", "read")}
            for name, one in found.items()
        },
        gradient_error=_gradient_errors(teacher, rows, found["top_k 64"]),
    )


def _sharpen(teacher: Any, rows: list[Any], wanted: float) -> dict[str, float]:
    """Multiply the logits until the teacher is as sure as wanted; its entropy before and after."""
    norm = teacher.model.norm.weight
    own = norm.detach().clone()
    taught = _entropy(teacher, rows)
    low, high = 1.0, 16.0
    if not wanted or taught <= wanted:
        return {"entropy_as_taught": taught, "entropy": taught, "sharpened": 1.0}
    while high - low > 0.01:
        middle = (low + high) / 2
        norm.data.copy_(own * middle)
        is_unsure = _entropy(teacher, rows) > wanted
        low, high = (middle, high) if is_unsure else (low, middle)
    norm.data.copy_(own * high)
    return {"entropy_as_taught": taught, "entropy": _entropy(teacher, rows), "sharpened": high}


def _entropy(teacher: Any, rows: list[Any]) -> float:
    """Mean nats of the teacher's distribution at the trained tokens of some rows."""
    import numpy as np

    from stillhouse.models.score import score_batch
    from stillhouse.models.scoring import Scoring

    scoring = Scoring(teacher.config.vocab_size, 1, num_draws=1)
    scored = score_batch(teacher, [(str(at), row) for at, row in enumerate(rows)], scoring)
    return float(np.concatenate([one.draws.entropy for one in scored if one.draws]).mean())


def _store(teacher: Any, rows: list[Any], vocab: int, codec: dict[str, Any]) -> dict[str, Any]:
    """Bytes a token of a store of these rows, what went in and what comes out."""
    from stillhouse.models.score import score_batch
    from stillhouse.models.scoring import Scoring
    from stillhouse.targets.header import TargetHeader
    from stillhouse.targets.read import TargetReader
    from stillhouse.targets.write import TargetWriter

    header = TargetHeader(
        engine="benchmark",
        weights_digest="taught",
        tokenizer_digest="given",
        template_digest="none",
        vocab_size=vocab,
        **codec,
    )
    scoring = Scoring(vocab, header.top_k, num_draws=header.num_draws)
    texts = [(str(number), row) for number, row in enumerate(rows)]
    kept = score_batch(teacher, texts, scoring)
    tokens = sum(len(one.token_ids) for one in kept)
    with tempfile.TemporaryDirectory() as folder:
        with TargetWriter(Path(folder), header, len(rows)) as writer:
            for targets in kept:
                writer.append(targets)
        stored = sum(path.stat().st_size for path in Path(folder).iterdir())
        reader = TargetReader(Path(folder))
        read = [reader.get(name) for name, _ in texts]
    parts = {name: size / tokens for name, size in _bytes_by_part(kept, header).items()}
    return {
        "bytes_per_token": stored / tokens,
        "bytes_per_token_by_part": parts,
        "ids_and_counts_bytes_per_token": sum(parts.get(name, 0.0) for name in _IDS_AND_COUNTS),
        "kept": kept,
        "read": read,
    }


def _bytes_by_part(kept: list[Any], header: Any) -> dict[str, float]:
    """What each part adds to the packed rows: their size less their size without it."""
    from dataclasses import replace

    from stillhouse.targets.codec import shard_kinds
    from stillhouse.targets.entropy import IDS, Counter, Encoder
    from stillhouse.targets.layout import walk
    from stillhouse.targets.rows import quantise

    numbers = [
        replace(quantise(one, header), kinds=kinds)
        for one, kinds in zip(kept, shard_kinds(kept, header), strict=True)
    ]
    counter = Counter(header.vocab_size)
    for one in numbers:
        walk(counter, header, len(one.token_ids), one)
    models = counter.fit()

    class Without(Encoder):
        """Packs everything but one part."""

        part = ""

        def numbers(self, name: str, contexts: Any, values: Any) -> Any:
            return values if name == self.part else super().numbers(name, contexts, values)

        def ids(self, places: Any, values: Any) -> Any:
            return values if self.part == IDS else super().ids(places, values)

    def size(part: str) -> int:
        total = 0
        for one in numbers:
            encoder = Without(models)
            encoder.part = part
            walk(encoder, header, len(one.token_ids), one)
            total += len(encoder.finish())
        return total

    whole = size("")
    return {name: float(whole - size(name)) for name in models}


def _loss(kept: list[Any]) -> float:
    import numpy as np

    return -float(np.concatenate([one.observed_logprobs for one in kept]).mean())


def _gradient_errors(teacher: Any, rows: list[Any], stored: dict[str, Any]) -> dict[str, float]:
    """Norm of the error of the head's gradient over its norm: stored against unquantised top-64.

    The students are the teacher with its last states disturbed until they are so far from it.
    """
    import torch

    from stillhouse.losses.fused_linear import fused_linear_loss
    from stillhouse.losses.head import HeadTensors
    from stillhouse.losses.soft_targets import SparseTargets
    from stillhouse.losses.terms import Objective
    from stillhouse.models.head import find_head
    from stillhouse.models.states import answer_states

    count = min(len(rows), 16)
    weight = find_head(teacher).weight_VH.detach()
    (states,) = answer_states(teacher, rows[:count], vocab_size=len(weight), batch_size=count)
    observed_N = torch.from_numpy(states.observed_P).long()
    noise = torch.randn(states.hidden_PH.shape, generator=torch.Generator().manual_seed(0))
    noise *= states.hidden_PH.std()

    def gradient(scale: float, kind: str) -> tuple[float, Any]:
        head = HeadTensors(weight.clone().requires_grad_())
        ordered = [stored[kind][index] for index in states.batch]
        ids = torch.cat([torch.from_numpy(one.top_ids) for one in ordered]).long()
        logprobs = torch.cat([torch.from_numpy(one.top_logprobs) for one in ordered])
        soft = SparseTargets(ids, logprobs, torch.zeros(len(ids)))
        weights_N = torch.full((len(ids),), 1 / len(ids))
        hidden_NH = states.hidden_PH + scale * noise
        loss = fused_linear_loss(hidden_NH, head, observed_N, soft, Objective(), weights_N).loss
        loss.backward()
        return loss.item(), head.weight_VH.grad

    errors = {}
    for distance in DISTANCES:
        scale = 0.05
        while gradient(scale, "kept")[0] < distance and scale < MOST_NOISE:
            scale *= 1.3
        (kl, exact), (_, quantised) = gradient(scale, "kept"), gradient(scale, "read")
        errors[f"student {kl:.2g} nats away"] = float((quantised - exact).norm() / exact.norm())
    return errors


if __name__ == "__main__":
    if (spec := child_spec()) is not None:
        child(spec)
    else:
        main()
